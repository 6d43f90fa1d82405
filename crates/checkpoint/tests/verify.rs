//! Every damage is named where it is, whatever else is damaged; nothing is changed, and a writer at work is no damage.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, DamageKind, FillAhead, JobReport, JobState, KeyRef, RealDisk, Store, StoreError, StoreOptions,
};
use cofferdam_pipeline_core::{Key, Keying};
use cofferdam_testkit::SimDisk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use support::{JOB, Model, entries, options, spec};

const FRAMES_START: usize = 8192;
const OUTCOMES: u64 = 7;

/// Three commits of two outcomes and one of a blob, closed in an orderly way, without room that was filled ahead.
fn journal() -> SimDisk {
    let disk = SimDisk::new();
    let options = StoreOptions { fill_ahead: FillAhead::Off, ..options(&disk) };
    let job =
        Store::open(Path::new("store"), options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model::default();
    for first in [0, 2, 4] {
        model.commit_run(&job, first, 2).unwrap();
    }
    model.commit_blob(&job, 6).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    disk.after_process_end()
}

fn verify(disk: &SimDisk) -> JobReport {
    let mut reports = Store::verify(disk, Path::new("store")).unwrap();
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

fn find(disk: &SimDisk, what: impl Fn(&Path) -> bool) -> PathBuf {
    disk.files().into_iter().find(|path| what(path)).unwrap()
}

fn segment(disk: &SimDisk) -> PathBuf {
    find(disk, |path| path.file_name().unwrap() == "seg-0000000000000001")
}

fn blob(disk: &SimDisk) -> PathBuf {
    find(disk, |path| path.parent().unwrap().ends_with("blobs"))
}

fn with(disk: &SimDisk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> SimDisk {
    let image = disk.after_process_end();
    let mut content = image.peek(path).unwrap();
    change(&mut content);
    image.poke(path, content).unwrap();
    image
}

/// Outcomes that are intact and those that are named as lost are all there are.
fn assert_accounts_for_all(report: &JobReport, context: &str) {
    let is_frame = |what| what == DamageKind::Frame;
    let lost = report.findings.iter().filter(|finding| is_frame(finding.what));
    let lost: u64 = lost.map(|finding| finding.lsns.end.min(OUTCOMES + 1) - finding.lsns.start).sum();
    assert_eq!(report.outcomes + lost, OUTCOMES, "{context}: {report:?}");
}

#[test]
fn a_sound_job_is_intact_and_all_of_it_was_read() {
    let report = verify(&journal());

    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.outcomes, report.blobs, report.frames), (OUTCOMES, 1, 1 + 4 + 1));
    assert_eq!((report.name.as_deref(), report.unreferenced_blobs.len()), (Some(JOB.as_bytes()), 0));
}

#[test]
fn any_flipped_bit_of_a_frame_is_named_with_its_place_and_no_intact_outcome_is() {
    let disk = journal();
    let path = segment(&disk);
    let len = disk.peek(&path).unwrap().len();
    for at in FRAMES_START..len {
        let report = verify(&with(&disk, &path, |content| content[at] ^= 1 << (at % 8)));

        let [finding] = &report.findings[..] else { panic!("byte {at}: {report:?}") };
        assert!(finding.bytes.contains(&(at as u64)), "byte {at}: {finding:?}");
        assert!(finding.bytes.end <= len as u64, "byte {at}: {finding:?}");
        assert_eq!((finding.segment, finding.what), (Some(1), DamageKind::Frame));
        assert_accounts_for_all(&report, &format!("byte {at}"));
    }
}

#[test]
fn any_cut_of_a_closed_journal_is_named() {
    let disk = journal();
    let path = segment(&disk);
    for len in FRAMES_START..disk.peek(&path).unwrap().len() {
        let report = verify(&with(&disk, &path, |content| content.truncate(len)));

        assert!(!report.is_intact(), "cut to {len}");
        assert_accounts_for_all(&report, &format!("cut to {len}"));
    }
}

#[test]
fn several_damages_are_all_named() {
    let disk = journal();
    let path = segment(&disk);
    let sync = disk.peek(&path).unwrap()[FRAMES_START..FRAMES_START + 4].to_vec();
    let starts: Vec<_> = disk
        .peek(&path)
        .unwrap()
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == sync)
        .collect::<Vec<_>>()
        .iter()
        .map(|(at, _)| *at)
        .collect();
    let image = with(&disk, &path, |content| {
        content[starts[1]] ^= 1; // the header of the first group
        content[starts[3] + 40] ^= 1; // the body of the third one
    });

    let report = verify(&with(&image, &blob(&image), |content| content[0] ^= 1));

    let found: Vec<_> = report.findings.iter().map(|f| (f.what, f.lsns.clone(), f.item.clone())).collect();
    let blob = (DamageKind::Blob, 7..8, Some(Key::Ordinal(6)));
    assert_eq!(found, [(DamageKind::Frame, 1..3, None), (DamageKind::Frame, 5..7, None), blob]);
}

#[test]
fn a_blob_that_is_cut_or_changed_is_named_with_its_item() {
    let disk = journal();
    let path = blob(&disk);
    let changes: [fn(&mut Vec<u8>); 3] =
        [|content| content.truncate(1), |content| content.push(0), |content| content[5] ^= 4];
    for change in changes {
        let report = verify(&with(&disk, &path, change));

        let [finding] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!(
            (&finding.path, finding.what, &finding.item),
            (&path, DamageKind::Blob, &Some(Key::Ordinal(6)))
        );
    }
}

#[test]
fn a_damaged_head_is_named_and_the_journal_is_read_all_the_same() {
    let disk = journal();
    let path = find(&disk, |path| path.ends_with("HEAD"));

    let report = verify(&with(&disk, &path, |content| content[..8192].fill(0)));

    assert_eq!(report.findings.iter().map(|f| f.what).collect::<Vec<_>>(), [DamageKind::NoIntactSlot]);
    assert_eq!((report.outcomes, report.name), (OUTCOMES, None));
}

#[test]
fn what_is_no_store_is_an_error() {
    let result = Store::verify(&SimDisk::new(), Path::new("store"));
    assert!(matches!(result, Err(StoreError::NotAStore { .. })), "{result:?}");
}

fn everything_below(dir: &Path, found: &mut BTreeMap<PathBuf, (SystemTime, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::metadata(&path).unwrap();
        let content = if metadata.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
        if metadata.is_dir() {
            everything_below(&path, found);
        }
        found.insert(path, (metadata.modified().unwrap(), content));
    }
}

fn set_readonly(dir: &Path, is_readonly: bool) {
    let mut below = BTreeMap::new();
    everything_below(dir, &mut below);
    for path in below.keys() {
        let mut permissions = std::fs::metadata(path).unwrap().permissions();
        permissions.set_readonly(is_readonly);
        std::fs::set_permissions(path, permissions).unwrap();
    }
}

#[test]
fn a_read_only_store_with_damage_is_read_and_no_byte_and_no_time_of_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let options = StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() };
    let job = Store::open(&root, options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    Model::default().commit_blob(&job, 0).unwrap();
    drop(job); // an owner that idles writes a mark, which is a change
    let mut before = BTreeMap::new();
    everything_below(&root, &mut before);
    let blob = before.keys().find(|path| path.parent().unwrap().ends_with("blobs")).unwrap();
    std::fs::write(blob, b"damaged").unwrap();
    std::fs::write(blob.parent().unwrap().with_file_name("staging").join("left"), b"by a dead owner")
        .unwrap();
    before.clear();
    set_readonly(&root, true);
    everything_below(&root, &mut before);

    let reports = Store::verify(&RealDisk, &root).unwrap();

    let mut after = BTreeMap::new();
    everything_below(&root, &mut after);
    set_readonly(&root, false);
    assert!(before == after, "something changed");
    assert_eq!((reports[0].findings.len(), reports[0].staged), (1, 1));
}

#[test]
fn a_writer_at_full_speed_is_not_taken_for_damage() {
    const COMMITS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        accept_weak_file_system: true,
        durability: cofferdam_checkpoint::Durability::Process,
        ..StoreOptions::default()
    };
    let job = Store::open(dir.path(), options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let is_over = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let output = entries(&[&[7; 300]]);
            for ordinal in 0..COMMITS {
                job.commit(Batch::completed_dense(ordinal, 1, 1, &output).unwrap()).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            let report = Store::verify(&RealDisk, dir.path()).unwrap().remove(0);
            assert!(report.is_intact(), "{report:?}");
            seen.push(report.outcomes);
        }
    });
    seen.dedup();
    assert!(seen.len() > 2, "the writer did not write meanwhile: {seen:?}");
    assert_eq!(job.lookup(KeyRef::Ordinal(0), None), cofferdam_checkpoint::Lookup::Done);
}
