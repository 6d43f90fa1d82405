//! What a newer version may write is told from damage, by its checksums, and nothing of it is changed.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::StoreError;
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::path::PathBuf;
use support::{JOB, Model, open_store, spec};

/// Where a slot of HEAD has its payload, and how far the slots lie apart.
const SLOT_PAYLOAD: usize = 28;
const SLOT_ROOM: usize = 4096;
/// Where a segment's header has its checksum, and where its copies lie.
const SEGMENT_SUM: usize = 144;
const SEGMENT_COPIES: [usize; 2] = [0, 4096];

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A job with three outcomes whose session ended without a word.
fn disk() -> SimDisk {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    Model::default().commit_run(&job, 0, 3).unwrap();
    disk.after_process_end()
}

fn change(disk: &SimDisk, name: &str, change: impl Fn(&mut Vec<u8>)) -> (PathBuf, Vec<u8>) {
    let path = disk.files().into_iter().find(|path| path.ends_with(name)).unwrap();
    let mut content = disk.peek(&path).unwrap();
    change(&mut content);
    disk.poke(&path, content.clone()).unwrap();
    (path, content)
}

/// Sets a number in both slots of HEAD and puts their checksums right.
fn change_head(disk: &SimDisk, at: usize, number: u32) -> (PathBuf, Vec<u8>) {
    change(disk, "HEAD", |head| {
        for slot in [0, SLOT_ROOM] {
            let bytes = &mut head[slot..];
            let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
            let sum = crc(&[&bytes[..24], &bytes[SLOT_PAYLOAD..SLOT_PAYLOAD + len]].concat());
            bytes[24..28].copy_from_slice(&sum.to_le_bytes());
        }
    })
}

/// Sets a byte in both copies of the segment's header and puts their checksums right.
fn change_segment(disk: &SimDisk, at: usize, byte: u8) -> (PathBuf, Vec<u8>) {
    change(disk, "seg-0000000000000001", |segment| {
        for copy in SEGMENT_COPIES {
            segment[copy + at] = byte;
            let sum = crc(&segment[copy..copy + SEGMENT_SUM]);
            segment[copy + SEGMENT_SUM..copy + SEGMENT_SUM + 4].copy_from_slice(&sum.to_le_bytes());
        }
    })
}

/// The version that the job is refused for; its file is as it was.
fn refused(disk: &SimDisk, (path, content): (PathBuf, Vec<u8>)) -> u32 {
    let refused = open_store(disk).and_then(|store| store.open_job(JOB).map(drop));
    let Err(StoreError::NewerVersion { found, path: named, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(named, path);
    assert_eq!(disk.peek(&path).unwrap(), content);
    found
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    for (at, number) in [(8, 3), (12, 4)] {
        let disk = disk();
        let changed = change(&disk, "STORE", |store| {
            store[at] = number;
            let sum = crc(&store[..32]);
            store[32..].copy_from_slice(&sum.to_le_bytes());
        });
        assert_eq!(refused(&disk, changed), u32::from(number));
    }
}

#[test]
fn a_head_of_a_newer_version_or_with_flags_that_must_be_known_is_refused() {
    let disk_of_version = disk();
    let changed = change_head(&disk_of_version, 8, 3);
    assert_eq!(refused(&disk_of_version, changed), 3);
    let disk_with_flag = disk();
    let changed = change_head(&disk_with_flag, SLOT_PAYLOAD + 8, 16);
    assert_eq!(refused(&disk_with_flag, changed), 16);
}

#[test]
fn a_flag_that_writers_must_know_still_lets_readers_in() {
    let disk = disk();
    let changed = change_head(&disk, SLOT_PAYLOAD + 4, 8);
    assert_eq!(refused(&disk, changed), 8);
    let reader = open_store(&disk).unwrap().read_job(JOB).unwrap();
    // The last commit has no later frame that vouches for it, so a reader does not count on it.
    assert!(reader.counts().total() <= 3);
}

#[test]
fn a_flag_that_nobody_must_know_is_no_reason() {
    let disk = disk();
    change_head(&disk, SLOT_PAYLOAD, 1);
    assert_eq!(open_store(&disk).unwrap().open_job(JOB).unwrap().counts().total(), 3);
}

#[test]
fn a_segment_of_a_newer_version_or_with_flags_that_must_be_known_is_refused() {
    for (at, byte) in [(8, 3), (20, 32)] {
        let disk = disk();
        let changed = change_segment(&disk, at, byte);
        assert_eq!(refused(&disk, changed), u32::from(byte));
    }
}
