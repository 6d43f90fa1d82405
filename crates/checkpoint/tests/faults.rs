//! Every disk call of a small job fails in turn: once, after which the job goes on, or for ever, after which the next
//! opening finds everything that was acknowledged.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{JobState, JobStore, KeyRef, Lookup, Note, Store, StoreError};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{Fault, FaultPlan, SimDisk, SyncFailure};
use support::{JOB, Model, lease, limits, open_store, output, spec};

/// How often a step is tried again; a fault that comes once is over by then.
const TRIES: u32 = 3;

/// A job that does what the driver does: reopen after a failure, and submit again what is not there.
fn stubborn_job(model: &mut Model, disk: &SimDisk) -> Result<(), StoreError> {
    let store = again(|| open_store(disk))?;
    let job = again(|| open_or_create(&store))?;
    model.is_created = true;
    commit(model, &job, 0, 3)?;
    retry(&job, || lease(&job, 1, 10..13))?;
    retry(&job, || job.note(KeyRef::Ordinal(11), Note { crashes: 1, ..Note::default() }))?;
    commit(model, &job, 10, 30)?;
    commit(model, &job, 40, 1)?;
    retry(&job, || job.finish(JobState::Interrupted))
}

fn open_or_create(store: &Store) -> Result<JobStore, StoreError> {
    match store.create_job(JOB, &spec(Keying::Dense)) {
        Err(StoreError::JobExists) => store.open_job(JOB),
        other => other,
    }
}

fn again<T>(mut what: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut result = what();
    for _ in 0..TRIES {
        if result.is_ok() {
            break;
        }
        result = what();
    }
    result
}

fn retry(job: &JobStore, what: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
    what().or_else(|_| again(|| job.reopen()).and_then(|_| what()))
}

fn commit(model: &mut Model, job: &JobStore, first: u64, count: u64) -> Result<(), StoreError> {
    if model.commit_run(job, first, count).is_ok() {
        return Ok(());
    }
    again(|| job.reopen())?;
    match job.lookup(KeyRef::Ordinal(first), None) {
        // It was indeterminate and turned out to be there.
        Lookup::Done => {
            model.acknowledged.extend((first..first + count).map(|ordinal| (ordinal, output(ordinal))));
            Ok(())
        }
        Lookup::New | Lookup::Changed => model.commit_run(job, first, count),
    }
}

fn run(plan: FaultPlan, sync_failure: SyncFailure) {
    let disk = SimDisk::new();
    disk.set_fault(Some(plan));
    disk.set_sync_failure(sync_failure);
    let mut model = Model::default();
    let ended = stubborn_job(&mut model, &disk);
    assert!(plan.for_ever || ended.is_ok(), "{plan:?} {sync_failure:?}: {ended:?}");
    disk.set_fault(None);
    model.check(&disk.after_process_end());
    for image in disk.after_power_cut(limits(1, plan.at)).step_by(3) {
        model.check(&image);
    }
}

fn calls() -> u64 {
    let disk = SimDisk::new();
    stubborn_job(&mut Model::default(), &disk).unwrap();
    disk.calls()
}

const SYNC_FAILURES: [SyncFailure; 3] =
    [SyncFailure::StaysDirty, SyncFailure::CleanWithNew, SyncFailure::CleanWithOld];

#[test]
fn a_call_that_fails_once_loses_nothing_and_the_job_goes_on() {
    for at in 0..calls() {
        for sync_failure in SYNC_FAILURES {
            run(FaultPlan { at, for_ever: false, fault: Fault::Eio }, sync_failure);
        }
        for fault in [Fault::Enospc, Fault::Edquot, Fault::Eintr, Fault::ShortWrite] {
            run(FaultPlan { at, for_ever: false, fault }, SyncFailure::CleanWithNew);
        }
    }
}

#[test]
fn calls_that_fail_for_ever_lose_nothing_that_was_acknowledged() {
    for at in 0..calls() {
        for (fault, sync_failure) in
            [Fault::Eio, Fault::Enospc, Fault::Edquot, Fault::Eintr, Fault::ShortWrite]
                .into_iter()
                .zip(SYNC_FAILURES.into_iter().cycle())
        {
            run(FaultPlan { at, for_ever: true, fault }, sync_failure);
        }
    }
}

#[test]
fn a_full_disk_is_told_apart_and_ends_when_there_is_room() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model { is_created: true, ..Model::default() };
    model.commit_run(&job, 0, 3).unwrap();
    disk.set_fault(Some(FaultPlan { at: disk.calls(), for_ever: true, fault: Fault::Enospc }));
    assert!(matches!(model.commit_run(&job, 3, 3), Err(StoreError::NoSpace { .. })));
    assert!(matches!(model.commit_run(&job, 3, 3), Err(StoreError::Indeterminate)));
    assert!(matches!(job.reopen(), Err(StoreError::NoSpace { .. })));
    assert!(matches!(job.put_blob(b"x"), Err(StoreError::NoSpace { .. })));
    disk.set_fault(None);
    let reopened = job.reopen().unwrap();
    assert_eq!((reopened.durable_through, reopened.lsn), (1, 3));
    model.commit_run(&job, 3, 3).unwrap();
    model.check_outcomes(&job);
}

#[test]
fn a_reopen_tells_which_tickets_are_durable() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model { is_created: true, ..Model::default() };
    model.commit_run(&job, 0, 3).unwrap();
    // The write goes through, its sync fails: the outcome is there, and nobody could have known.
    disk.set_fault(Some(FaultPlan { at: disk.calls() + 1, for_ever: false, fault: Fault::Eio }));
    assert!(model.commit_run(&job, 3, 1).is_err());
    let reopened = job.reopen().unwrap();
    assert_eq!((reopened.durable_through, reopened.lsn), (2, 4));
    assert_eq!(job.recovery().rewritten, 1);
    model.commit_run(&job, 4, 1).unwrap();
    assert_eq!(model.check_outcomes(&job).len(), 5);
}
