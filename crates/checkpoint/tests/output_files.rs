//! Outcomes that name files beside their output: whoever keeps, counts, copies or removes blobs knows these, too.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, BlobReader, BlobRef, DamageKind, Disk, JobState, JobStore, KeyRef, Lookup, OUTPUT_INLINE_MAX,
    OutcomeBody, OutputBody, Store, StoreError, StoredOutput,
};
use cofferdam_pipeline_core::{Fingerprint, Key, Keying, OUTPUT_FILES_MAX};
use cofferdam_testkit::SimDisk;
use std::io::{self, Read};
use std::path::Path;
use support::{JOB, Model, content_of, open_store, options, output, spec, with_files};

fn new_job(disk: &SimDisk, keying: Keying) -> JobStore {
    open_store(disk).unwrap().create_job(JOB, &spec(keying)).unwrap()
}

fn blobs_of(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.parent().unwrap().ends_with("blobs")).count()
}

fn read_all(mut reader: BlobReader) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.read_to_end(&mut content).map(|_| content)
}

fn commit(job: &JobStore, key: &[u8], input: u8, content: &[u8]) {
    let stored = with_files(job, content).unwrap();
    let print = Some(Fingerprint([input; 16]));
    job.commit(Batch::completed_with_files(KeyRef::Bytes(key), print, 1, stored).unwrap()).unwrap();
}

#[test]
fn an_outcome_with_files_is_read_back_in_this_session_and_the_next() {
    let disk = SimDisk::new();
    let job = new_job(&disk, Keying::Keyed);
    commit(&job, b"a", 1, &output(9));
    let check = |job: &JobStore| {
        let outcome = job.outcomes(0).next().unwrap().unwrap();
        let OutcomeBody::WithFiles(stored) = &outcome.body else { panic!("{outcome:?}") };
        assert_eq!(stored.files.len(), 2);
        assert_eq!(content_of(&job.blobs(), outcome.body), output(9));
        assert_eq!(job.lookup(KeyRef::Bytes(b"a"), Some(Fingerprint([1; 16]))), Lookup::Done);
        assert_eq!(job.counts().completed, 1);
    };
    check(&job);
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    check(&open_store(&disk).unwrap().open_job(JOB).unwrap());
}

#[test]
fn an_output_that_is_large_beside_its_files_becomes_a_blob_and_more_files_than_may_be_are_refused() {
    let disk = SimDisk::new();
    let job = new_job(&disk, Keying::Dense);
    let file = job.put_blob(b"file").unwrap();
    let large = vec![7; OUTPUT_INLINE_MAX + 1];
    let stored = StoredOutput { body: OutputBody::Inline(&large[..]), files: vec![file] };
    job.commit(Batch::completed_with_files(KeyRef::Ordinal(0), None, 1, stored).unwrap()).unwrap();
    let outcome = job.outcomes(0).next().unwrap().unwrap();
    let OutcomeBody::WithFiles(StoredOutput { body: OutputBody::Blob(blob), files }) = outcome.body else {
        panic!("{outcome:?}")
    };
    assert_eq!((blob.len, files), (large.len() as u64, vec![file]));

    let files = vec![file; OUTPUT_FILES_MAX + 1];
    let stored = StoredOutput { body: OutputBody::Inline(&b""[..]), files };
    let refused = Batch::completed_with_files(KeyRef::Ordinal(1), None, 1, stored);
    assert!(matches!(refused, Err(StoreError::TooLong { .. })), "{refused:?}");
}

#[test]
fn a_file_that_was_cut_or_changed_is_told_by_its_last_bytes_at_the_latest() {
    let disk = SimDisk::new();
    let job = new_job(&disk, Keying::Dense);
    let blob = job.put_blob(&output(39)).unwrap();
    assert_eq!(read_all(job.blobs().open(&blob).unwrap()).unwrap(), output(39));
    let path = disk.files().into_iter().find(|path| path.parent().unwrap().ends_with("blobs")).unwrap();

    let mut changed = output(39);
    changed[3] ^= 1;
    disk.poke(&path, changed).unwrap();
    let mut reader = job.blobs().open(&blob).unwrap();
    let mut piece = vec![0; blob.len as usize - 1];
    reader.read_exact(&mut piece).unwrap();
    for _ in 0..2 {
        let error = reader.read(&mut piece).unwrap_err();
        let inner = error.get_ref().unwrap().downcast_ref();
        assert!(matches!(inner, Some(StoreError::BlobDamaged { .. })), "{error:?}");
    }

    disk.poke(&path, output(39)[1..].to_vec()).unwrap();
    assert!(matches!(job.blobs().open(&blob), Err(StoreError::BlobDamaged { .. })));
    disk.remove_file(&path).unwrap();
    assert!(matches!(job.blobs().open(&blob), Err(StoreError::BlobGone { .. })), "nothing names it");
    let empty = job.put_blob(b"").unwrap();
    assert_eq!(read_all(job.blobs().open(&empty).unwrap()).unwrap(), b"");
}

#[test]
fn a_damaged_file_is_named_with_its_item_and_costs_a_salvaged_store_that_item_alone() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    let job = new_job(&disk, Keying::Dense);
    model.commit_run(&job, 0, 3).unwrap();
    model.commit_files(&job, 9).unwrap();
    model.commit_files(&job, 19).unwrap();
    let outcome = job.outcomes(0).last().unwrap().unwrap();
    job.finish(JobState::Finished).unwrap();
    drop(job);
    let OutcomeBody::WithFiles(StoredOutput { files, .. }) = outcome.body else { panic!("{outcome:?}") };
    assert_eq!(Store::verify(&disk, Path::new("store")).unwrap()[0].blobs, 4);
    let name: String = files[1].hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = disk.files().into_iter().find(|path| path.ends_with(&name)).unwrap();
    disk.poke(&path, b"something else".to_vec()).unwrap();

    let report = Store::verify(&disk, Path::new("store")).unwrap().remove(0);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(
        (&finding.path, finding.what, &finding.item),
        (&path, DamageKind::Blob, &Some(Key::Ordinal(19)))
    );
    assert!(report.unreferenced_blobs.is_empty());

    let copy = Path::new("copy");
    let salvaged = Store::salvage(Path::new("store"), copy, &options(&disk)).unwrap().remove(0);
    assert_eq!((salvaged.copied, salvaged.possibly_completed), (4, vec![Key::Ordinal(19)]));
    let store = Store::open(copy, options(&disk)).unwrap();
    model.acknowledged.remove(&19);
    model.check_outcomes(&store.open_job(JOB).unwrap());
}

#[test]
fn files_go_with_the_outcome_that_named_them_and_stay_while_one_does() {
    let disk = SimDisk::new();
    drop(new_job(&disk, Keying::Keyed));
    let store = open_store(&disk).unwrap();
    let kept: Vec<u8> = (0..90).collect();
    let mut removed = 0;
    for session in 1..5u8 {
        let job = store.open_job(JOB).unwrap();
        commit(&job, b"redone", session, &[session; 90]);
        if session == 1 {
            commit(&job, b"kept", 1, &kept);
        }
        // Compaction looks at what earlier sessions wrote.
        for n in 0..9 {
            commit_small(&job, n, session);
        }
        removed += job.compact().unwrap().blobs;
        let found: Vec<_> =
            job.outcomes(0).map(|outcome| content_of(&job.blobs(), outcome.unwrap().body)).collect();
        assert!(found.contains(&kept) && found.contains(&vec![session; 90]), "{session}");
        job.finish(JobState::Interrupted).unwrap();
    }
    // Both files of a session are the same thirty bytes: one blob.
    assert!(removed >= 2, "{removed}");
    assert_eq!(blobs_of(&disk) as u64, 2 + 4 - removed);
}

fn commit_small(job: &JobStore, number: u8, input: u8) {
    let bytes = support::entries(&[&[input]]);
    let key = [b'n', number];
    let item = [(&key[..], Some(Fingerprint([input; 16])))];
    job.commit(Batch::completed_keyed(item, 1, &bytes).unwrap()).unwrap();
}

#[test]
fn a_backup_has_the_files() {
    let disk = SimDisk::new();
    let mut model = Model::default();
    let job = new_job(&disk, Keying::Dense);
    model.commit_files(&job, 9).unwrap();
    job.backup_to(Path::new("copy")).unwrap();
    let store = Store::open(Path::new("copy"), options(&disk)).unwrap();
    model.check_outcomes(&store.open_job(JOB).unwrap());
}

#[test]
fn a_file_is_found_again_by_its_content_alone() {
    let disk = SimDisk::new();
    let job = new_job(&disk, Keying::Dense);
    let name = job.put_blob(b"content").unwrap();
    assert_eq!(name, BlobRef { len: 7, hash: *blake3::hash(b"content").as_bytes() });
    assert_eq!(read_all(job.blobs().open(&name).unwrap()).unwrap(), b"content");
}
