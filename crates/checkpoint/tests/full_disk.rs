//! A disk that fills up: found before a write is torn where the disk tells of it, survived where it does not.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, Disk, FillAhead, JobState, JobStore, Store, StoreError, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{SimDisk, Space};
use std::path::Path;
use support::{JOB, Model, entries, open_store, options, spec};

/// What the store leaves free, as docs/durability.md says.
const RESERVE: u64 = 1 << 20;
/// Ordinals from here on fill the disk: the checks of the model use some below.
const FIRST: u64 = 10_000;
const PLENTY: Option<Space> = None;

fn no_space<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NoSpace { .. })), "{result:?}");
}

fn free(disk: &SimDisk) -> u64 {
    disk.free(Path::new("")).unwrap()
}

/// So much more fits, and the disk says so.
fn leave(disk: &SimDisk, bytes: u64) {
    disk.set_space(Some(Space::Told(disk.used() + bytes)));
}

fn begin(disk: &SimDisk, fill_ahead: FillAhead) -> (JobStore, Model) {
    let options = StoreOptions { fill_ahead, ..options(disk) };
    let store = Store::open(Path::new("store"), options).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    (job, Model { is_created: true, ..Model::default() })
}

/// Commits runs until one is refused; where the next one begins.
fn commit_until_full(job: &JobStore, model: &mut Model, first: u64) -> u64 {
    for first in (first..).step_by(100) {
        match model.commit_run(job, first, 100) {
            Ok(()) => {}
            Err(StoreError::NoSpace { .. }) => return first,
            other => panic!("{other:?}"),
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn a_full_disk_is_found_before_a_write_is_torn_and_the_reserve_stays() {
    for fill_ahead in [FillAhead::Off, FillAhead::Inline, FillAhead::Background] {
        let disk = SimDisk::new();
        let (job, mut model) = begin(&disk, fill_ahead);
        leave(&disk, 4 << 20);

        let next = commit_until_full(&job, &mut model, FIRST);

        assert!(next > FIRST, "{fill_ahead:?}: there was room for some");
        assert!(free(&disk) >= RESERVE, "{fill_ahead:?}: {}", free(&disk));
        no_space(job.reopen());
        no_space(job.reopen());
        assert_eq!(disk.unfit_writes(), 0, "{fill_ahead:?}");
        let after = disk.after_process_end();
        after.set_space(PLENTY);
        let found = open_store(&after).unwrap().open_job(JOB).unwrap();
        assert_eq!(found.recovery().torn, None, "{fill_ahead:?}");
        assert_eq!(model.check_outcomes(&found), model.acknowledged, "{fill_ahead:?}");

        leave(&disk, 4 << 20);
        assert!(job.reopen().unwrap().renewed);
        assert!(commit_until_full(&job, &mut model, next) > next, "{fill_ahead:?}");
        drop(job);
        disk.set_space(PLENTY);
        model.check(&disk);
    }
}

/// At the edge every commit would end in another pause, and every try in another segment.
#[test]
fn a_job_goes_on_when_there_is_more_room_than_it_stopped_with() {
    let disk = SimDisk::new();
    let (job, mut model) = begin(&disk, FillAhead::Inline);
    leave(&disk, 2 << 20);
    let next = commit_until_full(&job, &mut model, FIRST);
    leave(&disk, 2 * RESERVE - 1);
    let files = disk.files();

    no_space(job.reopen());

    assert_eq!(disk.files(), files, "a try leaves nothing");
    leave(&disk, 2 * RESERVE);
    job.reopen().unwrap();
    model.commit_run(&job, next, 100).unwrap();
    drop(job);
    model.check(&disk);
}

#[test]
fn the_reserve_holds_an_orderly_end() {
    let disk = SimDisk::new();
    let (job, mut model) = begin(&disk, FillAhead::Off);
    model.commit_run(&job, 0, 100).unwrap();
    // Somebody else has filled the disk; this much is left of the reserve.
    leave(&disk, 8 << 10);

    job.finish(JobState::Finished).unwrap();

    drop(job);
    let store = open_store(&disk).unwrap();
    assert_eq!(store.list().unwrap()[0].state, JobState::Finished);
    assert_eq!(store.read_job(JOB).unwrap().counts().total(), 100);
    no_space(store.open_job(JOB));
    assert_eq!(store.read_job(JOB).unwrap().outcomes(0).map(Result::unwrap).count(), 100);
    assert_eq!(disk.unfit_writes(), 0);
    disk.set_space(PLENTY);
    model.check(&disk);
}

#[test]
fn nothing_is_begun_on_a_disk_without_room() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    leave(&disk, RESERVE - 1);
    let files = disk.files();
    no_space(store.create_job(JOB, &spec(Keying::Dense)));
    assert_eq!(disk.files(), files);
    leave(&disk, 2 * RESERVE);
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let files = disk.files();
    no_space(job.put_blob(&vec![7; 2 * RESERVE as usize]));
    assert_eq!((disk.files(), disk.unfit_writes()), (files, 0));
    // A blob that does not fit says nothing of the journal.
    Model::default().commit_run(&job, 0, 100).unwrap();
}

/// Lost room that a snapshot takes is worse than an opening that reads more.
#[test]
fn no_snapshot_is_written_into_the_reserve() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Keyed)).unwrap();
    let keys: Vec<_> = (0..1000u32).map(u32::to_le_bytes).collect();
    let outputs = entries(&vec![&b"x"[..]; keys.len()]);
    let items = keys.iter().map(|key| (&key[..], None));
    job.commit(Batch::completed_keyed(items, 1, &outputs).unwrap()).unwrap();
    leave(&disk, RESERVE + (16 << 10));
    no_space(job.snapshot());
    assert_eq!(disk.unfit_writes(), 0);
    leave(&disk, 2 * RESERVE);
    assert_eq!(job.snapshot().unwrap(), 1000);
}

#[test]
fn no_set_of_ordinals_is_written_into_the_reserve() {
    let disk = SimDisk::new();
    let (job, _) = begin(&disk, FillAhead::Off);
    // Far apart, so that each costs some bytes.
    for n in 0..600 {
        job.commit(Batch::completed_dense(n << 32, 1, 1, &entries(&[b"x"])).unwrap()).unwrap();
    }
    leave(&disk, RESERVE + (8 << 10));
    no_space(job.snapshot());
    leave(&disk, 2 * RESERVE);
    assert_eq!(job.snapshot().unwrap(), 600);
}

/// Nobody tells of a quota, so a write is torn by it; and each try of going on comes to the same end.
#[test]
fn a_quota_is_found_by_a_write_and_loses_nothing() {
    for fill_ahead in [FillAhead::Off, FillAhead::Inline] {
        for room in [40_000, 100_000, 103_000] {
            let disk = SimDisk::new();
            let (job, mut model) = begin(&disk, fill_ahead);
            model.commit_run(&job, 0, 10).unwrap();
            disk.set_space(Some(Space::Quota(disk.used() + room)));
            let next = commit_until_full(&job, &mut model, FIRST);
            assert!(disk.unfit_writes() > 0);
            // Whether a new segment still fits is chance. Without room for what it has to write again, nothing of it stays.
            let files = disk.files();
            disk.set_space(Some(Space::Quota(disk.used())));
            for _ in 0..3 {
                no_space(job.reopen());
                assert_eq!(disk.files(), files, "a try leaves nothing");
            }
            let dead = disk.after_process_end();
            model.check(&dead);

            disk.set_space(PLENTY);
            job.reopen().unwrap();
            model.commit_run(&job, next, 100).unwrap();
            model.check_outcomes(&job);
            drop(job);
            model.check(&disk);
        }
    }
}
