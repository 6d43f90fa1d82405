//! Outputs that somebody else writes into the store: nothing is believed that the host has not read itself.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, BlobRef, Disk, JobStore, KeyRef, OpenMode, OutcomeBody, StagedFile, StoreError, Written,
};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{Fault, FaultPlan, SimDisk};
use std::path::{Path, PathBuf};
use support::{JOB, limits, open_store, spec};

fn content() -> Vec<u8> {
    b"a large output, read in more than one piece ".repeat(6_000)
}

fn named(content: &[u8]) -> BlobRef {
    BlobRef { len: content.len() as u64, hash: *blake3::hash(content).as_bytes() }
}

/// What the writer of this content reports.
fn written(content: &[u8]) -> Written {
    let crc32 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, content) as u32;
    Written { len: content.len() as u64, crc32 }
}

fn new_job(disk: &SimDisk) -> JobStore {
    open_store(disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap()
}

/// What a worker does: it knows nothing but the path.
fn write(disk: &SimDisk, path: &Path, content: &[u8]) {
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    assert_eq!(file.write_at(content, 0).unwrap(), content.len());
}

fn staged_with(disk: &SimDisk, job: &JobStore, content: &[u8]) -> StagedFile {
    let staged = job.stage().unwrap();
    write(disk, staged.path(), content);
    staged
}

fn lying_in(disk: &SimDisk, name: &str) -> Vec<PathBuf> {
    let is_inside = |path: &PathBuf| path.parent().unwrap().file_name().unwrap() == name;
    disk.files().into_iter().filter(is_inside).collect()
}

#[test]
fn a_staged_output_that_is_what_its_writer_says_is_there_after_any_power_cut() {
    let disk = SimDisk::new();
    let job = new_job(&disk);
    let (content, blob) = (content(), named(&content()));

    assert_eq!(job.commit_staged(staged_with(&disk, &job, &content), &written(&content)).unwrap(), blob);
    job.commit(Batch::completed_blob(KeyRef::Ordinal(0), None, 1, blob).unwrap()).unwrap();

    assert_eq!(lying_in(&disk, "staging").len(), 0);
    let mut images = 0;
    for image in disk.after_power_cut(limits(16, 1)) {
        let job = open_store(&image).unwrap().open_job(JOB).unwrap();
        let outcome = job.outcomes(0).next().unwrap().unwrap();
        assert_eq!(outcome.body, OutcomeBody::Blob(blob));
        assert_eq!(job.read_blob(&blob).unwrap(), content);
        images += 1;
    }
    assert!(images > 0);
}

#[test]
fn a_staged_output_that_is_shorter_longer_or_other_than_reported_is_refused_and_removed() {
    let disk = SimDisk::new();
    let job = new_job(&disk);
    let content = content();
    let mut other = content.clone();
    *other.last_mut().unwrap() ^= 1;
    for found in [&content[1..], &[&content[..], b"x"].concat(), &other, b""] {
        let result = job.commit_staged(staged_with(&disk, &job, found), &written(&content));

        assert!(matches!(result, Err(StoreError::StagedMismatch { .. })), "{result:?}");
        assert_eq!((lying_in(&disk, "staging").len(), lying_in(&disk, "blobs").len()), (0, 0));
    }
    job.commit_staged(staged_with(&disk, &job, b""), &written(b"")).unwrap();
}

#[test]
fn a_writer_that_goes_on_after_its_report_is_detected_when_the_output_is_read() {
    let disk = SimDisk::new();
    let job = new_job(&disk);
    let (content, blob) = (content(), named(&content()));
    let staged = job.stage().unwrap();
    let kept_open = disk.open(staged.path(), OpenMode::ReadWrite).unwrap();
    assert_eq!(kept_open.write_at(&content, 0).unwrap(), content.len());
    job.commit_staged(staged, &written(&content)).unwrap();

    assert_eq!(kept_open.write_at(b"A", 0).unwrap(), 1);

    assert!(matches!(job.read_blob(&blob), Err(StoreError::BlobDamaged { .. })));
}

#[test]
fn what_was_staged_and_not_committed_is_gone_at_the_latest_when_the_job_is_opened() {
    let disk = SimDisk::new();
    let job = new_job(&disk);
    drop(staged_with(&disk, &job, b"discarded"));
    assert_eq!(lying_in(&disk, "staging").len(), 0);
    let kept = staged_with(&disk, &job, b"its host dies");
    let after = disk.after_process_end();
    assert_eq!(lying_in(&after, "staging"), [kept.path()]);

    let job = open_store(&after).unwrap().open_job(JOB).unwrap();

    assert_eq!(lying_in(&after, "staging").len(), 0);
    drop(job);
}

#[test]
fn any_call_that_fails_leaves_the_job_usable_and_no_blob_that_counts() {
    for fault in [Fault::Eio, Fault::Enospc] {
        for nth in 0.. {
            let disk = SimDisk::new();
            let job = new_job(&disk);
            let (content, blob) = (b"content".to_vec(), named(b"content"));
            let staged = staged_with(&disk, &job, &content);
            disk.set_fault(Some(FaultPlan { at: disk.calls() + nth, fault, for_ever: false }));

            let result = job.commit_staged(staged, &written(&content));

            let was_hit = result.is_err();
            disk.set_fault(None);
            job.commit_staged(staged_with(&disk, &job, &content), &written(&content)).unwrap();
            job.commit(Batch::completed_blob(KeyRef::Ordinal(0), None, 1, blob).unwrap()).unwrap();
            assert_eq!(job.read_blob(&blob).unwrap(), content);
            if !was_hit {
                assert!(nth > 3, "length, reads, sync, renaming and the directory's sync can fail");
                break;
            }
        }
    }
}
