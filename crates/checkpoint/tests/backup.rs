//! A backup is a whole store or not there, whatever interrupts it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, Durability, JobState, KeyRef, Lookup, Note, Store, StoreError, StoreOptions,
};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::{JOB, Model, entries, lease, limits, open_store, options, spec};

const COPY: &str = "copy";

fn open_copy(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::open(Path::new(COPY), options(disk))
}

/// A job of three sessions with everything that a job can hold.
fn job(disk: &SimDisk) -> (Model, cofferdam_checkpoint::JobStore) {
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 20).unwrap();
    job.snapshot().unwrap();
    model.commit_blob(&job, 30).unwrap();
    drop(job);
    let job = open_store(disk).unwrap().open_job(JOB).unwrap();
    lease(&job, 1, 40..45).unwrap();
    job.note(KeyRef::Ordinal(41), Note { crashes: 1, ..Note::default() }).unwrap();
    model.commit_failed(&job, 40).unwrap();
    (model, job)
}

#[test]
fn a_copy_knows_what_was_durable_and_goes_on() {
    let disk = SimDisk::new();
    let (mut model, job) = job(&disk);
    job.backup_to(Path::new(COPY)).unwrap();
    model.commit_run(&job, 100, 2).unwrap();
    let copy = open_copy(&disk).unwrap();
    let listed = copy.list().unwrap();
    assert_eq!((listed[0].name.as_slice(), listed[0].state), (JOB.as_bytes(), JobState::Interrupted));
    let copied = copy.open_job(JOB).unwrap();
    assert_eq!(copied.recovery().snapshot, Some(20));
    assert!(copied.previous_owner().is_none() && copied.open_leases().is_empty());
    assert_eq!(copied.prior(KeyRef::Ordinal(41)).map(|note| note.crashes), Some(1));
    let mut of_copy = model.clone();
    of_copy.acknowledged.retain(|ordinal, _| *ordinal < 100);
    assert_eq!(of_copy.check_outcomes(&copied), of_copy.acknowledged);
    of_copy.commit_run(&copied, 200, 3).unwrap();
    model.check_outcomes(&job);
    assert!(
        matches!(job.backup_to(Path::new(COPY)), Err(StoreError::Io { .. })),
        "it never replaces anything"
    );
}

#[test]
fn a_crash_at_any_call_leaves_a_whole_copy_or_none() {
    let whole = SimDisk::new();
    let (_, live) = job(&whole);
    let began = whole.calls();
    live.backup_to(Path::new(COPY)).unwrap();
    let calls = whole.calls() - began;
    let mut complete = 0;
    for at in 0..=calls {
        let disk = SimDisk::new();
        let (model, live) = job(&disk);
        disk.crash_at(disk.calls() + at);
        let made = live.backup_to(Path::new(COPY));
        assert_eq!(made.is_ok(), at == calls);
        for image in disk.after_power_cut(limits(4, at)) {
            model.check(&image);
            let has_copy = image.files().iter().any(|path| path.starts_with(COPY));
            assert!(has_copy || made.is_err(), "a copy that was acknowledged is gone");
            if has_copy {
                let copied = open_copy(&image).unwrap().open_job(JOB).unwrap();
                assert_eq!(model.check_outcomes(&copied), model.acknowledged);
                complete += 1;
            }
        }
    }
    assert!(complete > 0);
}

#[test]
fn a_copy_of_a_damaged_job_is_refused() {
    let disk = SimDisk::new();
    let (_, live) = job(&disk);
    let path = disk.files().into_iter().find(|path| path.to_str().unwrap().contains("blobs")).unwrap();
    disk.poke(&path, b"something else".to_vec()).unwrap();
    assert!(matches!(live.backup_to(Path::new(COPY)), Err(StoreError::Corrupt(_))));
    assert!(disk.files().iter().all(|path| path.starts_with("store")), "{:?}", disk.files());
    live.commit(Batch::completed_dense(300, 1, 1, &entries(&[b"x"])).unwrap()).unwrap();
}

#[test]
fn copies_are_made_beside_threads_that_commit() {
    const COMMITS: u64 = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        accept_weak_file_system: true,
        durability: Durability::Process,
        snapshot_after_bytes: 32 << 10,
        ..StoreOptions::default()
    };
    let job = Store::open(&dir.path().join("store"), options())
        .unwrap()
        .create_job(JOB, &spec(Keying::Keyed))
        .unwrap();
    let (committed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..COMMITS {
                let key = n.to_le_bytes();
                let outputs = entries(&[&[7; 100]]);
                job.commit(Batch::completed_keyed([(&key[..], None)], 1, &outputs).unwrap()).unwrap();
                committed.store(n + 1, Ordering::SeqCst);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut copies = 0;
        while !is_over.load(Ordering::SeqCst) {
            let root = dir.path().join(format!("copy-{copies}"));
            let before = committed.load(Ordering::SeqCst);
            job.backup_to(&root).unwrap();
            let copied = Store::open(&root, options()).unwrap().open_job(JOB).unwrap();
            assert!(
                (0..before).all(|n| copied.lookup(KeyRef::Bytes(&n.to_le_bytes()), None) == Lookup::Done)
            );
            assert_eq!(copied.outcomes(0).map(Result::unwrap).count() as u64, copied.counts().completed);
            copies += 1;
        }
    });
}
