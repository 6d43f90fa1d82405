//! Journals that no correct writer leaves: frames forged here from the spec, checksums and all.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{DamageKind, JobState, StoreError};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::path::PathBuf;
use support::{JOB, Model, entries, open_store, spec};

const FRAMES_START: usize = 8192;

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A frame of one output at `offset`; `count` is what its header says.
fn frame(segment: &[u8], offset: usize, first_lsn: u64, count: u32, undurable: u32) -> Vec<u8> {
    let output = entries(&[b"forged"]);
    let body = [&[1, 77, 1, 1, output.len() as u8][..], &output].concat();
    seal(segment, offset, (first_lsn, count, undurable), &body)
}

fn seal(
    segment: &[u8],
    offset: usize,
    (first_lsn, count, undurable): (u64, u32, u32),
    body: &[u8],
) -> Vec<u8> {
    let (epoch, salt, seq) = (&segment[64..72], &segment[72..80], &segment[56..64]);
    let mut header = (crc(salt) | 1).to_le_bytes().to_vec();
    header.extend_from_slice(&(body.len() as u32).to_le_bytes());
    header.extend_from_slice(&first_lsn.to_le_bytes());
    header.extend_from_slice(&count.to_le_bytes());
    header.extend_from_slice(&undurable.to_le_bytes());
    header.extend_from_slice(&[1, 1]);
    let seed = crc(&[salt, epoch, seq].concat());
    let sum = crc(&[&seed.to_le_bytes()[..], &(offset as u64).to_le_bytes(), &header].concat());
    header.extend_from_slice(&sum.to_le_bytes());
    let body_crc = crc(&[&sum.to_le_bytes()[..], body].concat());
    [&header[..], body, &body_crc.to_le_bytes()].concat()
}

/// A job with three outcomes whose session did not end, its segment, and where the next frame would go.
fn journal() -> (SimDisk, PathBuf, Vec<u8>, usize) {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    Model::default().commit_run(&job, 0, 3).unwrap();
    let disk = disk.after_process_end();
    let path = disk.files().into_iter().find(|path| path.ends_with("seg-0000000000000001")).unwrap();
    let content = disk.peek(&path).unwrap();
    let mut end = FRAMES_START;
    while content[end..end + 4] == content[FRAMES_START..FRAMES_START + 4] {
        end += 34 + u32::from_le_bytes(content[end + 4..end + 8].try_into().unwrap()) as usize;
    }
    (disk, path, content, end)
}

/// What an opening makes of the journal with a frame forged onto its end: outcomes, or the damage.
fn open_with(first_lsn: u64, count: u32, undurable: u32) -> Result<u64, DamageKind> {
    let (disk, path, mut content, end) = journal();
    let forged = frame(&content, end, first_lsn, count, undurable);
    content[end..end + forged.len()].copy_from_slice(&forged);
    disk.poke(&path, content).unwrap();
    match open_store(&disk).unwrap().open_job(JOB) {
        Ok(job) => Ok(job.outcomes(0).map(Result::unwrap).count() as u64),
        Err(StoreError::Corrupt(damage)) => Err(damage.what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_frame_forged_by_the_spec_is_taken_for_a_frame() {
    assert_eq!(open_with(4, 1, 0), Ok(4));
}

#[test]
fn a_run_of_fewer_or_more_outputs_than_it_says_ends_what_is_read_with_the_damage() {
    // Three outputs are claimed: two and a piece of one follow, or four. What came before is read, and nothing behind.
    for outputs in [&[1, b'a', 1, b'b', 9][..], &[0, 0, 0, 0]] {
        let (disk, path, mut content, end) = journal();
        let body = [&[1, 77, 3, 1, outputs.len() as u8], outputs].concat();
        let forged = seal(&content, end, (4, 3, 0), &body);
        content[end..end + forged.len()].copy_from_slice(&forged);
        disk.poke(&path, content).unwrap();
        let job = open_store(&disk).unwrap().open_job(JOB).unwrap();

        let mut outcomes = job.outcomes(0);
        let read: Vec<_> = outcomes.by_ref().take_while(Result::is_ok).map(Result::unwrap).collect();

        assert_eq!(read.len(), 5);
        assert!(outcomes.next().is_none());
        let told = job.outcomes(5).find_map(Result::err).unwrap();
        assert!(matches!(told, StoreError::Corrupt(damage) if damage.what == DamageKind::Records));
    }
}

#[test]
fn an_outcome_that_a_key_has_twice_is_found_where_it_is_read_the_second_time() {
    let (disk, path, mut content, end) = journal();
    let mut at = end;
    let mut second = 0;
    for (lsn, key) in (4..).zip(["a", "b", "a", "c"]) {
        if lsn == 6 {
            second = at as u64;
        }
        // A completed item with a key of one byte, an attempt and an output of one byte.
        let body = [&[2, 1 << 1 | 1][..], key.as_bytes(), &[1, 1, b'x']].concat();
        let forged = seal(&content, at, (lsn, 1, 0), &body);
        content[at..at + forged.len()].copy_from_slice(&forged);
        at += forged.len();
    }
    disk.poke(&path, content).unwrap();
    match open_store(&disk).unwrap().open_job(JOB) {
        Err(StoreError::Corrupt(damage)) => {
            assert_eq!((damage.what, damage.at, damage.first_lsn_affected), (DamageKind::Records, second, 6));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gap_and_a_repetition_of_lsns_are_corrupt() {
    assert_eq!(open_with(5, 1, 0), Err(DamageKind::LsnSequence));
    assert_eq!(open_with(3, 1, 0), Err(DamageKind::LsnSequence));
    assert_eq!(open_with(0, 1, 0), Err(DamageKind::LsnSequence));
}

#[test]
fn a_count_that_is_not_that_of_the_records_is_corrupt() {
    assert_eq!(open_with(4, 2, 0), Err(DamageKind::Records));
    assert_eq!(open_with(4, 0, 0), Err(DamageKind::Records));
}

#[test]
fn a_claim_of_durability_is_found_however_far_behind_the_damage() {
    let (disk, path, mut content, end) = journal();
    let at = end + (5 << 20);
    content.resize(at + 4096, 0);
    let forged = frame(&content, at, 9, 1, 0);
    content[at..at + forged.len()].copy_from_slice(&forged);
    disk.poke(&path, content).unwrap();
    match open_store(&disk).unwrap().open_job(JOB) {
        Err(StoreError::Corrupt(damage)) => {
            assert_eq!((damage.what, damage.at), (DamageKind::Frame, end as u64));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_successor_that_disagrees_about_what_it_follows_is_corrupt() {
    let (disk, path, content, _) = journal();
    // Another history of the same length: each frame intact, but not what the successor saw.
    // What another host may be making keeps the next segment from taking the first one in.
    disk.poke(&path.with_file_name("seg-0000000000000002"), Vec::new()).unwrap();
    let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    let second = path.with_file_name("seg-0000000000000003");
    let mut header = disk.peek(&second).unwrap();
    for copy in [0, 4096] {
        header[copy + 104] ^= 1;
        let sum = crc(&header[copy..copy + 144]);
        header[copy + 144..copy + 148].copy_from_slice(&sum.to_le_bytes());
    }
    disk.poke(&second, header).unwrap();
    assert_eq!(disk.peek(&path).unwrap(), content, "an opening changes nothing that is there");
    match open_store(&disk).unwrap().open_job(JOB) {
        Err(StoreError::Corrupt(damage)) => assert_eq!(damage.what, DamageKind::PinMismatch),
        other => panic!("{other:?}"),
    }
}
