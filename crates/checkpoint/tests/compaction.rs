//! Compaction drops what later outcomes superseded and nothing else, whatever interrupts it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, Disk, JobState, JobStore, KeyRef, Lookup, Note, OutcomeBody, Store, StoreError, StoreOptions,
};
use cofferdam_pipeline_core::{Fingerprint, Key, Keying};
use cofferdam_testkit::{Fault, FaultPlan, SimDisk, SyncFailure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use support::proof::pick;
use support::{JOB, content_of, entries, limits, open_store, options, spec};

const LARGE: &[u8] = b"large";

/// The outcome of each key that counts: its fingerprint and its output.
type Current = BTreeMap<Vec<u8>, (u8, Vec<u8>)>;

fn key(n: u64) -> Vec<u8> {
    format!("file {n}").into_bytes()
}

fn print(n: u8) -> Option<Fingerprint> {
    Some(Fingerprint([n; 16]))
}

fn output(n: u64, input: u8) -> Vec<u8> {
    format!("{n} of input {input}, ").into_bytes().repeat(4)
}

fn commit(job: &JobStore, current: &mut Current, keys: std::ops::Range<u64>, input: u8) {
    let names: Vec<_> = keys.clone().map(key).collect();
    let outputs: Vec<_> = keys.map(|n| output(n, input)).collect();
    let bytes = entries(&outputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let items = names.iter().map(|name| (name.as_slice(), print(input)));
    job.commit(Batch::completed_keyed(items, 1, &bytes).unwrap()).unwrap();
    current.extend(names.into_iter().zip(outputs).map(|(name, output)| (name, (input, output))));
}

fn commit_blob(job: &JobStore, current: &mut Current, input: u8) {
    let content = output(1000, input);
    let blob = job.put_blob(&content).unwrap();
    job.commit(Batch::completed_blob(KeyRef::Bytes(LARGE), print(input), 1, blob).unwrap()).unwrap();
    current.insert(LARGE.to_vec(), (input, content));
}

/// Sessions that redo most of what was done before: two sealed segments that no snapshot continues in, a third that one does.
fn redone_job(disk: &SimDisk) -> (JobStore, Current) {
    let mut current = Current::new();
    let job = open_store(disk).unwrap().create_job(JOB, &spec(Keying::Keyed)).unwrap();
    commit(&job, &mut current, 0..30, 1);
    commit_blob(&job, &mut current, 1);
    job.note(KeyRef::Bytes(b"later"), Note { crashes: 1, ..Note::default() }).unwrap();
    job.note(KeyRef::Bytes(b"file 40"), Note { crashes: 1, ..Note::default() }).unwrap();
    job.save_state(KeyRef::Bytes(b"later"), None, b"page 7"[..].into()).unwrap();
    assert!(job.add_item(b"added", b"whole").unwrap());
    job.snapshot().unwrap();
    for (session, keys) in [(2, 0..28), (3, 5..41)] {
        job.finish(JobState::Interrupted).unwrap();
        let job = open_store(disk).unwrap().open_job(JOB).unwrap();
        commit(&job, &mut current, keys, session);
        commit_blob(&job, &mut current, session);
        job.snapshot().unwrap();
    }
    let job = open_store(disk).unwrap().open_job(JOB).unwrap();
    commit(&job, &mut current, 0..3, 4);
    (job, current)
}

/// All that counts is there, nothing else, and nothing is damaged.
fn check(store: &Store, disk: &dyn Disk, current: &Current) {
    for report in Store::verify(disk, Path::new("store")).unwrap() {
        assert!(report.is_intact(), "{report:?}");
    }
    let job = store.open_job(JOB).unwrap();
    check_open(&job, current);
}

fn check_open(job: &JobStore, current: &Current) {
    let mut found = Current::new();
    for outcome in job.outcomes(0) {
        let outcome = outcome.unwrap();
        let Key::Bytes(key) = outcome.key else { panic!("a keyed job has no ordinals") };
        let content = content_of(&job.blobs(), outcome.body);
        let input = outcome.fingerprint.unwrap().0[0];
        assert!(found.insert(key.to_vec(), (input, content)).is_none(), "{key:?} counts twice");
    }
    assert_eq!(found, *current);
    assert_eq!(job.counts().completed, current.len() as u64);
    for (key, (input, _)) in current {
        assert_eq!(job.lookup(KeyRef::Bytes(key), print(*input)), Lookup::Done);
    }
    assert_eq!(job.prior(KeyRef::Bytes(b"later")).map(|note| note.crashes), Some(1));
    assert_eq!(job.saved_state(KeyRef::Bytes(b"later"), None).as_deref(), Some(&b"page 7"[..]));
    assert_eq!(job.added_items().len(), 1);
}

fn files(disk: &SimDisk, begin: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(begin);
    disk.files().into_iter().filter(is_one).collect()
}

fn blobs(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.parent().unwrap().ends_with("blobs")).count()
}

/// Without snapshots the journal says the same.
fn without_snapshots(disk: &SimDisk) -> SimDisk {
    let disk = disk.after_process_end();
    for path in files(&disk, "snap-") {
        disk.shared().remove_file(&path).unwrap();
    }
    disk
}

#[test]
fn what_later_outcomes_superseded_goes_and_all_else_stays() {
    let disk = SimDisk::new();
    let (job, mut current) = redone_job(&disk);
    let reader = job.outcomes(0);
    assert_eq!((files(&disk, "seg-0").len(), blobs(&disk)), (4, 3));
    let report = job.compact().unwrap();
    // All of session 1, and of session 2 all but two. What session 4 superseded of session 3 waits for later snapshots.
    assert_eq!(report.outcomes, 31 + 29 - 2);
    assert_eq!((report.segments, report.blobs), (1, 2));
    assert!(report.bytes > 8192, "{report:?}");
    assert_eq!((files(&disk, "seg-0").len(), blobs(&disk)), (3, 1));
    check_open(&job, &current);
    assert_eq!(reader.map(Result::unwrap).count(), current.len());
    assert_eq!(job.compact().unwrap(), cofferdam_checkpoint::CompactionReport::default(), "there is no more");
    commit(&job, &mut current, 41..43, 1);
    check_open(&job, &current);
    drop(job);
    check(&open_store(&disk).unwrap(), &disk, &current);
    check(&open_store(&without_snapshots(&disk)).unwrap(), &without_snapshots(&disk), &current);
}

#[test]
fn one_sealed_segment_is_compacted_too_and_blobs_that_nobody_names_go() {
    let disk = SimDisk::new();
    let mut current = Current::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Keyed)).unwrap();
    commit(&job, &mut current, 0..30, 1);
    job.put_blob(b"its outcome never came").unwrap();
    job.snapshot().unwrap();
    job.finish(JobState::Interrupted).unwrap();
    let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
    for keys in [0..20, 20..28] {
        commit(&job, &mut current, keys, 2);
        job.snapshot().unwrap();
    }
    assert_eq!((files(&disk, "seg-0").len(), blobs(&disk)), (2, 1));
    let report = job.compact().unwrap();
    assert_eq!((report.outcomes, report.segments, report.blobs), (28, 0, 1));
    assert_eq!(job.outcomes(0).map(Result::unwrap).count(), current.len());
}

fn compact_until(at: u64) -> (SimDisk, Current, bool) {
    let disk = SimDisk::new();
    let (job, current) = redone_job(&disk);
    disk.crash_at(disk.calls() + at);
    let ended = job.compact().is_ok();
    // As a process that is not there any more: what follows is not written.
    drop(job);
    (disk, current, ended)
}

#[test]
fn a_power_cut_at_any_call_of_a_compaction_loses_nothing() {
    let (mut cuts, mut states) = (0, 0);
    for at in 0.. {
        let (disk, current, ended) = compact_until(at);
        for image in disk.after_power_cut(limits(1 << 10, at)).step_by(pick(5, 1, 1)) {
            check(&open_store(&image).unwrap(), &image, &current);
            let without = without_snapshots(&image);
            check(&open_store(&without).unwrap(), &without, &current);
            states += 1;
        }
        let image = disk.after_process_end();
        check(&open_store(&image).unwrap(), &image, &current);
        assert!(files(&image, "seg-0").len() <= 5, "what is replaced goes with the next opening");
        cuts += 1;
        if ended {
            break;
        }
    }
    println!("{cuts} power cuts in a compaction, {states} states");
    assert!(cuts > 30 && states > cuts, "{cuts} cuts, {states} states");
}

#[test]
fn a_call_that_fails_in_a_compaction_loses_nothing_and_the_job_goes_on() {
    for at in 0.. {
        let mut ended = true;
        for (fault, for_ever) in
            [(Fault::Eio, false), (Fault::Eio, true), (Fault::Enospc, true), (Fault::ShortWrite, false)]
        {
            let disk = SimDisk::new();
            let (job, mut current) = redone_job(&disk);
            disk.set_sync_failure(SyncFailure::CleanWithOld);
            disk.set_fault(Some(FaultPlan { at: disk.calls() + at, for_ever, fault }));
            let calls = disk.calls() + at;
            let _ = job.compact();
            ended &= disk.calls() <= calls;
            disk.set_fault(None);
            check_crashed(&disk, &current);
            job.reopen().unwrap();
            check_open(&job, &current);
            commit(&job, &mut current, 50..51, 1);
            job.compact().unwrap();
            check_open(&job, &current);
            drop(job);
            check(&open_store(&disk).unwrap(), &disk, &current);
        }
        if ended {
            break;
        }
    }
}

fn check_crashed(disk: &SimDisk, current: &Current) {
    let image = disk.after_process_end();
    check(&open_store(&image).unwrap(), &image, current);
}

#[test]
fn a_job_whose_inputs_all_change_again_and_again_stays_small() {
    let disk = SimDisk::new();
    let mut current = Current::new();
    let small = StoreOptions { snapshot_after_bytes: 4096, ..options(&disk) };
    let store = Store::open(Path::new("store"), small).unwrap();
    drop(store.create_job(JOB, &spec(Keying::Keyed)).unwrap());
    let mut most = (0, 0);
    for session in 1..=80 {
        let job = store.open_job(JOB).unwrap();
        (0..10).for_each(|part| commit(&job, &mut current, part * 10..part * 10 + 10, session));
        commit_blob(&job, &mut current, session);
        job.finish(JobState::Interrupted).unwrap();
        drop(job);
        let segments = files(&disk, "seg-0");
        let bytes: usize = segments.iter().map(|path| disk.peek(path).unwrap().len()).sum();
        most = (most.0.max(segments.len()), most.1.max(bytes));
        assert!(blobs(&disk) <= 6, "{} blobs after {session} sessions", blobs(&disk));
    }
    let live: usize = current.values().map(|(_, output)| output.len()).sum();
    assert!(most.0 <= 8 && most.1 < 20 * live, "{most:?} segments and bytes, of {live} that count");
    let job = store.open_job(JOB).unwrap();
    assert_eq!(job.counts().completed, 101);
}

#[test]
fn a_blob_whose_outcome_is_yet_to_come_stays() {
    let disk = SimDisk::new();
    let (job, mut current) = redone_job(&disk);
    let content = output(2000, 9);
    let blob = job.put_blob(&content).unwrap();
    job.compact().unwrap();
    job.commit(Batch::completed_blob(KeyRef::Bytes(b"slow"), print(9), 1, blob).unwrap()).unwrap();
    current.insert(b"slow".to_vec(), (9, content));
    check_open(&job, &current);
}

#[test]
fn a_reader_of_before_reads_on_and_learns_that_a_blob_went_with_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    let mut current = Current::new();
    let job = store.create_job(JOB, &spec(Keying::Keyed)).unwrap();
    commit(&job, &mut current, 0..9, 1);
    commit_blob(&job, &mut current, 1);
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    let reader = store.read_job(JOB).unwrap();
    let before: Vec<_> = reader.outcomes(0).map(Result::unwrap).collect();
    let mut removed = 0;
    for session in 2..5 {
        let job = store.open_job(JOB).unwrap();
        commit(&job, &mut current, 0..9, session);
        commit_blob(&job, &mut current, session);
        removed += job.compact().unwrap().blobs;
        check_outputs(&job, &current);
    }
    assert_eq!(removed, 2);
    assert_eq!(reader.outcomes(0).map(Result::unwrap).collect::<Vec<_>>(), before);
    let OutcomeBody::Blob(blob) = before.last().unwrap().body else { panic!("the last one was large") };
    assert!(matches!(reader.read_blob(&blob), Err(StoreError::BlobGone { .. })));
    let verified = Store::verify(&cofferdam_checkpoint::RealDisk, dir.path()).unwrap().remove(0);
    assert!(verified.is_intact() && verified.unreferenced_blobs.is_empty(), "{verified:?}");
}

fn check_outputs(job: &JobStore, current: &Current) {
    assert_eq!(job.outcomes(0).map(Result::unwrap).count(), current.len());
}

#[test]
fn commits_readers_and_backups_go_on_beside_compactions() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let options = || StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() };
    let store = Store::open(&root, options()).unwrap();
    let mut current = Current::new();
    drop(store.create_job(JOB, &spec(Keying::Keyed)).unwrap());
    for session in 1..4 {
        let job = store.open_job(JOB).unwrap();
        commit(&job, &mut current, 0..200, session);
        job.snapshot().unwrap();
    }
    let job = store.open_job(JOB).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..3 {
                job.compact().unwrap();
                job.backup_to(&dir.path().join(format!("copy {n}"))).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // One that is superseded meanwhile is not given; the one that supersedes it may not be durable yet.
                job.outcomes(0).for_each(|outcome| drop(outcome.unwrap()));
                assert_eq!(store.read_job(JOB).unwrap().outcomes(0).map(Result::unwrap).count(), 200);
            }
        });
        for n in 0.. {
            commit(&job, &mut current, n % 40 * 5..n % 40 * 5 + 5, 10 + (n / 40) as u8);
            if is_over.load(Ordering::Relaxed) || n == 9000 {
                break;
            }
        }
    });
    check_outputs(&job, &current);
}
