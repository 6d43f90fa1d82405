//! The same processor in threads of the host: the same outcomes, and what ended a worker never runs in the host again.

mod support;

use cofferdam::{Ended, Isolation, Job, Key};
use cofferdam_testkit::{Behaviour, Misbehave, Start};
use std::path::Path;
use std::time::Duration;
use support::{assert_all_completed_but, assert_complete, echoes_with, job, quarantine_of, run};

cofferdam::worker_test!(workers: Misbehave);

fn in_threads(store: &Path) -> Job<Misbehave> {
    Job::<Misbehave>::new(store, "job", Start::Well).workers(2).isolation(Isolation::Thread)
}

/// All others are done, the item is pending, and the reason says so; then processes finish the job.
fn assert_left_to_processes(behaviour: &Behaviour, kind: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let items = || echoes_with(60, &[31], behaviour);
    let (outcomes, report) = run(in_threads(dir.path()).item_wall_max(Duration::from_millis(500)), items());
    assert_eq!(report.isolation, Isolation::Thread);
    assert!(
        matches!(&report.ended, Ended::WorkersUnavailable(why) if why.contains("pending")),
        "{:?}",
        report.ended
    );
    assert_eq!(report.crashes.get(kind), Some(&1), "{:?}", report.crashes);
    assert_eq!(outcomes.len(), 59);
    assert!(outcomes.iter().all(|o| o.key != Key::Ordinal(31) && o.attempts == 1));

    let processes = job(dir.path(), workers::program()).item_wall_max(Duration::from_millis(500));
    let (outcomes, report) = run(processes, items());
    assert_complete(&report);
    assert_eq!(report.resumed, 59);
    assert_all_completed_but(&outcomes, 60, &[31]);
    assert_eq!(quarantine_of(&outcomes[31]).kind, kind);
}

#[test]
fn an_item_that_panics_in_a_thread_is_left_to_processes() {
    assert_left_to_processes(&Behaviour::Panic, "panic");
}

#[test]
fn a_thread_that_hangs_is_abandoned_and_its_item_left_to_processes() {
    assert_left_to_processes(&Behaviour::Hang, "time-limit");
}

#[test]
fn a_job_begun_in_processes_ends_in_threads_with_the_same_outcomes() {
    let dir = tempfile::tempdir().expect("a directory");
    let sleepers = || echoes_with(200, &[], &Behaviour::Echo);
    let handle = job(dir.path(), workers::program()).start(cofferdam::dense(sleepers)).expect("a job");
    handle.drain();
    let first = handle.wait().expect("a report");
    let (outcomes, report) = run(in_threads(dir.path()), sleepers());
    assert_complete(&report);
    assert_eq!(report.resumed, first.completed);
    assert_all_completed_but(&outcomes, 200, &[]);
}
