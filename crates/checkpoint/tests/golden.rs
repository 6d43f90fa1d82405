//! Stores written by released versions stay readable: those in `golden` were written once and are never written again.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, Disk, FillAhead, JobState, KeyRef, Lookup, Note, OutcomeBody, OutcomeRecord, RealDisk, Store,
    StoreOptions,
};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Key, Keying, OutcomeKind};
use cofferdam_testkit::SimDisk;
use std::path::{Path, PathBuf};
use support::{entries, lease, open_store, spec};

const DENSE: &[u8] = b"dense";
const KEYED: &[u8] = b"keyed \xff";
const LARGE: &[u8] = b"the content of a blob";

/// A store of version 1, and one with snapshots.
const PLAIN: &str = "v1";
const SNAPSHOTS: &str = "v1-snapshots";

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

/// Set by hand, once for each version of the format: the golden files are written anew before they are read.
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

fn write_golden_store() {
    let store = new_golden_store(PLAIN);
    let job = store.create_job(DENSE, &spec(Keying::Dense)).unwrap();
    let outputs = entries(&[b"zero", b"", b"two"]);
    job.commit(Batch::completed_dense(0, 3, 1, &outputs).unwrap()).unwrap();
    lease(&job, 4, 8..12).unwrap();
    job.note(KeyRef::Ordinal(8), Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 }).unwrap();
    let what = evidence();
    let set_aside = Batch::set_aside(KeyRef::Ordinal(9), None, OutcomeKind::Quarantined, 2, &what).unwrap();
    job.commit(set_aside).unwrap();
    drop(job); // as if its owner had died: an orderly end leaves no lease open
    let job = store.create_job(KEYED, &spec(Keying::Keyed)).unwrap();
    let keys: [(&[u8], _); 2] = [(b"a", print(1)), (b"b\xff", None)];
    job.commit(Batch::completed_keyed(keys, 1, &entries(&[b"1", b"2"])).unwrap()).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    let job = store.open_job(KEYED).unwrap();
    let blob = job.put_blob(&mut &LARGE[..]).unwrap();
    job.commit(Batch::completed_blob(KeyRef::Bytes(b"a"), print(2), 3, blob).unwrap()).unwrap();
    job.finish(JobState::Finished).unwrap();
}

/// Jobs with a snapshot, and with two, and with more behind the newest.
fn write_golden_snapshots() {
    let store = new_golden_store(SNAPSHOTS);
    let job = store.create_job(DENSE, &spec(Keying::Dense)).unwrap();
    let outputs = entries(&vec![&b"x"[..]; 100]);
    job.commit(Batch::completed_dense(5_000_000_000, 100, 1, &outputs).unwrap()).unwrap();
    (0..6)
        .for_each(|n| drop(job.commit(Batch::completed_dense(n * 70_000, 1, 1, &entries(&[b"y"])).unwrap())));
    lease(&job, 4, 8..12).unwrap();
    job.note(KeyRef::Ordinal(8), Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 }).unwrap();
    job.save_state(KeyRef::Ordinal(9), None, b"page 7"[..].into()).unwrap();
    job.snapshot().unwrap();
    drop(job);
    let job = store.create_job(KEYED, &spec(Keying::Keyed)).unwrap();
    let keys: [(&[u8], _); 3] = [(b"a", print(1)), (b"b\xff", None), (b"c", print(3))];
    job.commit(Batch::completed_keyed(keys, 1, &entries(&[b"1", b"2", b"3"])).unwrap()).unwrap();
    assert!(job.add_item(b"new", b"content").unwrap());
    job.snapshot().unwrap();
    let what = evidence();
    job.commit(Batch::set_aside(KeyRef::Bytes(b"a"), print(2), OutcomeKind::Failed, 2, &what).unwrap())
        .unwrap();
    job.note(KeyRef::Bytes(b"later"), Note { crashes: 1, ..Note::default() }).unwrap();
    job.snapshot().unwrap();
    job.commit(Batch::completed_keyed([(&b"d"[..], None)], 1, &entries(&[b"4"])).unwrap()).unwrap();
    job.finish(JobState::Interrupted).unwrap();
}

/// A golden store on a simulated disk; version control keeps no empty directories.
fn golden_disk(name: &str) -> SimDisk {
    static WRITTEN: std::sync::Once = std::sync::Once::new();
    if std::env::var_os(WRITE).is_some() {
        WRITTEN.call_once(|| {
            for (name, write) in [(PLAIN, write_golden_store as fn()), (SNAPSHOTS, write_golden_snapshots)] {
                if !golden(name).exists() {
                    write();
                }
            }
        });
    }
    let disk = SimDisk::new();
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        disk.create_dir(&Path::new("store").join(&dir)).unwrap();
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
    }
    disk
}

#[test]
fn a_dense_job_of_version_1_is_read_whole() {
    let store = open_store(&golden_disk(PLAIN)).unwrap();
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
    let disk = golden_disk(PLAIN);
    let store = open_store(&disk).unwrap();
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
        OutcomeBody::Evidence(evidence) => hex(evidence.kind.as_bytes()),
    };
    let kind = format!("{:?}", outcome.kind).to_lowercase();
    format!("{} {key} {print} {kind} {} {what}\n", outcome.lsn, outcome.attempts)
}

/// `.ci/run` holds the listing of a reader that was written from the spec alone against the same file.
#[test]
fn the_golden_stores_are_listed_as_the_independent_reader_lists_them() {
    assert_eq!(listing(PLAIN), include_str!("golden/v1.listing"));
    assert_eq!(listing(SNAPSHOTS), include_str!("golden/v1-snapshots.listing"));
}

fn listing(name: &str) -> String {
    let store = open_store(&golden_disk(name)).unwrap();
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
    let store = open_store(&golden_disk(SNAPSHOTS)).unwrap();
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
