//! Workers that tamper with the files they were given, and hosts that die while one is written.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    Context, Ended, Failure, Isolation, Job, Outcome, OutcomeError, OutcomeResult, OutputFile, Processor,
    RetryPolicy, StartContext, StoreError, dense,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use support::pause;

cofferdam::worker_test!(workers: Forger);

const STORE: &str = "COFFERDAM_TEST_STORE";
const HONEST: &[u8] = b"what was promised";

/// What an item does to its file behind the engine's back; all but the first two on the first attempt alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trick {
    None,
    /// Keeps the file open for the next item.
    Keep,
    /// Changes what the item before kept, once it has its name.
    Change,
    Cut,
    Lengthen,
    /// Puts a link to something else in its place.
    Link,
    Remove,
    /// Kills the host in the middle of the file.
    KillHost,
}

struct Forger {
    kept: Option<(File, PathBuf)>,
}

impl Processor for Forger {
    const NAME: &'static str = "forger";
    const VERSION: u32 = 1;
    type Item = Trick;
    type Output = OutputFile;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self { kept: None })
    }

    fn process(&mut self, trick: Trick, cx: &Context<'_>) -> Result<OutputFile, Failure> {
        if let (Trick::Change, Some((file, path))) = (trick, &self.kept) {
            while path.exists() {
                pause(Duration::from_millis(1));
            }
            file.write_all_at(b"W", 0)?;
        }
        let mut writer = cx.output_writer()?;
        writer.write_all(HONEST)?;
        if trick == Trick::Keep {
            writer.write_all(b" once")?; // the same content as another item's would be the same file
        }
        writer.flush()?;
        let path = staged();
        let file = writer.finish()?;
        let first = cx.attempt() == 1;
        match trick {
            Trick::Keep => self.kept = Some((OpenOptions::new().write(true).open(&path)?, path)),
            Trick::Cut if first => OpenOptions::new().write(true).open(&path)?.set_len(3)?,
            Trick::Lengthen if first => OpenOptions::new().append(true).open(&path)?.write_all(b"!")?,
            Trick::Remove if first => fs::remove_file(&path)?,
            Trick::Link if first => {
                let secret = path.with_extension("secret");
                fs::write(&secret, HONEST)?;
                fs::remove_file(&path)?;
                std::os::unix::fs::symlink(&secret, &path)?;
            }
            Trick::KillHost if first => {
                let host = std::os::unix::process::parent_id().to_string();
                support::command("kill").args(["-9", &host]).status()?;
                pause(Duration::from_secs(60));
            }
            Trick::None | Trick::Change | Trick::Cut | Trick::Lengthen | Trick::Link | Trick::Remove => {}
            Trick::KillHost => {}
        }
        Ok(file)
    }
}

/// The file that the only writer of this process has open.
fn staged() -> PathBuf {
    let descriptors = fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.find(|path| path.parent().is_some_and(|dir| dir.ends_with("staging"))).expect("an open output")
}

fn job(store: &Path) -> Job<Forger> {
    let retry = RetryPolicy { backoff_first: Duration::from_millis(1), ..RetryPolicy::default() };
    Job::new(store, "job", ())
        .workers(1)
        .isolation(Isolation::Process)
        .worker_program(workers::program())
        .retry(retry)
}

fn run(store: &Path, tricks: &[Trick]) -> Vec<Outcome<OutputFile>> {
    let tricks = tricks.to_vec();
    let handle = job(store).start(dense(move || tricks.clone())).expect("the job starts");
    let mut outcomes: Vec<_> =
        handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|outcome| outcome.key.clone());
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Complete);
    assert_eq!(report.workers_started, 1, "whoever tampers with his own output costs no worker");
    outcomes
}

fn read(outcome: &Outcome<OutputFile>) -> Result<Vec<u8>, OutcomeError> {
    let OutcomeResult::Completed(file) = outcome.result else { panic!("{outcome:?}") };
    outcome.read(file)
}

#[test]
fn who_writes_to_an_output_after_its_result_is_detected_by_whoever_reads_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let outcomes = run(dir.path(), &[Trick::Keep, Trick::Change, Trick::None]);
    let changed = read(&outcomes[0]);
    assert!(matches!(changed, Err(OutcomeError::Store(StoreError::BlobDamaged { .. }))), "{changed:?}");
}

#[test]
fn an_output_that_was_cut_lengthened_replaced_or_removed_costs_its_attempt_and_nobody_else_anything() {
    for trick in [Trick::Cut, Trick::Lengthen, Trick::Link, Trick::Remove] {
        let dir = tempfile::tempdir().expect("a directory");
        let outcomes = run(dir.path(), &[Trick::None, trick, Trick::None]);
        assert_eq!(
            outcomes.iter().map(|outcome| outcome.attempts).collect::<Vec<_>>(),
            [1, 2, 1],
            "{trick:?}"
        );
        assert!(outcomes.iter().all(|outcome| read(outcome).expect("a file") == HONEST), "{trick:?}");
    }
}

/// Not a test of its own: the host that dies.
#[test]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let handle =
        job(Path::new(&store)).start(dense(|| [Trick::None, Trick::KillHost])).expect("the job starts");
    handle.wait().expect("a report");
}

#[test]
fn what_was_written_when_the_host_died_is_gone_and_the_next_start_writes_it_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let status = support::command(std::env::current_exe().expect("this binary"))
        .args(["--exact", "host_entry", "--nocapture"])
        .env(STORE, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a host");
    assert!(!status.success(), "it was killed");

    // The second item does nothing of the kind now.
    let outcomes = run(dir.path(), &[Trick::None, Trick::None]);

    assert!(outcomes.iter().all(|outcome| read(outcome).expect("a file") == HONEST));
    let jobs = fs::read_dir(dir.path().join("jobs-2")).expect("a store");
    for job in jobs.flatten() {
        assert_eq!(fs::read_dir(job.path().join("staging")).expect("a directory").count(), 0);
    }
}
