//! What people and systems do to a store from outside: files removed under it, permissions taken away, a disk mounted read-only,
//! an old HEAD put back, a job carried elsewhere.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Disk, Durability, JobState, JobStore, OpenLease, Store, StoreError, StoreOptions,
};
use cofferdam_pipeline_core::{Key, Keying};
use cofferdam_testkit::{Fault, FaultPlan, SimDisk};
use std::io;
use std::path::{Path, PathBuf};
use support::{JOB, Model, lease, limits, open_store, options, spec};

const ROOT: &str = "store";

fn begin(store: &Store, model: &mut Model) -> JobStore {
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.is_created = true;
    model.commit_run(&job, 0, 5).unwrap();
    job
}

fn dir_of_job(disk: &SimDisk) -> PathBuf {
    let head = disk.files().into_iter().find(|path| path.ends_with("HEAD")).unwrap();
    head.parent().unwrap().to_owned()
}

fn assert_removed<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Removed { .. })), "{result:?}");
}

/// A commit into a file without a name would succeed, with its sync, and be gone with the process.
fn nothing_is_acknowledged_without_files(durability: Durability) {
    let disk = SimDisk::new();
    let store = Store::open(Path::new(ROOT), StoreOptions { durability, ..options(&disk) }).unwrap();
    let mut model = Model::default();
    let job = begin(&store, &mut model);

    disk.remove_dir_all(&dir_of_job(&disk)).unwrap();

    assert_removed(model.commit_run(&job, 5, 1));
    assert!(matches!(model.commit_run(&job, 6, 1), Err(StoreError::Indeterminate)));
    assert_removed(job.reopen());
}

#[test]
fn nothing_is_acknowledged_in_a_directory_that_was_removed() {
    nothing_is_acknowledged_without_files(Durability::Power);
    nothing_is_acknowledged_without_files(Durability::Process);
}

#[test]
fn files_removed_on_a_real_disk_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(ROOT);
    let store = Store::open(&root, StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() })
        .unwrap();
    let mut model = Model::default();
    let job = begin(&store, &mut model);
    // Where the system refuses to remove what is open, nothing is lost.
    if std::fs::remove_dir_all(&root).is_err() || cfg!(not(unix)) {
        return;
    }
    assert_removed(model.commit_run(&job, 5, 1));
    assert_removed(job.reopen());
}

/// The job that was removed changes nothing of the one that came in its place, which goes on.
fn assert_left_alone(disk: &SimDisk, removed: JobStore, next: JobStore, mut model: Model) {
    assert_removed(model.clone().commit_run(&removed, 5, 1));
    assert_removed(removed.reopen());
    drop(removed);
    model.commit_run(&next, 5, 3).unwrap();
    drop(next);
    model.check(disk);
}

#[test]
fn a_job_that_came_in_the_place_of_a_removed_one_is_left_alone() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = begin(&store, &mut Model::default());
    disk.remove_dir_all(&dir_of_job(&disk)).unwrap();
    let mut model = Model::default();
    let next = begin(&store, &mut model);

    assert_left_alone(&disk, job, next, model);
}

/// The same with a copy that somebody put in the place: all that tells it from the job is that its lock is not ours.
#[test]
fn a_copy_that_was_put_in_the_place_of_a_job_is_left_alone() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let mut model = Model::default();
    let job = begin(&store, &mut model);
    let copy = disk.after_process_end();
    let dir = dir_of_job(&disk);
    disk.remove_dir_all(&dir).unwrap();
    carry((&copy, &disk), &dir, &WITH_DIRS);
    let next = store.open_job(JOB).unwrap();

    assert_left_alone(&disk, job, next, model);
}

/// An orderly end releases the lock even when it fails.
#[test]
fn a_job_whose_end_failed_is_continued_only_with_its_lock() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let mut model = Model::default();
    let job = begin(&store, &mut model);
    disk.set_fault(Some(FaultPlan { at: disk.calls(), for_ever: true, fault: Fault::Eio }));
    job.finish(JobState::Interrupted).unwrap_err();
    disk.set_fault(None);

    let next = store.open_job(JOB).unwrap();
    let reopened = job.reopen();
    assert!(matches!(reopened, Err(StoreError::Locked(_))), "{reopened:?}");
    drop(next);

    assert!(job.reopen().unwrap().renewed);
    assert!(matches!(store.open_job(JOB), Err(StoreError::Locked(_))), "it is locked again");
    model.commit_run(&job, 5, 3).unwrap();
    drop(job);
    model.check(&disk);
}

fn is_refusal(error: &StoreError, kind: io::ErrorKind) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == kind)
}

#[test]
fn what_may_not_be_changed_can_be_read_and_goes_on_when_it_may() {
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
        let disk = SimDisk::new();
        let mut model = Model::default();
        drop(begin(&open_store(&disk).unwrap(), &mut model));
        let before: Vec<_> = disk.files().iter().map(|path| disk.peek(path).unwrap()).collect();
        disk.refuse_changes(Some(kind));

        let store = open_store(&disk).unwrap();
        assert_eq!(store.list().unwrap().len(), 1);
        assert_eq!(store.read_job(JOB).unwrap().outcomes(0).map(Result::unwrap).count(), 5);
        assert!(Store::verify(&disk, Path::new(ROOT)).unwrap()[0].is_intact());
        assert!(is_refusal(&store.open_job(JOB).unwrap_err(), kind));
        assert!(is_refusal(&store.create_job("other", &spec(Keying::Dense)).unwrap_err(), kind));
        assert!(is_refusal(&store.delete(JOB).unwrap_err(), kind));
        assert!(is_refusal(&Store::open(Path::new("elsewhere"), options(&disk)).unwrap_err(), kind));

        disk.refuse_changes(None);
        let after: Vec<_> = disk.files().iter().map(|path| disk.peek(path).unwrap()).collect();
        assert_eq!(after, before, "nothing was changed");
        model.check(&disk);
    }
}

#[test]
fn a_disk_that_turns_read_only_under_a_job_loses_nothing_and_the_job_goes_on_afterwards() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    let job = begin(&open_store(&disk).unwrap(), &mut model);
    let kind = io::ErrorKind::ReadOnlyFilesystem;
    disk.refuse_changes(Some(kind));
    assert!(is_refusal(&model.commit_run(&job, 5, 1).unwrap_err(), kind));
    assert!(is_refusal(&job.reopen().unwrap_err(), kind));
    assert_eq!(job.outcomes(0).map(Result::unwrap).count(), 5);

    disk.refuse_changes(None);
    let reopened = job.reopen().unwrap();
    assert!(reopened.renewed && reopened.lsn == 5, "{reopened:?}");
    model.commit_run(&job, 6, 3).unwrap();
    drop(job);
    model.check(&disk);
}

/// All that HEAD ever said of a job with several sessions, merged segments and snapshots.
#[test]
fn an_older_head_from_a_backup_loses_nothing() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let mut model = Model::default();
    let mut heads = Vec::new();
    let mut keep = || heads.push(disk.peek(&dir_of_job(&disk).join("HEAD")).unwrap());
    drop(store.create_job(JOB, &spec(Keying::Dense)).unwrap());
    keep();
    for session in 0..12 {
        let job = store.open_job(JOB).unwrap();
        keep();
        model.commit_run(&job, session * 10, 7).unwrap();
        if session % 3 == 1 {
            job.snapshot().unwrap();
            keep();
            model.commit_run(&job, session * 10 + 7, 2).unwrap();
        }
        if session % 2 == 0 {
            job.finish(JobState::Interrupted).unwrap();
        }
        drop(job);
        keep();
    }
    assert!(heads.len() > 25);
    for head in heads {
        let restored = disk.after_process_end();
        restored.poke(&dir_of_job(&restored).join("HEAD"), head).unwrap();
        let store = open_store(&restored).unwrap();
        let read = store.read_job(JOB).unwrap();
        assert_eq!(read.counts().total(), model.acknowledged.len() as u64, "the end was marked as durable");
        let mut after = model.clone();
        let job = store.open_job(JOB).unwrap();
        after.check_outcomes(&job);
        after.commit_run(&job, 1000, 3).unwrap();
        // The one that HEAD names may be long gone.
        job.snapshot().unwrap();
        drop(job);
        let job = store.open_job(JOB).unwrap();
        assert_eq!(job.recovery().unusable_snapshots, [0u64; 0], "HEAD is right again");
        after.check_outcomes(&job);
    }
}

#[test]
fn an_older_head_hides_nothing_that_was_open_when_a_later_host_died() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let mut model = Model::default();
    let job = begin(&store, &mut model);
    lease(&job, 1, 20..23).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    let head = disk.peek(&dir_of_job(&disk).join("HEAD")).unwrap();
    let job = store.open_job(JOB).unwrap();
    assert_eq!(job.open_leases(), [], "an orderly end leaves nothing open");
    lease(&job, 2, 30..32).unwrap();
    model.commit_run(&job, 30, 1).unwrap();
    let dead = disk.after_process_end();

    dead.poke(&dir_of_job(&dead).join("HEAD"), head).unwrap();

    let job = open_store(&dead).unwrap().open_job(JOB).unwrap();
    assert_eq!(job.open_leases(), [OpenLease { worker: 0, lease: 2, items: vec![(1, Key::Ordinal(31))] }]);
    model.check_outcomes(&job);
}

/// Permission that goes leaves open files alone: commits go on until a new file is needed.
#[test]
fn permission_that_is_lost_under_a_job_stops_what_needs_it_and_loses_nothing() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    let job = begin(&open_store(&disk).unwrap(), &mut model);
    let kind = io::ErrorKind::PermissionDenied;
    disk.refuse_changes(Some(kind));
    model.commit_run(&job, 5, 1).unwrap();
    assert!(is_refusal(&job.put_blob(b"large").unwrap_err(), kind));
    assert!(is_refusal(&job.snapshot().unwrap_err(), kind));
    model.commit_run(&job, 6, 1).unwrap();
    disk.set_fault(Some(FaultPlan { at: disk.calls(), for_ever: false, fault: Fault::Eio }));
    model.commit_run(&job, 7, 1).unwrap_err();
    assert!(is_refusal(&job.reopen().unwrap_err(), kind));

    disk.refuse_changes(None);
    job.reopen().unwrap();
    model.commit_run(&job, 8, 3).unwrap();
    drop(job);
    model.check(&disk);
}

const WITH_DIRS: [&str; 3] = ["", "blobs", "staging"];

/// Copies the job in `dir` from one disk to the other, with these directories.
fn carry((from, to): (&SimDisk, &SimDisk), dir: &Path, dirs: &[&str]) {
    for below in dirs {
        to.create_dir(&dir.join(below)).unwrap();
    }
    for path in from.files().iter().filter(|path| path.starts_with(dir)) {
        to.poke(path, from.peek(path).unwrap()).unwrap();
    }
    to.sync_dir(dir.parent().unwrap()).unwrap();
    to.sync_dir(dir).unwrap();
}

#[test]
fn a_job_that_was_copied_into_a_store_elsewhere_goes_on_there() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    let job = begin(&open_store(&disk).unwrap(), &mut model);
    model.commit_blob(&job, 8).unwrap();
    job.snapshot().unwrap();
    model.commit_run(&job, 10, 5).unwrap();
    drop(job);

    let elsewhere = SimDisk::new();
    drop(open_store(&elsewhere).unwrap());
    let dir = dir_of_job(&disk);
    carry((&disk, &elsewhere), &dir, &WITH_DIRS);

    model.check(&elsewhere);
    let mut owner = open_store(&disk).unwrap().open_job(JOB).unwrap().previous_owner().unwrap().clone();
    assert!(owner.is_this_boot());
    owner.machine = "another".into();
    assert!(!owner.is_this_boot() && !owner.is_alive_here(), "its workers are nobody's here");
}

#[test]
fn a_job_that_was_carried_without_its_empty_directories_goes_on_and_takes_large_outputs() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    drop(begin(&open_store(&disk).unwrap(), &mut model));

    let elsewhere = SimDisk::new();
    drop(open_store(&elsewhere).unwrap());
    let dir = dir_of_job(&disk);
    carry((&disk, &elsewhere), &dir, &WITH_DIRS[..1]);
    let job = open_store(&elsewhere).unwrap().open_job(JOB).unwrap();
    model.commit_blob(&job, 8).unwrap();
    drop(job);

    for image in elsewhere.after_power_cut(limits(64, 8)) {
        model.clone().check(&image);
    }
}

#[test]
fn a_path_that_is_too_long_is_refused_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let too_long = dir.path().join("x".repeat(300));
    let opened =
        Store::open(&too_long, StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() });
    assert!(matches!(opened, Err(StoreError::Io { .. })), "{opened:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
