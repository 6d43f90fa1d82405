//! What is intact comes out of a damaged store, and what may be missing is named.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, DamageKind, KeyRef, Note, SalvageReport, Store, StoreError};
use cofferdam_pipeline_core::{Key, Keying};
use cofferdam_testkit::SimDisk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{JOB, Model, entries, lease, open_store, options, spec};

const RESCUED: &str = "rescued";

/// A job whose leases were written before its outcomes, of one segment with a snapshot in the middle.
fn job(disk: &SimDisk) -> Model {
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    lease(&job, 1, 0..60).unwrap();
    job.note(KeyRef::Ordinal(50), Note { crashes: 1, ..Note::default() }).unwrap();
    job.save_state(KeyRef::Ordinal(51), None, b"page 7"[..].into()).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    model.commit_run(&job, 3, 3).unwrap();
    model.commit_failed(&job, 10).unwrap();
    model.commit_blob(&job, 20).unwrap();
    model.commit_run(&job, 30, 4).unwrap();
    drop(job);
    model
}

fn find(disk: &SimDisk, part: &str) -> PathBuf {
    disk.files().into_iter().find(|path| path.to_str().unwrap().contains(part)).unwrap()
}

fn bytes_of(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let is_source = |path: &PathBuf| path.starts_with("store");
    disk.files().into_iter().filter(is_source).map(|path| (path.clone(), disk.peek(&path).unwrap())).collect()
}

/// Salvages, checks that nothing was changed and that each acknowledged outcome is there as it was or named; what is there.
fn salvage(disk: &SimDisk, model: &Model) -> (SalvageReport, BTreeMap<u64, Vec<u8>>) {
    let before = bytes_of(disk);
    let mut reports = Store::salvage(Path::new("store"), Path::new(RESCUED), &options(disk)).unwrap();
    assert_eq!(bytes_of(disk), before, "the damaged store is as it was");
    let report = reports.remove(0);
    assert!(reports.is_empty());
    let verified = Store::verify(disk.shared().as_ref(), Path::new(RESCUED)).unwrap().remove(0);
    assert!(verified.is_intact(), "{verified:?}");
    let job = Store::open(Path::new(RESCUED), options(disk)).unwrap().open_job(JOB).unwrap();
    let nothing = Model { acknowledged: BTreeMap::new(), ..model.clone() };
    let found = nothing.check_outcomes(&job);
    assert_eq!(found.len() as u64, report.copied);
    for ordinal in model.acknowledged.keys().filter(|ordinal| !found.contains_key(ordinal)) {
        assert!(
            report.possibly_completed.contains(&Key::Ordinal(*ordinal)),
            "{ordinal} is lost and not named: {report:?}"
        );
    }
    for key in &report.possibly_completed {
        let Key::Ordinal(ordinal) = key else { panic!("a dense job has no keys") };
        assert!(!found.contains_key(ordinal), "{ordinal} is there");
    }
    (report, found)
}

#[test]
fn of_an_intact_store_everything_is_copied() {
    let disk = SimDisk::new();
    let model = job(&disk);
    let (report, found) = salvage(&disk, &model);
    assert_eq!(found, model.acknowledged);
    assert!(report.findings.is_empty() && report.possibly_completed.is_empty(), "{report:?}");
    let job = Store::open(Path::new(RESCUED), options(&disk)).unwrap().open_job(JOB).unwrap();
    assert_eq!(job.prior(KeyRef::Ordinal(50)).map(|note| note.crashes), Some(1));
    assert_eq!(job.saved_state(KeyRef::Ordinal(51), None).as_deref(), Some(&b"page 7"[..]));
    let again = Store::salvage(Path::new("store"), Path::new(RESCUED), &options(&disk));
    assert!(matches!(again, Err(StoreError::Io { .. })), "it never replaces anything");
}

#[test]
fn whatever_byte_is_damaged_the_rest_is_copied_and_what_is_lost_is_named() {
    let disk = SimDisk::new();
    let model = job(&disk);
    let path = find(&disk, "seg-");
    let content = disk.peek(&path).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (mut losses, mut least) = (0, usize::MAX);
    for byte in (8192..end).step_by(7) {
        let image = disk.after_process_end();
        let mut changed = content.clone();
        changed[byte] ^= 0x10;
        image.poke(&path, changed).unwrap();
        let (report, found) = salvage(&image, &model);
        least = least.min(found.len());
        if found.len() < model.acknowledged.len() {
            losses += 1;
            assert!(!report.findings.is_empty());
        }
    }
    assert!(losses > 100);
    assert_eq!(least, model.acknowledged.len() - 4, "one frame is lost at most");
}

#[test]
fn a_damaged_blob_costs_its_item_alone() {
    let disk = SimDisk::new();
    let model = job(&disk);
    disk.poke(&find(&disk, "blobs"), b"something else".to_vec()).unwrap();
    let (report, found) = salvage(&disk, &model);
    assert_eq!(found.len(), model.acknowledged.len() - 1);
    assert_eq!(report.findings[0].item, Some(Key::Ordinal(20)));
    assert!(report.possibly_completed.contains(&Key::Ordinal(20)));
}

#[test]
fn a_job_whose_head_is_lost_is_named_by_its_directory() {
    let disk = SimDisk::new();
    job(&disk);
    let head = find(&disk, "HEAD");
    disk.poke(&head, vec![0; 9000]).unwrap();
    let report = Store::salvage(Path::new("store"), Path::new(RESCUED), &options(&disk)).unwrap().remove(0);
    assert_eq!((report.name, report.copied), (None, 0));
    assert_eq!(report.findings[0].what, DamageKind::NoIntactSlot);
    assert_eq!(report.path, head.parent().unwrap());
}

#[test]
fn keys_are_named_by_leases_and_counted_by_snapshots() {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Keyed)).unwrap();
    let mut table = cofferdam_pipeline_core::KeyTable::default();
    table.push(b"leased", None);
    job.lease_started(0, 1, &cofferdam_pipeline_core::Identities::Keys(table), 0..1).unwrap();
    let commit = |key: &[u8], output: &[u8]| {
        job.commit(Batch::completed_keyed([(key, None)], 1, &entries(&[output])).unwrap()).unwrap()
    };
    commit(b"before", b"1");
    let at = disk.peek(&find(&disk, "seg-")).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    commit(b"leased", b"2");
    commit(b"unknown", b"3");
    let end = disk.peek(&find(&disk, "seg-")).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    job.snapshot().unwrap();
    commit(b"after", b"4");
    drop(job);
    let path = find(&disk, "seg-");
    let mut content = disk.peek(&path).unwrap();
    content[at + 1..=end].fill(0x55);
    disk.poke(&path, content).unwrap();
    let report = Store::salvage(Path::new("store"), Path::new(RESCUED), &options(&disk)).unwrap().remove(0);
    assert_eq!(report.copied, 2);
    assert_eq!(report.possibly_completed, [Key::Bytes(b"leased"[..].into())]);
    assert_eq!(report.unnamed, 1);
    let job = Store::open(Path::new(RESCUED), options(&disk)).unwrap().open_job(JOB).unwrap();
    assert_eq!(job.keys_len(), 2);
}
