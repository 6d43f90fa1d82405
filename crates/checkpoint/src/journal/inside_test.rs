//! What shows only inside the journal: full segments without filling them, how much is left to read, and snapshots that
//! are intact and belong elsewhere.

use super::append::FrameKind;
use super::create::begin_segment;
use super::fill::{FillAhead, FillError};
use super::group::State;
use super::lead::lock;
use super::reader::Frame;
use super::rewrite::Tail;
use crate::batch::Batch;
use crate::format::frame::{FLAG_COMMIT, FLAG_SKIPPABLE, HEADER_LEN, TYPE_RECORDS};
use crate::format::record::{Record, records};
use crate::format::segment::{FRAMES_START, SegmentHeader};
use crate::format::snapshot::{FOOTER_LEN, Footer, SUM_LEN, file_name};
use crate::{CommitEvent, Durability, JobSpec, JobStore, KeyRef, Store, StoreError, StoreOptions, clock};
use cofferdam_pipeline_core::{Fingerprint, Keying, push_entry_len};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use xxhash_rust::xxh3::Xxh3;

const JOB: &str = "job";

/// No thread of the store does anything by itself.
fn store(root: &Path, durability: Durability) -> Store {
    Store::open(root, options(durability)).unwrap()
}

fn options(durability: Durability) -> StoreOptions {
    StoreOptions {
        accept_weak_file_system: true,
        durability,
        fill_ahead: FillAhead::Off,
        snapshot_after_bytes: u64::MAX,
        idle_mark: Duration::MAX,
        ..StoreOptions::default()
    }
}

pub(super) fn job() -> (TempDir, JobStore) {
    job_with(Durability::Process)
}

pub(super) fn job_with(durability: Durability) -> (TempDir, JobStore) {
    job_of(&|root| store(root, durability))
}

fn job_of(store: &dyn Fn(&Path) -> Store) -> (TempDir, JobStore) {
    let dir = tempfile::tempdir().unwrap();
    let job = store(&dir.path().join("store")).create_job(JOB, &spec(Keying::Dense)).unwrap();
    (dir, job)
}

pub(super) fn keyed_job() -> (TempDir, JobStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store"), Durability::Process);
    let job = store.create_job(JOB, &spec(Keying::Keyed)).unwrap();
    (dir, job)
}

fn spec(keying: Keying) -> JobSpec {
    JobSpec { processor: "facts".into(), version: 1, codec: 1, keying, config: Vec::new() }
}

fn outputs(output: &[u8]) -> Vec<u8> {
    let mut outputs = Vec::new();
    push_entry_len(&mut outputs, output.len());
    outputs.extend_from_slice(output);
    outputs
}

pub(super) fn commit(job: &JobStore, ordinal: u64, output: &[u8]) {
    job.commit(Batch::completed_dense(ordinal, 1, 1, &outputs(output)).unwrap()).unwrap();
}

pub(super) fn commit_key(job: &JobStore, key: &str, input: u8, output: &[u8]) {
    let item = (key.as_bytes(), Some(Fingerprint([input; 16])));
    job.commit(Batch::completed_keyed([item], 1, &outputs(output)).unwrap()).unwrap();
}

/// So much that the next segment does not take this one in; after the next time, none of it counts.
pub(super) fn fill_keys(job: &JobStore, input: u8) {
    (0..5).for_each(|part| commit_key(job, &format!("large {part}"), input, &[7; 1 << 20]));
}

/// Writes a frame that is not for the index.
pub(super) fn append(job: &JobStore, kind: FrameKind, body: &[u8]) {
    let mut frame = vec![0; HEADER_LEN];
    frame.extend_from_slice(body);
    lock(&job.journal.tip).appender.append(kind, &mut frame).unwrap();
}

/// Type, flags, outcomes, and the records in short.
pub(super) type ShownFrame = (u8, u8, u32, Vec<String>);

pub(super) fn frames_of(job: &JobStore, tail: &Tail) -> Vec<ShownFrame> {
    let mut frames = Vec::new();
    let take = |frame: &Frame<'_>| {
        let is_records = frame.header.kind == TYPE_RECORDS;
        let body = if is_records { frame.body } else { &[] };
        let shown = records(body).map(|record| shown(&record.unwrap())).collect();
        frames.push((frame.header.kind, frame.header.flags, frame.header.count, shown));
        Ok(())
    };
    tail.each(job.journal.disk.as_ref(), take).unwrap();
    frames
}

fn shown(record: &Record<'_>) -> String {
    match record {
        Record::Dropped { count } => format!("{count} dropped"),
        Record::Completed { item, .. } => format!("{:?}", item.key),
        Record::SavedState { state, .. } => format!("state {state:?}"),
        Record::LeaseStarted { lease, .. } => format!("lease {lease}"),
        other => format!("{other:?}"),
    }
}

/// Opens what is there now, as after the death of whoever has `job` open.
pub(super) fn after_death(dir: &TempDir, job: &JobStore) -> JobStore {
    try_after_death(dir, job).unwrap()
}

pub(super) fn try_after_death(dir: &TempDir, job: &JobStore) -> Result<JobStore, StoreError> {
    let root = dir.path().join("copy");
    let jobs = root.join(job.journal.dir.strip_prefix(dir.path().join("store")).unwrap());
    for part in ["", "blobs", "staging"] {
        std::fs::create_dir_all(jobs.join(part)).unwrap();
    }
    let copy = |from: PathBuf, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    copy(dir.path().join("store"), &root);
    copy(job.journal.dir.clone(), &jobs);
    store(&root, Durability::Process).open_job(JOB)
}

pub(super) fn rotate(job: &JobStore) {
    job.journal.rotate(&mut lock(&job.journal.tip)).unwrap();
}

pub(super) fn links(job: &JobStore) -> Vec<u64> {
    lock(&job.journal.chain).links.iter().map(|link| link.seq).collect()
}

#[test]
fn behind_a_full_segment_head_still_names_its_snapshot() {
    let (dir, job) = job();
    // So much counts of it that the next segment does not take it in.
    for ordinal in 0..5 {
        commit(&job, ordinal, &[7; 1 << 20]);
    }
    assert_eq!(job.snapshot().unwrap(), 5);
    rotate(&job);
    commit(&job, 5, b"behind");
    assert_eq!(links(&job), [1, 2]);
    let again = after_death(&dir, &job);
    assert_eq!(again.recovery().snapshot, Some(5));
    assert_eq!(again.counts().completed, 6);
}

#[test]
fn a_full_segment_of_saved_states_is_taken_in_and_head_names_no_snapshot_that_begins_in_it() {
    let (dir, job) = job();
    commit(&job, 0, b"first");
    job.snapshot().unwrap();
    for page in 0..6 {
        job.save_state(KeyRef::Ordinal(9), None, vec![page; 1 << 20].into()).unwrap();
    }
    rotate(&job);
    rotate(&job);
    assert_eq!(links(&job), [3]);
    assert_eq!(lock(&job.journal.head).head.snapshot_lsn, 0);
    let again = after_death(&dir, &job);
    let report = again.recovery();
    assert_eq!((report.snapshot, report.unusable_snapshots), (None, vec![]));
    assert_eq!(again.saved_state(KeyRef::Ordinal(9), None).as_deref(), Some(&[5; 1 << 20][..]));
    assert_eq!(again.counts().completed, 1);
    // What follows it holds nothing of others.
    (1..6).for_each(|ordinal| commit(&job, ordinal, &[7; 1 << 20]));
    rotate(&job);
    assert_eq!((links(&job), lock(&job.journal.tip).appender.header.absorbs), (vec![3, 4], 0));
    assert_eq!(job.outcomes(0).map(Result::unwrap).count(), 6);
}

#[test]
fn an_opening_knows_how_much_it_had_to_read() {
    let (dir, job) = job();
    let end = || lock(&job.journal.tip).appender.offset();
    for ordinal in 0..5 {
        commit(&job, ordinal, &[7; 1 << 20]);
    }
    let snapshot_at = end();
    job.snapshot().unwrap();
    assert_eq!(job.journal.snapshots.behind(), 0);
    commit(&job, 5, &[7; 100]);
    let first = end() - snapshot_at;
    rotate(&job);
    let begin = crate::format::segment::FRAMES_START;
    commit(&job, 6, &[7; 1000]);
    commit(&job, 7, &[7; 10_000]);
    let again = after_death(&dir, &job);
    assert_eq!(lock(&again.journal.chain).durable_lsn, 8);
    assert_eq!(lock(&again.journal.head).head.durable_lsn, 8);
    let behind = again.journal.snapshots.behind();
    assert_eq!(behind, first + end() - begin);
}

#[test]
fn an_intact_snapshot_of_another_store_job_or_place_in_it_is_not_used() {
    let foreign: [fn(&mut Footer); 5] = [
        |footer| footer.store[0] ^= 1,
        |footer| footer.job[15] ^= 1,
        |footer| footer.lsn += 1,
        |footer| footer.place.end += 1 << 40,
        |footer| footer.place.salt ^= 1,
    ];
    let change = |change: fn(&mut Footer)| {
        let (dir, job) = job();
        commit(&job, 0, b"output");
        job.snapshot().unwrap();
        let path = job.journal.dir.join(file_name(1));
        let mut content = std::fs::read(&path).unwrap();
        let at = content.len() - FOOTER_LEN - SUM_LEN;
        let mut footer = Footer::decode(content[at..].first_chunk().unwrap()).unwrap();
        change(&mut footer);
        content.truncate(at);
        content.extend_from_slice(&footer.encode());
        let mut sum = Xxh3::new();
        sum.update(&content);
        content.extend_from_slice(&sum.digest128().to_le_bytes());
        std::fs::write(&path, content).unwrap();
        let again = after_death(&dir, &job);
        assert_eq!(again.counts().completed, 1);
        again.recovery()
    };
    assert_eq!(change(|_| {}).snapshot, Some(1), "what is put together here is a snapshot");
    for make_foreign in foreign {
        let report = change(make_foreign);
        assert_eq!((report.snapshot, report.unusable_snapshots), (None, vec![1]));
    }
}

#[test]
fn a_mark_syncs_what_no_commit_has_synced_and_then_itself() {
    for (durability, syncs) in [(Durability::Power, 1), (Durability::Process, 2)] {
        let (_dir, job) = job_with(durability);
        commit(&job, 0, b"output");
        let before = job.sync_stats().syncs;
        job.journal.write_mark().unwrap();
        assert_eq!(job.sync_stats().syncs - before, syncs, "{durability:?}");
    }
}

#[test]
fn while_a_group_is_written_nobody_who_submits_waits() {
    let (_dir, job) = job();
    let outputs = outputs(&[7; 100_000]);
    let (told, is_told) = std::sync::mpsc::channel();
    job.on_commit(move |event| drop(told.send(event)));
    let (submitted, is_submitted) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        // Whoever writes stands still here.
        let tip = lock(&job.journal.tip);
        scope.spawn(|| {
            for ordinal in 0..3 {
                submitted.send(job.submit(Batch::completed_dense(ordinal, 1, 1, &outputs).unwrap())).unwrap();
            }
        });
        for _ in 0..3 {
            is_submitted.recv_timeout(Duration::from_secs(60)).expect("it does not wait").unwrap();
        }
        drop(tip);
    });
    let mut durable = 0;
    while durable < 3 {
        match is_told.recv_timeout(Duration::from_secs(60)).expect("what was submitted is written") {
            CommitEvent::Durable { through, .. } => durable = through,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_segment_that_is_full_is_followed_when_the_next_frame_comes() {
    let (_dir, job) = job();
    let fill = |ordinals: std::ops::Range<u64>| ordinals.for_each(|n| commit(&job, n, &[7; 1 << 20]));
    fill(0..8);
    assert_eq!(links(&job), [1]);
    fill(8..16);
    assert_eq!(links(&job), [1, 2]);
    job.journal.write_mark().unwrap();
    assert_eq!(links(&job), [1, 2, 3]);
}

#[test]
fn records_that_no_commit_syncs_ask_for_a_mark_after_8_mib() {
    let (_dir, job) = job();
    let is_unmarked = || lock(&job.journal.state).is_unmarked;
    let save = || job.save_state(KeyRef::Ordinal(0), None, vec![7; (1 << 20) - 100].into()).unwrap();
    (0..8).for_each(|_| save());
    assert!(!is_unmarked());
    save();
    assert!(is_unmarked());
}

/// Whoever commits and waits writes the group by itself; the journal's thread has the mark to write, and slept.
#[test]
fn a_commit_in_a_pause_is_followed_by_its_mark() {
    let marks = StoreOptions { idle_mark: Duration::from_millis(1), ..options(Durability::Process) };
    let (_dir, job) = job_of(&|root| Store::open(root, marks.clone()).unwrap());
    let deadline = clock::now() + Duration::from_secs(60);
    let until = |what: fn(&State) -> bool| {
        while !what(&lock(&job.journal.state)) {
            assert!(clock::now() < deadline, "nothing happens");
            std::thread::yield_now();
        }
    };
    for ordinal in 0..2 {
        until(|state| state.is_asleep);
        commit(&job, ordinal, b"output");
        until(|state| !state.is_unmarked);
    }
}

#[test]
fn the_journals_thread_is_woken_for_what_was_submitted_while_a_caller_wrote() {
    let marks = StoreOptions { idle_mark: Duration::from_secs(3600), ..options(Durability::Process) };
    let (_dir, job) = job_of(&|root| Store::open(root, marks.clone()).unwrap());
    let deadline = clock::now() + Duration::from_secs(60);
    let until = |what: &dyn Fn(&State) -> bool| {
        while !what(&lock(&job.journal.state)) {
            assert!(clock::now() < deadline, "nothing happens");
            std::thread::yield_now();
        }
    };
    commit(&job, 0, b"output");
    std::thread::scope(|scope| {
        let tip = lock(&job.journal.tip);
        scope.spawn(|| commit(&job, 1, b"output"));
        until(&|state| state.is_led);
        let ticket = job.submit(Batch::completed_dense(2, 1, 1, &outputs(b"output")).unwrap()).unwrap();
        // It looks, finds that somebody writes, and waits for an hour.
        (0..10_000).for_each(|_| std::thread::yield_now());
        drop(tip);
        until(&|state| state.durable_ticket >= ticket);
    });
}

#[test]
fn a_failure_outside_of_a_group_is_told_no_snapshot_is_written_after_it_and_tickets_go_on() {
    let (_dir, job) = job();
    let (told, is_told) = std::sync::mpsc::channel();
    job.on_commit(move |event| drop(told.send(event)));
    let submit = |n| job.submit(Batch::completed_dense(n, 1, 1, &outputs(b"output")).unwrap()).unwrap();
    let ticket = submit(0);
    commit(&job, 1, b"output");
    job.journal.fail(StoreError::Indeterminate);
    assert!(is_told.iter().any(|event| matches!(event, CommitEvent::Failed(_))));
    assert!(matches!(job.snapshot(), Err(StoreError::Indeterminate)));
    assert!(job.reopen().unwrap().renewed);
    assert_eq!(submit(2), ticket + 2);
}

#[test]
fn head_follows_a_commit_when_it_is_five_seconds_old() {
    let (_dir, job) = job();
    let told = || lock(&job.journal.head).head.durable_lsn;
    commit(&job, 0, b"output");
    assert_eq!(told(), 0);
    let long_ago = clock::now().checked_sub(crate::limits::HEAD_INTERVAL_BUSY).unwrap();
    lock(&job.journal.state).last_head = long_ago;
    commit(&job, 1, b"output");
    assert_eq!(told(), 2);
}

#[test]
fn a_frame_of_a_later_version_is_passed_over_if_it_says_so_and_refused_otherwise() {
    for flags in [FLAG_SKIPPABLE, FLAG_COMMIT] {
        let (dir, job) = job();
        commit(&job, 0, b"output");
        append(&job, FrameKind { kind: 9, flags, count: 0 }, b"of a later version");
        commit(&job, 1, b"output");
        job.journal.write_mark().unwrap();
        match try_after_death(&dir, &job) {
            Ok(again) => assert_eq!((again.counts().completed, flags), (2, FLAG_SKIPPABLE)),
            Err(StoreError::NewerVersion { found, .. }) => assert_eq!((found, flags), (9, FLAG_COMMIT)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_segment_whose_first_frame_is_torn_never_began() {
    let (dir, job) = job();
    commit(&job, 0, b"output");
    job.journal.write_mark().unwrap();
    let header = {
        let tip = lock(&job.journal.tip);
        SegmentHeader { seq: 2, prev: tip.appender.pin(), ..tip.appender.header }
    };
    let (appender, _) =
        begin_segment(&job.journal.disk, &job.journal.dir, header, &[], FillAhead::Off).unwrap();
    let mut content = std::fs::read(&appender.path).unwrap();
    content[FRAMES_START as usize + HEADER_LEN] ^= 1;
    std::fs::write(&appender.path, content).unwrap();
    let again = after_death(&dir, &job);
    assert_eq!((again.counts().completed, again.recovery().skipped_segments), (1, vec![2]));
}

#[test]
fn a_sync_that_fails_while_a_segment_is_filled_is_a_failure_and_a_write_is_none() {
    let (_dir, job) = job();
    let failed = job.journal.fill_result(Err(FillError::Sync(std::io::Error::other("EIO"))));
    assert!(matches!(failed, Err(StoreError::Io { .. })), "{failed:?}");
    assert!(job.journal.fill_result(Err(FillError::Write)).is_ok());
}
