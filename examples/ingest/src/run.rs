//! One run: everything that touches the engine.

use crate::args::{Args, ArgsError, IsolationArg, OnExistingArg};
use crate::item::Config;
use crate::output::{self, Headline, Outputs, SetAside};
use crate::processor::Ingest;
use crate::progress::{self, Display, View, WorkerView};
use crate::signals::Signals;
use crate::source::{FolderError, Folders, Skipped};
use crate::sys;
use cofferdam::{
    Ended, EventKind, Events, Evidence, Isolation, Job, JobError, JobHandle, Key, OnExisting, Outcome,
    OutcomeError, OutcomeResult, Report, Snapshot,
};
use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

/// How a run that did its work ended.
#[derive(Debug)]
pub struct Finished {
    /// Why.
    pub ended: Ended,
    /// What `--json` prints.
    pub headline: Headline,
    /// What is no item.
    pub skipped: Skipped,
}

/// The run could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The arguments contradict each other.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// The folders cannot be read.
    #[error(transparent)]
    Folders(#[from] FolderError),
    /// The job cannot be started, or the engine failed.
    #[error("{}", explain(.0))]
    Job(#[from] JobError),
    /// The outcomes cannot be read back.
    #[error("the outcomes cannot be read: {0}")]
    Outcomes(#[from] OutcomeError),
    /// A folder cannot be made.
    #[error("cannot create the folder {}: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The output files cannot be written. The job itself is safe: run it again when there is room.
    #[error("cannot write to {}: {error}; what was done is safe, run this again once that is fixed", path.display())]
    Output {
        /// The out folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn explain(error: &JobError) -> String {
    match error {
        JobError::Exists(name) => {
            format!("the job '{name}' is there already, and --on-existing fail was given")
        }
        JobError::Differs { fields } => format!(
            "the job was begun with other settings ({}); use --on-existing restart to begin anew, or another --job",
            fields.join(", ")
        ),
        other => other.to_string(),
    }
}

/// Runs the job to its end and writes the output files.
///
/// # Errors
/// [`RunError`]
pub fn run(args: &Args, signals: &Signals) -> Result<Finished, RunError> {
    let jobs_dir = args.jobs_dir();
    let rules = args.rules()?;
    for dir in [&args.out, &jobs_dir] {
        std::fs::create_dir_all(dir).map_err(|error| RunError::Folder { path: dir.clone(), error })?;
    }
    let folders = Folders::new(&args.input_dirs(), &[&args.out, &jobs_dir], rules)?;
    let skipped = folders.skipped();
    let mut outputs = Outputs::new(&args.out).map_err(|error| output_error(args, error))?;
    let handle = job(args, jobs_dir).start(folders)?;
    signals.attach(handle.control());

    let mut display = Display::new(args.quiet, &args.job);
    let plan = handle.plan().to_string();
    display.say(&if handle.plan().resumed {
        format!("resuming '{}': {plan}", args.job)
    } else {
        format!("'{}': {plan}", args.job)
    });
    let (report, collected) = thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let collected = collect(&handle, &mut outputs);
            if collected.is_err() {
                handle.drain(); // nothing is lost, and going on would not help
            }
            collected
        });
        let report = watch(&handle, &mut display, places(args), signals);
        (report, collector.join().unwrap_or(Err(Collected::Panicked)))
    });
    display.end();
    let report = report?;
    collected.map_err(|error| error.into_run_error(args))?;

    let set_aside = outputs.set_aside_by_kind();
    // After a stop at once, time is short; after a drain the files show what is done so far.
    if report.ended != Ended::Cancelled {
        outputs.write().map_err(|error| output_error(args, error))?;
    }
    let skipped = *skipped.lock().unwrap_or_else(PoisonError::into_inner);
    let headline = headline(args, &report);
    let written = output::Report {
        headline: headline.clone(),
        ended: describe(&report.ended),
        plan,
        set_aside,
        skipped,
    };
    written.write(&args.out).map_err(|error| output_error(args, error))?;
    Ok(Finished { ended: report.ended, headline, skipped })
}

fn job(args: &Args, jobs_dir: PathBuf) -> Job<Ingest> {
    let job = Job::<Ingest>::new(jobs_dir, &args.job, Config::default())
        .item_wall_max(args.item_timeout)
        .workers(places(args))
        .isolation(match args.effective_isolation() {
            IsolationArg::Process => Isolation::Process,
            IsolationArg::Thread => Isolation::Thread,
            IsolationArg::Auto => Isolation::Auto,
        });
    job.on_existing(match args.on_existing {
        OnExistingArg::Resume => OnExisting::Resume,
        OnExistingArg::Restart => OnExisting::Restart,
        OnExistingArg::Fail => OnExisting::Fail,
    })
}

fn places(args: &Args) -> u32 {
    let available =
        || thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    args.workers.map_or_else(available, std::num::NonZeroU32::get)
}

enum Collected {
    Disk(io::Error),
    Store(OutcomeError),
    Panicked,
}

impl Collected {
    fn into_run_error(self, args: &Args) -> RunError {
        match self {
            Self::Disk(error) => output_error(args, error),
            Self::Store(error) => error.into(),
            Self::Panicked => output_error(args, io::Error::other("the collector stopped unexpectedly")),
        }
    }
}

/// Takes the outcomes as they are committed, those of earlier runs first, until the job is over.
fn collect(handle: &JobHandle<Ingest>, outputs: &mut Outputs) -> Result<(), Collected> {
    for outcome in handle.outcomes() {
        let Outcome { key, attempts, result, .. } = match outcome {
            Ok(outcome) => outcome,
            // A worker that lies about its output spoils this item, nothing else.
            Err(OutcomeError::Decode { key, source, .. }) => {
                let message = source.to_string();
                let evidence =
                    Evidence { kind: "undecodable-output".to_owned(), message, ..Evidence::default() };
                Outcome::new(0, key, 1, OutcomeResult::Failed(evidence))
            }
            Err(error) => return Err(Collected::Store(error)),
        };
        let Key::Bytes(key) = key else { continue }; // the source has no other keys
        match result {
            OutcomeResult::Completed(facts) => outputs.completed(&key, &facts),
            OutcomeResult::Failed(evidence) => outputs.set_aside(&key, SetAside::Failed, attempts, &evidence),
            OutcomeResult::Quarantined(evidence) => {
                outputs.set_aside(&key, SetAside::Quarantined, attempts, &evidence)
            }
            OutcomeResult::Cancelled => Ok(()), // this program cancels no single items
        }
        .map_err(Collected::Disk)?;
    }
    Ok(())
}

/// Shows the job until it is over.
fn watch(
    handle: &JobHandle<Ingest>,
    display: &mut Display,
    places: u32,
    signals: &Signals,
) -> Result<Report, JobError> {
    let events = handle.events();
    let mut interruptions = 0;
    loop {
        display.show(&view(&handle.snapshot(), places), Instant::now());
        say_events(&events, display);
        if signals.count() > interruptions {
            interruptions = signals.count();
            display.say(match interruptions {
                1 => "interrupted: finishing what is open; once more to stop now",
                _ => "stopping now",
            });
        }
        if let Some(report) = handle.wait_timeout(progress::REFRESH) {
            say_events(&events, display);
            return report;
        }
    }
}

fn say_events(events: &Events, display: &Display) {
    while let Some(event) = events.recv_timeout(Duration::ZERO) {
        match event.kind {
            EventKind::WorkerExited(worker, exit) if !exit.is_blameless() => {
                display.say(&format!("{worker} {exit}"))
            }
            EventKind::Degraded(reason) => display.say(&format!("degraded: {reason}")),
            EventKind::StoreFull => display.say("the disk is full; waiting for room"),
            EventKind::StoreRecovered => display.say("there is room again"),
            _ => {} // the counts tell the rest
        }
    }
}

fn view(snapshot: &Snapshot, places: u32) -> View {
    let mut workers: Vec<WorkerView> = snapshot
        .workers
        .iter()
        .map(|worker| WorkerView {
            slot: worker.slot.0,
            item: worker.item.clone(),
            stage: worker.stage.clone(),
            progress: worker.progress,
            resident_bytes: worker.resident_bytes,
        })
        .collect();
    workers.sort_by_key(|worker| worker.slot);
    View {
        total: snapshot.items_total,
        completed: snapshot.completed,
        failed: snapshot.failed,
        quarantined: snapshot.quarantined,
        resumed: snapshot.resumed,
        restarts: snapshot.workers_started.saturating_sub(u64::from(places)),
        workers,
    }
}

fn headline(args: &Args, report: &Report) -> Headline {
    Headline {
        job: args.job.clone(),
        items: report.items,
        completed: report.completed,
        failed: report.failed,
        quarantined: report.quarantined,
        resumed: report.resumed,
        attempts: report.attempts,
        crashes: report.crashes.clone(),
        workers_started: report.workers_started,
        elapsed_s: report.elapsed.as_secs_f64(),
        host_peak_rss_bytes: sys::peak_resident_bytes(),
        isolation: match report.isolation {
            Isolation::Process => "process",
            Isolation::Thread => "thread",
            Isolation::Auto => "auto",
        }
        .to_owned(),
    }
}

/// How it ended, in words.
pub fn describe(ended: &Ended) -> String {
    match ended {
        Ended::Complete => "complete".to_owned(),
        Ended::Drained => "interrupted after the open items; run this again to go on".to_owned(),
        Ended::Cancelled => "stopped; run this again to go on".to_owned(),
        Ended::Fatal(failure) => format!("no item can succeed: {}", failure.message),
        Ended::FailureBudget { failures, settled } => {
            format!("{failures} of {settled} items failed: too many")
        }
        Ended::SourceFailed(why) => format!("the folders could not be read to their end: {why}"),
        Ended::StoreFailed(why) => format!("the store failed: {why}"),
        Ended::WorkersUnavailable(why) => format!("no worker can be kept alive: {why}"),
    }
}

fn output_error(args: &Args, error: io::Error) -> RunError {
    RunError::Output { path: args.out.clone(), error }
}
