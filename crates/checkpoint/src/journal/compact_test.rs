//! What compaction writes, frame by frame.

use crate::disk::OpenMode;
use crate::format::frame::{FLAG_COMMIT, FLAG_SKIPPABLE, FrameKey, TYPE_MARK, TYPE_RECORDS};
use crate::format::record::put_dropped;
use crate::format::segment::{COPY_OFFSETS, Compacted, FRAMES_START, SegmentHeader, file_name};
use crate::journal::append::FrameKind;
use crate::journal::chain::Link;
use crate::journal::inside_test::{
    ShownFrame, append, commit_key, fill_keys, frames_of, keyed_job, rotate, try_after_death,
};
use crate::journal::lead::lock;
use crate::journal::rewrite::Tail;
use crate::{JobStore, KeyRef, Note};
use cofferdam_pipeline_core::{Identities, KeyTable};
use std::sync::Arc;

fn chain_of(job: &JobStore) -> Vec<Link> {
    lock(&job.journal.chain).links.clone()
}

/// The frames of the segment that was written.
fn frames(job: &JobStore, header: &SegmentHeader) -> Vec<ShownFrame> {
    let tail = Tail {
        path: job.journal.dir.join("seg-unfinished"),
        key: FrameKey::new(header.salt, header.epoch, header.seq),
        from: FRAMES_START,
        to: header.compacted.unwrap().end,
    };
    frames_of(job, &tail)
}

#[test]
fn a_compacted_segment_holds_what_counts_in_its_order_and_how_much_was_between() {
    let (_dir, job) = keyed_job();
    fill_keys(&job, 1);
    rotate(&job);
    fill_keys(&job, 2);
    let mut keys = KeyTable::default();
    ["a", "b"].into_iter().for_each(|key| keys.push(key.as_bytes(), None));
    let keys = Identities::Keys(keys);
    job.lease_started(1, 1, &keys, 0..2).unwrap();
    job.lease_started(1, 2, &keys, 0..1).unwrap();
    for page in 1..=2 {
        job.save_state(KeyRef::Bytes(b"c"), None, vec![page].into()).unwrap();
    }
    job.note(KeyRef::Bytes(b"a"), Note { crashes: 1, ..Note::default() }).unwrap();
    commit_key(&job, "a", 1, b"output");
    append(&job, FrameKind { kind: 9, flags: FLAG_SKIPPABLE | FLAG_COMMIT, count: 0 }, b"of a later version");
    commit_key(&job, "d", 2, b"output");
    rotate(&job);
    fill_keys(&job, 3);
    rotate(&job);
    fill_keys(&job, 4);
    let links = chain_of(&job);
    assert_eq!(links.iter().map(|link| link.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);

    let (header, drops_blobs) = job.journal.write_compacted(&links[1..], u64::MAX).unwrap();
    let last = job.journal.header_of(3).unwrap();
    assert_eq!((header.seq, header.prev.seq, header.absorbs), (3, 1, 1));
    assert_ne!(header.salt, last.salt, "frames of the one are none of the other");
    assert!(!drops_blobs);
    assert_eq!(header.compacted.unwrap().dropped, 10);
    let kept = ["5 dropped", "lease 1", "state [2]", "Bytes([97])"];
    let expected = [
        (TYPE_MARK, FLAG_COMMIT, 0, vec![]),
        (TYPE_RECORDS, 0, 6, kept.map(String::from).to_vec()),
        (9, FLAG_SKIPPABLE, 0, vec![]),
        (TYPE_RECORDS, 0, 6, ["Bytes([100])", "5 dropped"].map(String::from).to_vec()),
    ];
    assert_eq!(frames(&job, &header), expected);
}

#[test]
fn a_frame_never_speaks_of_more_outcomes_than_it_can_count() {
    let (_dir, job) = keyed_job();
    fill_keys(&job, 5);
    for count in [u32::MAX - 1, 1, 1] {
        let mut body = Vec::new();
        put_dropped(&mut body, count);
        append(&job, FrameKind { kind: TYPE_RECORDS, flags: 0, count }, &body);
    }
    rotate(&job);
    let (header, _) = job.journal.write_compacted(&chain_of(&job), 0).unwrap();
    let frames = frames(&job, &header);
    let counts: Vec<_> = frames.iter().map(|(_, _, count, _)| *count).filter(|count| *count > 0).collect();
    assert_eq!(counts, [1, 1, 1, 1, 1, u32::MAX, 1]);
}

#[test]
fn a_compacted_segment_that_does_not_end_as_it_says_is_corrupt() {
    for (end, chain, is_whole) in [(0, 0, true), (0, 1, false), (1, 0, false)] {
        let (dir, job) = keyed_job();
        fill_keys(&job, 1);
        rotate(&job);
        fill_keys(&job, 2);
        let (mut header, _) = job.journal.write_compacted(&chain_of(&job), u64::MAX).unwrap();
        job.journal.take_place(&header, 1).unwrap();
        let compacted = header.compacted.as_mut().unwrap();
        (compacted.end, compacted.chain) = (compacted.end + end, compacted.chain ^ chain);
        let path = job.journal.dir.join(file_name(header.seq));
        let mut content = std::fs::read(&path).unwrap();
        for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
            let bytes = header.encode(copy as u16);
            content[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
        }
        std::fs::write(&path, content).unwrap();
        assert_eq!(try_after_death(&dir, &job).is_ok(), is_whole, "{end} {chain}");
    }
}

#[test]
fn a_compacted_segment_is_read_back_before_it_counts() {
    let (_dir, job) = keyed_job();
    fill_keys(&job, 1);
    rotate(&job);
    let (header, _) = job.journal.write_compacted(&chain_of(&job), 0).unwrap();
    let path = job.journal.dir.join("seg-unfinished");
    let reads_back = |change: fn(&mut Compacted)| {
        let mut header = header;
        header.compacted.as_mut().map(change);
        let file = job.journal.disk.open(&path, OpenMode::Read).unwrap();
        super::reads_back(&Arc::from(file), &path, &header).unwrap()
    };
    assert!(reads_back(|_| {}));
    assert!(!reads_back(|compacted| compacted.chain ^= 1));
    assert!(!reads_back(|compacted| compacted.end += 1));
    let mut content = std::fs::read(&path).unwrap();
    content[FRAMES_START as usize + 1000] ^= 1;
    std::fs::write(&path, content).unwrap();
    assert!(!reads_back(|_| {}), "a bit is not as it was written");
}
