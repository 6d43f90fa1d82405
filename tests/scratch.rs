//! Scratch directories: there while the attempt needs them, gone however it ends.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{Ended, Isolation, Job, JobHandle, Key, OutcomeResult};
use cofferdam_testkit::{Behaviour, Done, FailWith, Misbehave};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{assert_complete, job, run, tasks, wait_until};

cofferdam::worker_test!(workers: Misbehave);

/// No healthy job takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn scratch(then: Behaviour) -> Behaviour {
    Behaviour::Scratch(Box::new(then))
}

/// Keeps the job running while a test looks.
const LONG: Behaviour = Behaviour::Long;

/// Files and directories that attempts have made below the job's own scratch directory.
fn made_by_attempts(store: &Path) -> Vec<PathBuf> {
    let jobs = std::fs::read_dir(store.join("jobs-2")).expect("a store");
    let scratch = jobs.map(|job| job.expect("a job").path().join("scratch"));
    scratch.flat_map(|scratch| in_scratch(&scratch)).collect()
}

/// A worker's own directory says nothing: what attempts made lies in it.
fn in_scratch(scratch: &Path) -> Vec<PathBuf> {
    let list =
        |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    list(scratch.to_owned()).flat_map(list).collect()
}

/// A job of this item and of one that keeps it running; returns when the item has its outcome.
fn ended(job: Job<Misbehave>, item: &Behaviour) -> (JobHandle<Misbehave>, OutcomeResult<Done>) {
    let tasks = tasks(&[LONG, item.clone()]);
    let handle = job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts");
    let outcome = handle.outcomes().next().expect("an outcome").expect("a readable one");
    assert_eq!(outcome.key, Key::Ordinal(1));
    (handle, outcome.result)
}

fn cancel(handle: JobHandle<Misbehave>, store: &Path) {
    handle.cancel();
    assert_eq!(handle.wait().expect("a report").ended, Ended::Cancelled);
    assert_eq!(made_by_attempts(store), [] as [PathBuf; 0]);
}

const BOTH: [Isolation; 2] = [Isolation::Process, Isolation::Thread];

#[test]
fn a_scratch_directory_is_there_while_the_attempt_runs_and_gone_before_its_result_is_seen() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let job = job(dir.path(), workers::program()).isolation(isolation);
        let tasks = tasks(&[LONG, scratch(Behaviour::Sleep { ms: 300 })]);
        let handle = job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts");
        wait_until("an attempt makes its directory", PATIENCE, || !made_by_attempts(dir.path()).is_empty());
        let outcome = handle.outcomes().next().expect("an outcome").expect("a readable one");
        assert!(matches!(outcome.result, OutcomeResult::Completed(_)), "{outcome:?}");
        assert_eq!(made_by_attempts(dir.path()), [] as [PathBuf; 0], "{isolation:?}");
        cancel(handle, dir.path());
    }
}

#[test]
fn the_directory_of_an_attempt_that_fails_is_gone_before_its_failure_is_seen() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let job = job(dir.path(), workers::program()).isolation(isolation);
        let (handle, result) = ended(job, &scratch(Behaviour::Fail(FailWith::InvalidInput)));
        assert!(matches!(result, OutcomeResult::Failed(_)), "{result:?}");
        assert_eq!(made_by_attempts(dir.path()), [] as [PathBuf; 0], "{isolation:?}");
        cancel(handle, dir.path());
    }
}

/// The item ends its worker like this, again and again, and no directory stays while the job goes on.
fn assert_removed_after(deadly: Behaviour, isolation: Isolation) {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), workers::program()).isolation(isolation).item_stall_max(Duration::from_secs(1));
    let (handle, result) = ended(job, &scratch(deadly));
    assert!(matches!(result, OutcomeResult::Quarantined(_)), "{result:?}");
    wait_until("no directory is left", PATIENCE, || made_by_attempts(dir.path()).is_empty());
    cancel(handle, dir.path());
}

#[test]
fn the_directory_of_an_attempt_that_panics_is_removed() {
    assert_removed_after(Behaviour::Panic, Isolation::Process);
}

#[test]
fn the_directory_of_an_attempt_that_panics_in_a_thread_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), workers::program()).isolation(Isolation::Thread);
    // Items that ended a worker are not tried again in threads: the job ends without them.
    let (_, report) = run(job, tasks(&[scratch(Behaviour::Panic)]));
    assert_eq!(report.crashes.values().sum::<u64>(), 1, "{report:?}");
    assert_eq!(made_by_attempts(dir.path()), [] as [PathBuf; 0]);
}

#[test]
fn the_directory_of_an_attempt_that_crashes_is_removed() {
    assert_removed_after(Behaviour::Abort, Isolation::Process);
    assert_removed_after(Behaviour::Exit(0), Isolation::Process);
}

#[test]
fn the_directory_of_an_attempt_that_hangs_is_removed_when_its_worker_was_killed() {
    assert_removed_after(Behaviour::Hang, Isolation::Process);
}

#[cfg(unix)]
#[test]
fn the_directory_of_an_attempt_whose_worker_a_stranger_killed_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), workers::program());
    let (handle, result) = ended(job, &Behaviour::First(Box::new(scratch(Behaviour::Signal(9)))));
    assert!(matches!(result, OutcomeResult::Completed(_)), "{result:?}");
    assert_eq!(made_by_attempts(dir.path()), [] as [PathBuf; 0]);
    cancel(handle, dir.path());
}

#[test]
fn the_directory_of_an_attempt_that_is_cancelled_is_removed() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let job = job(dir.path(), workers::program()).isolation(isolation);
        let tasks = tasks(&[LONG, scratch(LONG)]);
        let handle = job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts");
        wait_until("an attempt makes its directory", PATIENCE, || !made_by_attempts(dir.path()).is_empty());
        handle.cancel_item(Key::Ordinal(1));
        let outcome = handle.outcomes().next().expect("an outcome").expect("a readable one");
        assert_eq!(outcome.result, OutcomeResult::Cancelled);
        wait_until("no directory is left", PATIENCE, || made_by_attempts(dir.path()).is_empty());
        cancel(handle, dir.path());
    }
}

#[test]
fn when_the_whole_job_is_cancelled_no_directory_is_left() {
    for isolation in BOTH {
        let dir = tempfile::tempdir().expect("a directory");
        let job = job(dir.path(), workers::program()).isolation(isolation);
        let tasks = tasks(&[scratch(LONG), scratch(LONG)]);
        let handle = job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts");
        wait_until("an attempt makes its directory", PATIENCE, || !made_by_attempts(dir.path()).is_empty());
        cancel(handle, dir.path());
    }
}

#[test]
fn the_host_may_choose_another_place() {
    for isolation in BOTH {
        let (dir, place) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("another"));
        let job = job(dir.path(), workers::program()).isolation(isolation).scratch_parent(place.path());
        let tasks = tasks(&[scratch(LONG)]);
        let handle = job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts");
        let of_job =
            || std::fs::read_dir(place.path()).expect("the place").flatten().map(|entry| entry.path());
        wait_until("an attempt makes its directory", PATIENCE, || {
            of_job().any(|scratch| !in_scratch(&scratch).is_empty())
        });
        cancel(handle, dir.path());
        assert_eq!(of_job().count(), 0, "{isolation:?}");
    }
}

const STORE: &str = "COFFERDAM_TEST_STORE";

/// Not a test of its own: the host that dies. The test below starts this binary again with the store's place.
#[cfg(unix)]
#[test]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let tasks = tasks(&[scratch(Behaviour::KillHost)]);
    let handle = job(Path::new(&store), workers::program()).start(cofferdam::dense(move || tasks.clone()));
    handle.expect("the job starts").wait().expect("a report");
}

#[cfg(unix)]
#[test]
fn what_a_killed_host_leaves_is_removed_when_the_job_is_next_started() {
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().expect("a directory");
    let mut host = Command::new(std::env::current_exe().expect("this binary"));
    host.args(["--exact", "host_entry", "--nocapture"]).env(STORE, dir.path());
    let status = host.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a host");
    assert!(!status.success(), "the item kills its host");
    assert!(!made_by_attempts(dir.path()).is_empty(), "nobody was there to remove it");

    let tasks = tasks(&[Behaviour::Sleep { ms: 1 }]);
    let handle = job(dir.path(), workers::program()).start(cofferdam::dense(move || tasks.clone()));
    assert_eq!(made_by_attempts(dir.path()), [] as [PathBuf; 0]);
    assert_complete(&handle.expect("the job starts").wait().expect("a report"));
}
