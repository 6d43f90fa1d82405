//! Files that items write: they belong to the outcome, all of them or none, whatever becomes of the worker.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    AsyncProcessor, Codec, Concurrent, Context, Ended, Failure, Isolation, Job, JobHandle, Outcome,
    OutcomeError, OutcomeResult, Outcomes, OutputFile, Phase, Processor, RetryPolicy, StartContext,
    StoreError, StoreOptions, WorkerProgram, dense,
};
use cofferdam_checkpoint::RealDisk;
use cofferdam_testkit::PacedDisk;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{pause, wait_until};

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

cofferdam::worker_test!(workers: Press, Concurrent<Presses>);

/// What an item writes, and what it does then.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
    /// Lengths of the files.
    lens: Vec<u64>,
    then: Then,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    Return,
    /// Returns so many bytes beside the files.
    Swell(u64),
    /// On the first attempt: fails, leaves in the middle of one more file, or hangs there until it is told to stop.
    Fail,
    Abort,
    Hang,
    /// Names a file that it did not write.
    Lie,
    /// Begins more files than one item may have.
    Flood,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Printed {
    number: u64,
    files: Vec<OutputFile>,
    #[serde(with = "serde_bytes")]
    ballast: Vec<u8>,
}

struct Press;

impl Processor for Press {
    const NAME: &'static str = "press";
    const VERSION: u32 = 1;
    type Item = Order;
    type Output = Printed;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, order: Order, cx: &Context<'_>) -> Result<Printed, Failure> {
        print(&order, cx)
    }
}

struct Presses;

impl AsyncProcessor for Presses {
    const NAME: &'static str = "presses";
    const VERSION: u32 = 1;
    type Item = Order;
    type Output = Printed;
    type Config = ();

    async fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn process(&self, order: Order, cx: &Context<'_>) -> Result<Printed, Failure> {
        tokio::task::yield_now().await;
        let mut printed = print(&order, cx)?;
        // A writer is not tied to the context: it may leave the thread.
        let mut writer = cx.output_writer()?;
        let file = tokio::task::spawn_blocking(move || {
            writer.write_all(b"elsewhere")?;
            writer.finish()
        });
        printed.files.push(file.await??);
        Ok(printed)
    }
}

/// The bytes of an item's file: told from those of any other.
fn content(number: u64, file: usize, len: u64) -> Vec<u8> {
    let len = usize::try_from(len).expect("a test's file");
    let line = format!("{number}/{file} ").into_bytes();
    let mut content = line.repeat(len / line.len() + 1);
    content.truncate(len);
    content
}

fn print(order: &Order, cx: &Context<'_>) -> Result<Printed, Failure> {
    let mut files = Vec::new();
    for (n, len) in order.lens.iter().enumerate() {
        let mut writer = cx.output_writer()?;
        // In pieces that are smaller, as large, and larger than any buffer.
        let content = content(order.number, n, *len);
        let (head, tail) = content.split_at(content.len() / 3);
        head.chunks(1000).try_for_each(|piece| writer.write_all(piece))?;
        writer.write_all(tail)?;
        files.push(writer.finish()?);
    }
    let mut ballast = Vec::new();
    match order.then {
        Then::Return => {}
        Then::Swell(len) => ballast = content(order.number, 99, len),
        Then::Lie => files.push(OutputFile { index: 7, len: 1 }),
        Then::Flood => {
            let many: io::Result<Vec<_>> = (0..40).map(|_| cx.output_writer()).collect();
            many?;
        }
        Then::Fail | Then::Abort | Then::Hang if cx.attempt() > 1 => {}
        Then::Fail => return Err(Failure::transient("told to fail")),
        Then::Abort | Then::Hang => {
            let mut writer = cx.output_writer()?;
            writer.write_all(&[7; 3 << 20])?;
            writer.flush()?;
            cx.stage("in the middle");
            if order.then == Then::Abort {
                std::process::abort();
            }
            loop {
                cx.check()?;
                pause(Duration::from_millis(1));
            }
        }
    }
    Ok(Printed { number: order.number, files, ballast })
}

fn orders(list: &[(&[u64], Then)]) -> Vec<Order> {
    let order = |(number, (lens, then)): (u64, &(&[u64], Then))| Order {
        number,
        lens: lens.to_vec(),
        then: then.clone(),
    };
    (0..).zip(list).map(order).collect()
}

fn job(store: &Path, isolation: Isolation) -> Job<Press> {
    let retry = RetryPolicy { backoff_first: Duration::from_millis(1), ..RetryPolicy::default() };
    Job::new(store, "job", ()).workers(2).isolation(isolation).worker_program(program()).retry(retry)
}

fn program() -> WorkerProgram {
    workers::program()
}

fn start(job: Job<Press>, orders: &[Order]) -> JobHandle<Press> {
    let orders = orders.to_vec();
    job.start(dense(move || orders.clone())).expect("the job starts")
}

fn outcomes(handle: &JobHandle<Press>) -> Vec<Outcome<Printed>> {
    let mut outcomes: Vec<_> =
        handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|outcome| outcome.key.clone());
    outcomes
}

fn printed(outcome: &Outcome<Printed>) -> &Printed {
    match &outcome.result {
        OutcomeResult::Completed(printed) => printed,
        other => panic!("{}: {other:?}", outcome.key),
    }
}

/// Every file that the output names is what the item wrote, read whole and in pieces.
fn assert_holds(outcome: &Outcome<Printed>, lens: &[u64]) {
    let printed = printed(outcome);
    assert_eq!(outcome.files().collect::<Vec<_>>(), printed.files);
    assert_eq!(printed.files.iter().map(|file| file.len).collect::<Vec<_>>(), lens);
    for (n, file) in printed.files.iter().enumerate() {
        let expected = content(printed.number, n, file.len);
        assert!(outcome.read(*file).expect("a file") == expected, "file {n} of {}", outcome.key);
        let mut pieces = Vec::new();
        io::copy(&mut outcome.open(*file).expect("a file"), &mut pieces).expect("what was committed");
        assert!(pieces == expected, "file {n} of {}", outcome.key);
    }
}

fn files_in(store: &Path, dir: &str) -> Vec<PathBuf> {
    let jobs = std::fs::read_dir(store.join("jobs-2")).expect("a store");
    let dirs = jobs.map(|job| job.expect("a job").path().join(dir));
    dirs.flat_map(|dir| std::fs::read_dir(dir).expect("a directory"))
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

const BOTH: [Isolation; 2] = [Isolation::Process, Isolation::Thread];

#[test]
fn files_and_large_outputs_are_there_with_their_outcomes_in_processes_and_in_threads() {
    let orders = orders(&[
        (&[10], Then::Return),
        (&[], Then::Return),
        (&[0, 5 << 20, 300_000], Then::Return),
        (&[], Then::Swell(3 << 20)),
        (&[7, 8], Then::Swell(2 << 20)),
        (&[], Then::Swell(9 << 20)),
        (&[1; 16], Then::Return),
    ]);
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let handle = start(job(dir.path(), isolation), &orders);
        let found = outcomes(&handle);
        assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
        // The job has ended, its handle is gone: outcomes still open their files.
        for (order, outcome) in orders.iter().zip(&found) {
            assert_holds(outcome, &order.lens);
            let ballast = match order.then {
                Then::Swell(len) => content(order.number, 99, len),
                _ => Vec::new(),
            };
            assert!(printed(outcome).ballast == ballast, "{isolation:?} {}", outcome.key);
            assert_eq!(outcome.attempts, 1);
        }
        assert_eq!(files_in(dir.path(), "staging"), [] as [PathBuf; 0]);
        drop(found);
        for (outcome, order) in Outcomes::<Printed>::of_job(dir.path(), "job").expect("a job").zip(&orders) {
            let outcome = outcome.expect("a readable outcome");
            assert_eq!(
                printed(&outcome).files.len(),
                orders[printed(&outcome).number as usize].lens.len(),
                "{order:?}"
            );
        }
    }
}

#[test]
fn what_failed_and_crashed_attempts_wrote_is_gone_and_their_retries_begin_anew() {
    let orders = orders(&[
        (&[10], Then::Fail),
        (&[20, 30], Then::Return),
        (&[1 << 20, 40], Then::Abort),
        (&[50], Then::Return),
    ]);
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(job(dir.path(), Isolation::Process), &orders);
    let found = outcomes(&handle);
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
    for (order, outcome) in orders.iter().zip(&found) {
        assert_holds(outcome, &order.lens);
    }
    assert_eq!(found[0].attempts, 2);
    assert_eq!(files_in(dir.path(), "staging"), [] as [PathBuf; 0]);
    // Those of each outcome, and nothing else: no attempt left anything.
    assert_eq!(files_in(dir.path(), "blobs").len(), 6);
}

#[test]
fn a_cancelled_item_leaves_nothing_and_a_drained_job_goes_on_with_what_is_there() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let orders = orders(&[(&[10], Then::Return), (&[20], Then::Hang), (&[30], Then::Return)]);
        let handle = start(job(dir.path(), isolation), &orders);
        let is_done = |outcome: &Result<Outcome<Printed>, OutcomeError>| outcome.is_ok();
        assert_eq!(handle.outcomes().take(2).filter(is_done).count(), 2);
        wait_until("it is in the middle", PATIENCE, || {
            handle.snapshot().workers.iter().any(|worker| worker.stage == "in the middle")
        });
        handle.cancel_item(cofferdam::Key::Ordinal(1));
        handle.drain();
        let found = outcomes(&handle);
        drop(handle.wait().expect("a report"));
        assert_eq!(found[1].result, OutcomeResult::Cancelled);
        assert_eq!(found[1].files().count(), 0);
        assert_eq!(files_in(dir.path(), "staging"), [] as [PathBuf; 0]);

        let more = [orders.clone(), vec![Order { number: 3, lens: vec![40], then: Then::Return }]].concat();
        let handle = start(job(dir.path(), isolation), &more);
        let found = outcomes(&handle);
        assert_eq!(handle.wait().expect("a report").resumed, 3);
        assert_holds(&found[0], &[10]);
        assert_holds(&found[3], &[40]);
    }
}

#[test]
fn many_items_at_once_write_files_and_may_do_it_on_other_threads() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let list: Vec<_> =
            (0..40).map(|n| Order { number: n, lens: vec![n, 200_000], then: Then::Return }).collect();
        let source = list.clone();
        let handle = Job::<Concurrent<Presses>>::new(dir.path(), "job", ())
            .workers(2)
            .isolation(isolation)
            .worker_program(program())
            .start(dense(move || source.clone()))
            .expect("the job starts");
        let found: Vec<_> = handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
        assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
        assert_eq!(found.len(), list.len());
        for outcome in &found {
            let printed = printed(outcome);
            let contents: Vec<_> =
                printed.files.iter().map(|file| outcome.read(*file).expect("a file")).collect();
            assert!(contents[0] == content(printed.number, 0, printed.number));
            assert!(contents[1] == content(printed.number, 1, 200_000));
            assert_eq!(contents[2], b"elsewhere");
        }
    }
}

#[test]
fn an_output_that_names_what_is_not_its_own_and_an_item_of_too_many_files_are_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let orders = orders(&[(&[5], Then::Lie), (&[], Then::Flood), (&[6], Then::Return)]);
    let handle = start(job(dir.path(), Isolation::Process).codec(Codec::Json), &orders);
    let found = outcomes(&handle);
    drop(handle);
    let lie = printed(&found[0]).files[1];
    assert!(matches!(found[0].open(lie), Err(OutcomeError::NoSuchFile { file, .. }) if file == lie));
    let longer = OutputFile { len: 6, ..printed(&found[0]).files[0] };
    assert!(matches!(found[0].read(longer), Err(OutcomeError::NoSuchFile { .. })), "of another length");
    let OutcomeResult::Failed(evidence) = &found[1].result else { panic!("{:?}", found[1]) };
    assert_eq!((&*evidence.kind, found[1].attempts), ("invalid-input", 1));
    assert!(evidence.message.contains("at most 16"), "{evidence:?}");
    assert_holds(&found[2], &[6]);
}

#[test]
fn a_full_disk_under_an_output_pauses_the_job_and_charges_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let room = Arc::new(Mutex::new(Some(0)));
    let disk = PacedDisk::new(RealDisk::shared(), |_, _| ()).with_room(room.clone());
    let options = StoreOptions { disk: disk.shared(), ..StoreOptions::default() };
    let list: Vec<_> = (0..4).map(|number| Order { number, lens: vec![9], then: Then::Return }).collect();
    // The job itself is there before the disk is full.
    *room.lock().expect("no panic") = None;
    let job = job(dir.path(), Isolation::Process).store_options(options);
    let waiting = list.clone();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let source = cofferdam::dense(move || {
        let _ = gone.lock().expect("no panic").recv();
        waiting.clone()
    });
    let handle = job.start(source).expect("the job starts");
    *room.lock().expect("no panic") = Some(0);
    drop(go);
    wait_until("the job pauses", PATIENCE, || handle.snapshot().phase == Phase::StoreFull);
    pause(Duration::from_millis(700)); // longer than one try of the store
    assert_eq!((handle.snapshot().phase, handle.snapshot().completed), (Phase::StoreFull, 0));
    *room.lock().expect("no panic") = None;
    let found = outcomes(&handle);
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
    assert_eq!(found.len(), list.len());
    for outcome in &found {
        assert_holds(outcome, &[9]);
        assert_eq!(outcome.attempts, 1, "a full disk is nobody's fault");
    }
}

#[test]
fn a_file_that_changed_since_is_told_before_its_last_bytes_are_returned() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(job(dir.path(), Isolation::Thread), &orders(&[(&[100_000], Then::Return)]));
    let found = outcomes(&handle);
    drop(handle);
    let file = printed(&found[0]).files[0];
    let path = files_in(dir.path(), "blobs").remove(0);
    let mut changed = content(0, 0, 100_000);
    changed[5] ^= 1;
    std::fs::write(&path, changed).expect("the test may write");

    assert!(matches!(found[0].read(file), Err(OutcomeError::Store(StoreError::BlobDamaged { .. }))));
    let mut reader = found[0].open(file).expect("its length is right");
    let mut read = Vec::new();
    let error = reader.read_to_end(&mut read).expect_err("its content is not");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(read.len() < 100_000);
}
