//! Items that are added to a running job.

mod support;

use cofferdam::{AddError, Ended, Job, JobHandle, Outcome, OutcomeResult};
use cofferdam_testkit::{Behaviour, Done, Misbehave, Task};
use std::collections::BTreeMap;
use std::path::Path;
use support::{assert_complete, job};

cofferdam::worker_test!(workers: Misbehave);

fn named(prefix: &str, number: u64, behaviour: Behaviour) -> (String, Task) {
    (format!("{prefix}-{number}"), Task { number, behaviour })
}

/// A job over `count` items of a source, the first of which keeps a worker until it is cancelled.
fn start(store: &Path, count: u64, first: Behaviour) -> JobHandle<Misbehave> {
    let of = move |number| match number {
        0 => named("source", 0, first.clone()),
        _ => named("source", number, Behaviour::Echo),
    };
    let job: Job<Misbehave> = job(store, workers::program());
    job.start(cofferdam::keyed(move || (0..count).map(of.clone()))).expect("the job starts")
}

fn outcomes(handle: &JobHandle<Misbehave>) -> BTreeMap<String, Outcome<Done>> {
    let mut all = BTreeMap::new();
    for outcome in handle.outcomes() {
        let outcome = outcome.expect("a readable outcome");
        let before = all.insert(outcome.key.to_string(), outcome);
        assert!(before.is_none(), "two outcomes: {before:?}");
    }
    all
}

fn add(handle: &JobHandle<Misbehave>, number: u64, behaviour: Behaviour) -> Result<(), AddError> {
    let (key, task) = named("added", number, behaviour);
    handle.add(key, &task)
}

#[test]
fn items_added_to_a_running_job_are_done_in_this_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(dir.path(), 100, Behaviour::Sleep { ms: 400 });
    for number in 0..200 {
        add(&handle, number, Behaviour::Echo).expect("it is added");
    }
    assert!(matches!(add(&handle, 7, Behaviour::Echo), Err(AddError::Exists)));
    let all = outcomes(&handle);
    assert_eq!(all.len(), 300);
    assert!(all.values().all(|outcome| matches!(outcome.result, OutcomeResult::Completed(_))));
    assert!(handle.wait_timeout(std::time::Duration::from_secs(60)).is_some());
    assert!(matches!(add(&handle, 999, Behaviour::Echo), Err(AddError::Ended)));
    let report = handle.wait().expect("a report");
    assert_complete(&report);
    assert_eq!((report.items, report.completed), (300, 300), "{report:?}");

    let handle = start(dir.path(), 100, Behaviour::Echo);
    assert_eq!((handle.plan().done, handle.plan().new, handle.plan().gone), (300, Some(0), 0));
    assert_eq!(outcomes(&handle).len(), 300, "added items do not drop out of a resumed job's outcomes");
    assert_eq!(handle.wait().expect("a report").attempts, 0);
}

#[test]
fn items_that_were_added_and_not_done_are_found_by_the_next_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(dir.path(), 10, Behaviour::Sleep { ms: 600_000 });
    for number in 0..50 {
        add(&handle, number, Behaviour::Sleep { ms: 20 }).expect("it is added");
    }
    handle.cancel();
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Cancelled);
    assert!(report.completed < 60);

    let handle = start(dir.path(), 10, Behaviour::Echo);
    assert_eq!(handle.plan().new, Some(60 - report.completed), "{:?}", handle.plan());
    let all = outcomes(&handle);
    assert_complete(&handle.wait().expect("a report"));
    assert_eq!(all.len(), 60);
    let OutcomeResult::Completed(done) = &all["added-49"].result else { panic!("{:?}", all["added-49"]) };
    assert_eq!(done.number, 49, "it was stored whole");
}

#[test]
fn an_item_that_comes_twice_has_one_outcome_and_costs_the_job_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(dir.path(), 30_000, Behaviour::Sleep { ms: 200 });
    let mut added = 0;
    for number in (29_000..30_000).step_by(50) {
        let (key, task) = named("source", number, Behaviour::Echo);
        added += u32::from(handle.add(key, &task).is_ok());
    }
    assert!(added > 0);
    let all = outcomes(&handle);
    assert_complete(&handle.wait().expect("a report"));
    assert_eq!(all.len(), 30_000);
}

#[test]
fn a_job_whose_items_have_no_keys_takes_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let items = || support::tasks(&[Behaviour::Echo]);
    let handle = job(dir.path(), workers::program()).start(cofferdam::dense(items)).expect("the job starts");
    assert!(matches!(add(&handle, 0, Behaviour::Echo), Err(AddError::Dense)));
}
