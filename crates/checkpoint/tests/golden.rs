//! Stores written by released versions stay readable: those in `golden` were written once and are never written again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, BlobRef, Disk, FillAhead, JobState, KeyRef, Lookup, Note, OpenMode, OutcomeBody, OutcomeRecord,
    OutputBody, RealDisk, Store, StoreError, StoreOptions, StoredOutput,
};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Key, Keying, OutcomeKind};
use cofferdam_testkit::{Fault, FaultPlan, SimDisk};
use std::path::{Path, PathBuf};
use support::proof::pick;
use support::{entries, limits, open_store, spec};

const DENSE: &[u8] = b"dense";
const KEYED: &[u8] = b"keyed \xff";
const LARGE: &[u8] = b"the content of a blob";

/// A store of version 1, and one with snapshots.
const PLAIN: &str = "v1";
const SNAPSHOTS: &str = "v1-snapshots";
/// One of version 2, with a compacted segment.
const COMPACTED: &str = "v2";
/// One of version 2, whose outcomes name files.
const FILES: &str = "v2-files";
/// Where the jobs of version 1 lie, and those of version 2.
const JOBS_OF_1: &str = "store/jobs";
const JOBS_OF_2: &str = "store/jobs-2";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn evidence() -> Evidence {
    Evidence {
        kind: "SIGSEGV".into(),
        message: "ended by SIGSEGV (11)".into(),
        stage: "decode".into(),
        progress: Some((3, 14)),
        breadcrumbs: vec!["opened".into(), "page 3".into()],
        stderr_tail: "é".into(),
        backtrace: "main".into(),
    }
}

fn print(n: u8) -> Option<Fingerprint> {
    Some(Fingerprint([n; 16]))
}

/// Set by hand, once for each version of the format: its golden files are written before they are read. Those of older versions were
/// written by the code of their time.
const WRITE: &str = "COFFERDAM_WRITE_GOLDEN";

fn new_golden_store(name: &str) -> Store {
    let options = StoreOptions {
        disk: RealDisk::shared(),
        fill_ahead: FillAhead::Off,
        accept_weak_file_system: true,
        ..StoreOptions::default()
    };
    Store::open(&golden(name), options).unwrap()
}

/// Outputs in the record and as blobs, with a file and with two.
fn write_golden_files() {
    let store = new_golden_store(FILES);
    let job = store.create_job(KEYED, &spec(Keying::Keyed)).unwrap();
    let files = vec![job.put_blob(b"film").unwrap(), job.put_blob(b"index").unwrap()];
    let stored = StoredOutput { body: OutputBody::Inline(&b"two"[..]), files: files.clone() };
    let batch = Batch::completed_with_files(KeyRef::Bytes(b"a"), print(1), 1, stored).unwrap();
    job.commit(batch).unwrap();
    let body = OutputBody::Blob(job.put_blob(LARGE).unwrap());
    let stored = StoredOutput { body, files: files[..1].to_vec() };
    let batch = Batch::completed_with_files(KeyRef::Bytes(b"b\xff"), None, 2, stored).unwrap();
    job.commit(batch).unwrap();
    job.finish(JobState::Finished).unwrap();
}

/// A job whose items were done again in four sessions, so that two of its segments became one.
fn write_golden_compacted() {
    let store = new_golden_store(COMPACTED);
    drop(store.create_job(KEYED, &spec(Keying::Keyed)).unwrap());
    for session in 1..5u8 {
        let job = store.open_job(KEYED).unwrap();
        for key in [&b"a"[..], b"b\xff", b"c"].iter().skip(usize::from(session / 4)) {
            let item = [(*key, print(session))];
            job.commit(Batch::completed_keyed(item, 1, &entries(&[&[session]])).unwrap()).unwrap();
        }
        let blob = job.put_blob(&[LARGE, &[session]].concat()).unwrap();
        job.commit(Batch::completed_blob(KeyRef::Bytes(b"large"), print(session), 1, blob).unwrap()).unwrap();
        job.note(KeyRef::Bytes(b"later"), Note { crashes: session.into(), ..Note::default() }).unwrap();
        job.snapshot().unwrap();
        if session == 4 {
            assert!(job.compact().unwrap().outcomes > 0);
        }
        job.finish(JobState::Interrupted).unwrap();
    }
}

/// A golden store on a simulated disk; version control keeps no empty directories.
fn golden_disk(name: &str) -> SimDisk {
    static WRITTEN: std::sync::Once = std::sync::Once::new();
    if std::env::var_os(WRITE).is_some() {
        WRITTEN.call_once(|| {
            if !golden(COMPACTED).exists() {
                write_golden_compacted();
            }
            if !golden(FILES).exists() {
                write_golden_files();
            }
        });
    }
    let disk = SimDisk::new();
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        let path = Path::new("store").join(&dir);
        disk.create_dir(&path).unwrap();
        disk.sync_dir(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))
            .unwrap();
        let mut is_job = false;
        for entry in std::fs::read_dir(golden(name).join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else {
                is_job |= entry.file_name() == "HEAD";
                disk.poke(&Path::new("store").join(&path), std::fs::read(entry.path()).unwrap()).unwrap();
            }
        }
        for missing in ["staging", "blobs"].iter().filter(|_| is_job) {
            // What is there already is created again below its parent.
            if !golden(name).join(&dir).join(missing).is_dir() {
                disk.create_dir(&Path::new("store").join(&dir).join(missing)).unwrap();
            }
        }
        disk.sync_dir(&path).unwrap();
    }
    disk
}

#[test]
fn a_dense_job_of_version_1_is_read_whole() {
    let store = migrated(&golden_disk(PLAIN));
    let job = store.open_job(DENSE).unwrap();
    assert_eq!(job.spec(), &spec(Keying::Dense));
    let read: Vec<_> = job.outcomes(0).map(Result::unwrap).collect();
    let bodies: Vec<_> = read.iter().map(|outcome| outcome.body.clone()).collect();
    let output = |text: &[u8]| OutcomeBody::Output(text.to_vec());
    assert_eq!(bodies, [output(b"zero"), output(b""), output(b"two"), OutcomeBody::Evidence(evidence())]);
    let last = &read[3];
    assert_eq!((last.lsn, &last.key, last.kind), (4, &Key::Ordinal(9), OutcomeKind::Quarantined));
    assert_eq!((last.attempts, last.step), (2, 0));
    let note = Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 };
    assert_eq!(job.prior(KeyRef::Ordinal(8)), Some(note));
    let open: Vec<_> = job.open_leases()[0].items.iter().map(|(position, _)| *position).collect();
    assert_eq!(open, [0, 2, 3]);
}

#[test]
fn a_keyed_job_of_version_1_is_read_whole_and_continued() {
    let store = migrated(&golden_disk(PLAIN));
    let mut listed = store.list().unwrap();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(listed.iter().map(|job| job.name.as_slice()).collect::<Vec<_>>(), [DENSE, KEYED]);
    assert_eq!((listed[1].state, listed[1].counts.completed), (JobState::Finished, 2));
    let job = store.open_job(KEYED).unwrap();
    assert_eq!(job.lookup(KeyRef::Bytes(b"a"), print(2)), Lookup::Done);
    assert_eq!(job.lookup(KeyRef::Bytes(b"a"), print(1)), Lookup::Changed);
    let read: Vec<_> = job.outcomes(0).map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|outcome| outcome.lsn).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(read[0].key, Key::Bytes(b"b\xff"[..].into()));
    let OutcomeBody::Blob(blob) = read[1].body else { panic!("{:?}", read[1]) };
    assert_eq!(job.read_blob(&blob).unwrap(), LARGE);
    let outputs = entries(&[b"4"]);
    job.commit(Batch::completed_keyed([(&b"c"[..], None)], 1, &outputs).unwrap()).unwrap();
    drop(job);
    assert_eq!(store.read_job(KEYED).unwrap().counts().completed, 3);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line as the independent reader, `.ci/read-store.py`, writes it.
fn line(outcome: &OutcomeRecord) -> String {
    let key = match &outcome.key {
        Key::Ordinal(ordinal) => format!("ordinal:{ordinal}"),
        Key::Bytes(bytes) => format!("key:{}", hex(bytes)),
    };
    let print = outcome.fingerprint.map_or("-".into(), |print| hex(&print.0));
    let what = match &outcome.body {
        OutcomeBody::Output(output) if output.is_empty() => "-".into(),
        OutcomeBody::Output(output) => hex(output),
        OutcomeBody::Blob(blob) => format!("blob:{}:{}", blob.len, hex(&blob.hash)),
        OutcomeBody::WithFiles(StoredOutput { body, files }) => {
            let blob = |blob: &BlobRef| format!("blob:{}:{}+", blob.len, hex(&blob.hash));
            let files: String = files.iter().map(blob).collect();
            match body {
                OutputBody::Inline(output) => files + &hex(output),
                OutputBody::Blob(output) => (files + &blob(output)).trim_end_matches('+').into(),
            }
        }
        OutcomeBody::Evidence(evidence) => hex(evidence.kind.as_bytes()),
    };
    let kind = format!("{:?}", outcome.kind).to_lowercase();
    format!("{} {key} {print} {kind} {} {what}\n", outcome.lsn, outcome.attempts)
}

/// `.ci/run` holds the listing of a reader that was written from the spec alone against the same file.
#[test]
fn the_golden_stores_are_listed_as_the_independent_reader_lists_them() {
    assert_eq!(listing(&golden_disk(PLAIN)), include_str!("golden/v1.listing"));
    assert_eq!(listing(&golden_disk(SNAPSHOTS)), include_str!("golden/v1-snapshots.listing"));
    assert_eq!(listing(&golden_disk(COMPACTED)), include_str!("golden/v2.listing"));
    assert_eq!(listing(&golden_disk(FILES)), include_str!("golden/v2-files.listing"));
}

fn migrated(disk: &SimDisk) -> Store {
    let mut store = open_store(disk).unwrap();
    assert_eq!(store.migrate().unwrap(), 2);
    store
}

/// What a store of whatever version holds.
fn listing(disk: &SimDisk) -> String {
    let store = open_store(disk).unwrap();
    let mut listing = String::new();
    for summary in store.list().unwrap() {
        let job = store.read_job(&summary.name).unwrap();
        let outcomes: Vec<_> = job.outcomes(0).map(Result::unwrap).collect();
        let state = format!("{:?}", summary.state).to_lowercase();
        listing += &format!("job {} {state} {}\n", hex(&summary.name), outcomes.len());
        listing.extend(outcomes.iter().map(line));
    }
    listing
}

#[test]
fn the_snapshots_of_version_1_serve_and_tell_what_they_held() {
    let store = migrated(&golden_disk(SNAPSHOTS));
    let job = store.open_job(DENSE).unwrap();
    assert_eq!((job.recovery().snapshot, job.counts().completed), (Some(106), 106));
    assert_eq!(job.saved_state(KeyRef::Ordinal(9), None).as_deref(), Some(&b"page 7"[..]));
    assert_eq!(job.prior(KeyRef::Ordinal(8)).map(|note| note.host_deaths), Some(4));
    assert_eq!(job.open_leases()[0].items.len(), 4);
    let job = store.open_job(KEYED).unwrap();
    assert_eq!((job.recovery().snapshot, job.recovery().unusable_snapshots), (Some(4), vec![]));
    assert_eq!(job.lookup(KeyRef::Bytes(b"a"), print(1)), Lookup::Changed);
    assert_eq!(job.lookup(KeyRef::Bytes(b"d"), None), Lookup::Done);
    assert_eq!(job.added_items().len(), 1);
    assert_eq!((job.counts().completed, job.counts().failed), (3, 1));
}

#[test]
fn a_compacted_segment_of_version_2_is_read_whole_and_the_job_continued() {
    let disk = golden_disk(COMPACTED);
    let verified = Store::verify(&disk, Path::new("store")).unwrap().remove(0);
    assert!(verified.is_intact() && verified.outcomes == 15, "{verified:?}");
    let job = open_store(&disk).unwrap().open_job(KEYED).unwrap();
    assert_eq!(job.prior(KeyRef::Bytes(b"later")).map(|note| note.crashes), Some(4));
    assert_eq!(job.lookup(KeyRef::Bytes(b"a"), print(3)), Lookup::Done);
    assert_eq!(job.lookup(KeyRef::Bytes(b"c"), print(3)), Lookup::Changed);
}

/// Everything of version 1, by its path.
fn old_files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = disk.files().into_iter().filter(|path| path.starts_with(JOBS_OF_1));
    let mut found: Vec<_> = paths.map(|path| (path.clone(), disk.peek(&path).unwrap())).collect();
    // A lock that is taken makes its file; it is empty.
    found.retain(|(path, _)| !path.ends_with("LOCK"));
    found.sort();
    found
}

fn has_old_store_file(disk: &SimDisk) -> bool {
    disk.peek(Path::new("store/STORE")).unwrap()[8] == 1
}

#[test]
fn a_store_of_version_1_is_read_and_not_changed_until_it_is_migrated() {
    let disk = golden_disk(SNAPSHOTS);
    let before = old_files(&disk);
    let mut store = open_store(&disk).unwrap();
    for refused in [
        store.open_job(DENSE).map(drop),
        store.create_job("new", &spec(Keying::Dense)).map(drop),
        store.delete(DENSE),
    ] {
        assert!(matches!(refused, Err(StoreError::OlderVersion { found: 1, current: 2, .. })), "{refused:?}");
    }
    assert!(Store::verify(&disk, Path::new("store")).unwrap().iter().all(|job| job.is_intact()));
    assert_eq!(old_files(&disk), before);
    assert_eq!(store.migrate().unwrap(), 2);
    assert_eq!(store.migrate().unwrap(), 0);
    assert!(old_files(&disk).is_empty());
    assert_eq!(listing(&disk), include_str!("golden/v1-snapshots.listing"));
    assert!(disk.files().iter().any(|path| path.starts_with(JOBS_OF_2)));
}

/// As a backup of single files would: the jobs of version 2 are all there is then.
#[test]
fn a_store_file_of_version_1_that_is_put_back_after_a_migration_removes_nothing() {
    let disk = golden_disk(SNAPSHOTS);
    let old = disk.peek(Path::new("store/STORE")).unwrap();
    drop(migrated(&disk));
    let new = disk.peek(Path::new("store/STORE")).unwrap();
    disk.poke(Path::new("store/STORE"), old).unwrap();
    let refused = open_store(&disk).map(drop);
    assert!(matches!(refused, Err(StoreError::Io { .. })), "{refused:?}");
    disk.poke(Path::new("store/STORE"), new).unwrap();
    assert_eq!(listing(&disk), include_str!("golden/v1-snapshots.listing"));
}

#[test]
fn a_job_that_somebody_works_on_keeps_its_store_from_being_migrated() {
    let disk = golden_disk(PLAIN);
    let head = disk.files().into_iter().find(|path| path.ends_with("HEAD")).unwrap();
    let lock = disk.open(&head.with_file_name("LOCK"), OpenMode::Create).unwrap();
    assert!(lock.try_lock().unwrap());
    let refused = open_store(&disk).unwrap().migrate();
    assert!(matches!(refused, Err(StoreError::Locked(_))), "{refused:?}");
    drop(lock);
    migrated(&disk);
}

/// Whatever interrupted it: one store, whole; and the next attempt comes to the end.
fn check_interrupted(disk: &SimDisk, before: &[(PathBuf, Vec<u8>)], expected: &str) {
    if has_old_store_file(disk) {
        assert_eq!(old_files(disk), before, "the old store is as it was");
    }
    assert_eq!(listing(disk), expected);
    let mut store = open_store(disk).unwrap();
    store.migrate().unwrap();
    assert!(old_files(disk).is_empty());
    assert_eq!(listing(disk), expected);
    for report in Store::verify(disk, Path::new("store")).unwrap() {
        assert!(report.is_intact(), "{report:?}");
    }
    drop(store.open_job(KEYED).unwrap());
}

#[test]
fn a_migration_that_is_interrupted_at_any_call_leaves_the_old_store_or_the_new_one() {
    let (mut cuts, mut states) = (0u64, 0u64);
    for (name, expected) in
        [(PLAIN, include_str!("golden/v1.listing")), (SNAPSHOTS, include_str!("golden/v1-snapshots.listing"))]
    {
        let golden = golden_disk(name);
        let before = old_files(&golden);
        for at in (0..).step_by(pick(3, 1, 1)) {
            let disk = golden.after_process_end();
            disk.crash_at(at);
            let ended = open_store(&disk).and_then(|mut store| store.migrate()).is_ok();
            for image in disk.after_power_cut(limits(32, at)).step_by(pick(5, 1, 1)) {
                check_interrupted(&image, &before, expected);
                states += 1;
            }
            check_interrupted(&disk.after_process_end(), &before, expected);
            cuts += 1;
            if ended {
                break;
            }
        }
    }
    println!("{cuts} power cuts in a migration, {states} states");
    assert!(cuts > pick(40, 120, 120) && states > cuts, "{cuts} cuts, {states} states");
}

#[test]
fn a_call_that_fails_in_a_migration_leaves_the_old_store_or_the_new_one() {
    let golden = golden_disk(PLAIN);
    let before = old_files(&golden);
    for at in (0..).step_by(pick(2, 1, 1)) {
        let disk = golden.after_process_end();
        disk.set_fault(Some(FaultPlan { at, for_ever: at % 4 == 0, fault: Fault::Eio }));
        let ended = open_store(&disk).and_then(|mut store| store.migrate()).is_ok();
        let calls = disk.calls();
        disk.set_fault(None);
        check_interrupted(&disk.after_process_end(), &before, include_str!("golden/v1.listing"));
        if ended && calls <= at {
            break;
        }
    }
}
