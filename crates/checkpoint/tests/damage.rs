//! Every single-bit flip and every truncation of a small journal, with the verdict: intact, torn or corrupt.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Damage, DamageKind, Disk, JobState, StoreError};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{JOB, Model, open_store, spec};

const HEADER_LEN: usize = 148;
const SECOND_COPY: usize = 4096;
const FRAMES_START: usize = 8192;

/// What an opening made of it.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// So many outcomes, and whether an end was torn off.
    Opened {
        outcomes: usize,
        is_torn: bool,
        copies_damaged: u32,
    },
    Corrupt(DamageKind),
}

fn open(disk: &SimDisk) -> Verdict {
    let job = match open_store(disk).and_then(|store| store.open_job(JOB)) {
        Ok(job) => job,
        Err(StoreError::Corrupt(damage)) => return Verdict::Corrupt(damage.what),
        Err(other) => panic!("{other}"),
    };
    let report = job.recovery();
    Verdict::Opened {
        outcomes: job.outcomes(0).map(Result::unwrap).count(),
        is_torn: report.torn.is_some(),
        copies_damaged: report.header_copies_damaged,
    }
}

fn intact(outcomes: usize) -> Verdict {
    Verdict::Opened { outcomes, is_torn: false, copies_damaged: 0 }
}

/// Three commits of two outcomes; `is_closed` says whether the session ended in an orderly way.
fn journal(is_closed: bool) -> SimDisk {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model::default();
    for first in [0, 2, 4] {
        model.commit_run(&job, first, 2).unwrap();
    }
    if is_closed {
        job.finish(JobState::Interrupted).unwrap();
    }
    // The handle lives on, so nothing is left by its drop.
    disk.after_process_end()
}

fn file(disk: &SimDisk, name: &str) -> PathBuf {
    disk.files().into_iter().find(|path| path.file_name().unwrap() == name).unwrap()
}

fn segment(seq: u64) -> String {
    format!("seg-{seq:016x}")
}

fn flipped(disk: &SimDisk, path: &Path, byte: usize, bit: u8) -> SimDisk {
    let image = disk.after_process_end();
    let mut content = image.peek(path).unwrap();
    content[byte] ^= 1 << bit;
    image.poke(path, content).unwrap();
    image
}

fn cut(disk: &SimDisk, path: &Path, len: usize) -> SimDisk {
    let image = disk.after_process_end();
    let content = image.peek(path).unwrap()[..len].to_vec();
    image.poke(path, content).unwrap();
    image
}

/// Where frames begin and where the last one ends: each begins with the same four bytes.
fn frames(content: &[u8]) -> (Vec<usize>, usize) {
    let mut starts = vec![FRAMES_START];
    loop {
        let at = *starts.last().unwrap();
        let body_len = u32::from_le_bytes(content[at + 4..at + 8].try_into().unwrap()) as usize;
        let next = at + 34 + body_len;
        if content[next..next + 4] != content[FRAMES_START..FRAMES_START + 4] {
            return (starts, next);
        }
        starts.push(next);
    }
}

#[test]
fn any_flipped_bit_of_a_closed_journal_is_harmless_or_corrupt() {
    let disk = journal(true);
    let path = file(&disk, &segment(1));
    let content = disk.peek(&path).unwrap();
    let (starts, end) = frames(&content);
    assert_eq!(starts.len(), 1 + 3 + 1, "the mark at its beginning, three groups, the mark at its end");
    for byte in (0..content.len()).filter(|byte| byte % 61 == 0 || in_use(*byte, end)) {
        for bit in 0..8 {
            let expected = match byte {
                _ if byte < HEADER_LEN || (SECOND_COPY..SECOND_COPY + HEADER_LEN).contains(&byte) => {
                    Verdict::Opened { outcomes: 6, is_torn: false, copies_damaged: 1 }
                }
                FRAMES_START.. if byte < end => Verdict::Corrupt(DamageKind::Frame),
                // Space that was filled ahead: nothing of ours, and nothing is lost.
                FRAMES_START.. => Verdict::Opened { outcomes: 6, is_torn: true, copies_damaged: 0 },
                _ => intact(6),
            };
            assert_eq!(open(&flipped(&disk, &path, byte, bit)), expected, "byte {byte} bit {bit}");
        }
    }
}

fn in_use(byte: usize, end: usize) -> bool {
    byte < HEADER_LEN
        || (SECOND_COPY..SECOND_COPY + HEADER_LEN).contains(&byte)
        || (FRAMES_START..end + 8).contains(&byte)
}

#[test]
fn any_flipped_bit_of_an_unclosed_journal_is_corrupt_unless_it_is_in_the_last_group() {
    let disk = journal(false);
    let path = file(&disk, &segment(1));
    let (starts, end) = frames(&disk.peek(&path).unwrap());
    assert_eq!(starts.len(), 1 + 3, "the mark at its beginning and three groups");
    let last = starts[3];
    assert_eq!(open(&disk.after_process_end()), intact(6));
    for byte in FRAMES_START..end {
        for bit in 0..8 {
            let expected = if byte < last {
                Verdict::Corrupt(DamageKind::Frame)
            } else {
                Verdict::Opened { outcomes: 4, is_torn: true, copies_damaged: 0 }
            };
            assert_eq!(open(&flipped(&disk, &path, byte, bit)), expected, "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn any_truncation_of_a_closed_journal_is_harmless_or_corrupt() {
    let disk = journal(true);
    let path = file(&disk, &segment(1));
    let content = disk.peek(&path).unwrap();
    let (_, end) = frames(&content);
    for len in (0..content.len()).filter(|len| len % 61 == 0 || in_use(*len, end)) {
        let verdict = open(&cut(&disk, &path, len));
        match len {
            0..HEADER_LEN => assert_eq!(verdict, Verdict::Corrupt(DamageKind::SegmentHeader), "{len}"),
            _ if len < end => assert_eq!(verdict, Verdict::Corrupt(DamageKind::Frame), "{len}"),
            _ => assert_eq!(verdict, intact(6), "{len}"),
        }
    }
}

#[test]
fn any_flipped_bit_of_a_head_falls_back_or_is_corrupt() {
    let disk = journal(true);
    let path = file(&disk, "HEAD");
    let content = disk.peek(&path).unwrap();
    for byte in (0..content.len()).filter(|byte| byte % 4096 < 200) {
        for bit in 0..8 {
            let verdict = open(&flipped(&disk, &path, byte, bit));
            if byte < 8192 {
                assert_eq!(verdict, intact(6), "byte {byte} bit {bit}");
            } else {
                assert_eq!(verdict, Verdict::Corrupt(DamageKind::Description), "byte {byte} bit {bit}");
            }
        }
    }
    for len in [0, 100, 4096, 4200, 8191, content.len() - 1] {
        let verdict = open(&cut(&disk, &path, len));
        let expected = if len < 28 + 133 { DamageKind::NoIntactSlot } else { DamageKind::Description };
        assert_eq!(verdict, Verdict::Corrupt(expected), "{len}");
    }
}

#[test]
fn damage_before_the_place_where_a_later_segment_took_over_is_corrupt_and_behind_it_harmless() {
    let disk = journal(true);
    let path = file(&disk, &segment(1));
    // What another host may be making keeps the next segment from taking the first one in.
    disk.poke(&path.with_file_name(segment(2)), Vec::new()).unwrap();
    assert_eq!(open(&disk), intact(6));
    let disk = disk.after_process_end();
    let (_, end) = frames(&disk.peek(&path).unwrap());
    for byte in FRAMES_START..end {
        assert_eq!(open(&flipped(&disk, &path, byte, 3)), Verdict::Corrupt(DamageKind::Frame), "{byte}");
    }
    assert_eq!(open(&flipped(&disk, &path, end + 1, 3)), intact(6));
    let (image, second) = (disk.after_process_end(), file(&disk, &segment(3)));
    image.poke(&second, Vec::new()).unwrap();
    assert_eq!(open(&image), Verdict::Corrupt(DamageKind::SegmentHeader));
}

#[test]
fn damage_is_reported_with_its_place_and_changes_nothing() {
    let disk = journal(true);
    let path = file(&disk, &segment(1));
    let (starts, _) = frames(&disk.peek(&path).unwrap());
    let image = flipped(&disk, &path, starts[2] + 40, 0);
    let before: Vec<_> = image.files().iter().map(|path| image.peek(path).unwrap()).collect();
    let error = open_store(&image).unwrap().open_job(JOB).unwrap_err();
    let StoreError::Corrupt(damage) = error else { panic!("{error}") };
    let expected = Damage { path, at: starts[2] as u64, what: DamageKind::Frame, first_lsn_affected: 3 };
    assert_eq!(damage, Arc::new(expected));
    assert!(open_store(&image).unwrap().read_job(JOB).is_err());
    let after: Vec<_> = image.files().iter().map(|path| image.peek(path).unwrap()).collect();
    assert_eq!(before, after);
}

#[test]
fn swapped_and_copied_frames_are_corrupt() {
    let disk = journal(true);
    let path = file(&disk, &segment(1));
    let content = disk.peek(&path).unwrap();
    let (starts, end) = frames(&content);
    let (a, b) = (content[starts[1]..starts[2]].to_vec(), content[starts[2]..starts[3]].to_vec());
    let replaced = |at: usize, bytes: &[u8]| {
        let image = disk.after_process_end();
        let mut content = content.clone();
        content[at..at + bytes.len()].copy_from_slice(bytes);
        image.poke(&path, content).unwrap();
        open(&image)
    };
    assert_eq!(replaced(starts[1], &[b.clone(), a.clone()].concat()), Verdict::Corrupt(DamageKind::Frame));
    assert_eq!(replaced(starts[2], &a[..a.len().min(b.len())]), Verdict::Corrupt(DamageKind::Frame));
    let copied = replaced(end, &a);
    assert_eq!(copied, Verdict::Opened { outcomes: 6, is_torn: true, copies_damaged: 0 });
}

#[test]
fn two_committed_successors_of_one_segment_are_a_fork() {
    let disk = journal(true);
    let one = disk.after_process_end();
    assert_eq!(open(&one), intact(6));
    // The other host saw a second segment that was not committed yet, and made a third.
    let other = disk.after_process_end();
    let second = file(&one, &segment(2));
    other.poke(&second, Vec::new()).unwrap();
    assert_eq!(open(&other), intact(6));
    other.poke(&second, one.peek(&second).unwrap()).unwrap();
    assert_eq!(open(&other), Verdict::Corrupt(DamageKind::Fork));
}

#[test]
fn a_segment_of_another_job_and_a_missing_one_are_corrupt() {
    let disk = journal(true);
    let foreign = journal(true);
    let path = file(&disk, &segment(1));
    let other = foreign.peek(&file(&foreign, &segment(1))).unwrap();
    let image = disk.after_process_end();
    image.poke(&path, other).unwrap();
    assert_eq!(open(&image), Verdict::Corrupt(DamageKind::ForeignSegment));
    let image = disk.after_process_end();
    drop(open_store(&image).unwrap().create_job("another", &spec(Keying::Dense)).unwrap());
    let of_the_same_store =
        image.files().into_iter().rfind(|other| other.ends_with(segment(1)) && *other != path);
    image.poke(&path, image.peek(&of_the_same_store.unwrap()).unwrap()).unwrap();
    assert_eq!(open(&image), Verdict::Corrupt(DamageKind::ForeignSegment));
    let image = disk.after_process_end();
    image.remove_file(&path).unwrap();
    assert_eq!(open(&image), Verdict::Corrupt(DamageKind::MissingSegment));
}
