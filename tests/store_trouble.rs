//! A disk that fills up or fails below a running job: nothing lost, nothing twice, and the job goes on when it can.

mod support;

use cofferdam::{Ended, EventKind, Isolation, Job, JobHandle, OutcomeResult, Phase, StoreOptions, dense};
use cofferdam_testkit::{Behaviour, Fault, FaultPlan, Misbehave, SimDisk, Space, Start};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{assert_complete, tasks, wait_until};

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

const ITEMS: usize = 300;

fn start(disk: &SimDisk) -> JobHandle<Misbehave> {
    start_with(disk, Behaviour::Sleep { ms: 2 })
}

fn start_with(disk: &SimDisk, behaviour: Behaviour) -> JobHandle<Misbehave> {
    Job::<Misbehave>::new("store", "job", Start::Well)
        .workers(2)
        .isolation(Isolation::Thread)
        .store_options(StoreOptions { disk: disk.shared(), ..StoreOptions::default() })
        .start(dense(move || tasks(&vec![behaviour.clone(); ITEMS])))
        .expect("the job starts")
}

fn fail_from_now(disk: &SimDisk, fault: Fault, for_ever: bool) {
    disk.set_fault(Some(FaultPlan { at: disk.calls(), for_ever, fault }));
}

/// The job ends, with every item once and with its own number. The end comes first: while it runs, a read may fail too,
/// and a job that stands still must fail the test, not hold it.
fn assert_whole(handle: &JobHandle<Misbehave>) {
    let end = handle.wait_timeout(Duration::from_secs(60));
    assert!(end.is_some_and(|end| end.is_ok()), "the job goes on");
    let mut seen = BTreeMap::new();
    for outcome in handle.outcomes() {
        let outcome = outcome.expect("a readable outcome");
        let OutcomeResult::Completed(done) = outcome.result else { panic!("{:?}", outcome.result) };
        assert_eq!(seen.insert(outcome.key.to_string(), done.number), None, "{} twice", outcome.key);
        assert_eq!(outcome.key.to_string(), format!("#{}", done.number));
    }
    assert_eq!(seen.len(), ITEMS);
}

#[test]
fn a_full_disk_pauses_the_job_until_there_is_room() {
    let disk = SimDisk::new();
    let handle = start(&disk);
    let events = handle.events();
    wait_until("some outcomes", PATIENCE, || handle.snapshot().completed > 20);
    fail_from_now(&disk, Fault::Enospc, true);
    wait_until("the pause", PATIENCE, || handle.snapshot().phase == Phase::StoreFull);
    let before = handle.snapshot().completed;
    support::pause(Duration::from_millis(700)); // longer than one try of the store
    assert_eq!(handle.snapshot().completed, before, "nothing counts that is not durable");
    disk.set_fault(None);
    assert_whole(&handle);
    assert_complete(&handle.wait().expect("a report"));
    let kinds: Vec<EventKind> = events.map(|event| event.kind).collect();
    assert!(kinds.contains(&EventKind::StoreFull) && kinds.contains(&EventKind::StoreRecovered), "{kinds:?}");
}

/// The same where the disk tells how much is left: no write meets its end.
#[test]
fn a_disk_that_gets_full_pauses_the_job_before_a_write_fails() {
    let disk = SimDisk::new();
    disk.set_space(Some(Space::Told(2 << 20)));
    let handle = start_with(&disk, Behaviour::Large(16 << 10));
    wait_until("the pause", PATIENCE, || handle.snapshot().phase == Phase::StoreFull);
    support::pause(Duration::from_millis(700)); // longer than one try of the store
    assert_eq!((handle.snapshot().phase, disk.unfit_writes()), (Phase::StoreFull, 0));
    disk.set_space(None);
    assert_whole(&handle);
    assert_complete(&handle.wait().expect("a report"));
}

#[test]
fn a_write_or_sync_that_fails_once_costs_nothing() {
    for nth in 0..12 {
        let disk = SimDisk::new();
        let handle = start(&disk);
        wait_until("some outcomes", PATIENCE, || handle.snapshot().completed > 10);
        disk.set_fault(Some(FaultPlan { at: disk.calls() + nth, for_ever: false, fault: Fault::Eio }));
        assert_whole(&handle);
        assert_complete(&handle.wait().expect("a report"));
    }
}

#[test]
fn a_disk_that_fails_for_good_ends_the_job_and_the_next_start_carries_on() {
    let disk = SimDisk::new();
    let handle = start(&disk);
    wait_until("some outcomes", PATIENCE, || handle.snapshot().completed > 20);
    let acknowledged = handle.snapshot().completed;
    fail_from_now(&disk, Fault::Eio, true);
    let report = handle.wait().expect("a report");
    assert!(matches!(report.ended, Ended::StoreFailed(_)), "{:?}", report.ended);

    let disk = disk.after_process_end();
    let handle = start(&disk);
    assert!(handle.plan().done >= acknowledged, "{} of {acknowledged} are there", handle.plan().done);
    assert_whole(&handle);
    assert_complete(&handle.wait().expect("a report"));
}

/// Writes into files without a name would succeed, and so would their syncs.
#[cfg(unix)]
#[test]
fn files_that_are_removed_under_a_job_end_it_with_that_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("store");
    let handle = Job::<Misbehave>::new(&root, "job", Start::Well)
        .workers(2)
        .isolation(Isolation::Thread)
        .store_options(StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() })
        .start(dense(|| tasks(&vec![Behaviour::Sleep { ms: 2 }; ITEMS])))
        .expect("the job starts");
    wait_until("some outcomes", PATIENCE, || handle.snapshot().completed > 20);
    // A file that comes meanwhile keeps its directory: once more.
    wait_until("the removal", PATIENCE, || std::fs::remove_dir_all(&root).is_ok());

    let report = handle.wait_timeout(Duration::from_secs(60)).expect("the job ends").expect("a report");

    let Ended::StoreFailed(why) = &report.ended else { panic!("{:?}", report.ended) };
    assert!(why.contains("removed while it was open"), "{why}");
}
