//! What fuzzing calls, and the replay of its corpora as ordinary tests.
//!
//! Checksums keep nearly all random bytes from the code behind them, so each target also puts right what it may put right: it
//! takes its input for what a checksum would cover. `fuzz/` calls these with `--cfg fuzzing`; no other build has them.

use crate::DiskFile;
use crate::format::checksum::crc;
use crate::format::description::Description;
use crate::format::frame::{FrameHeader, FrameKey, HEADER_LEN, TYPE_RECORDS};
use crate::format::head::{Head, SLOTS};
use crate::format::record::{Record, records};
use crate::format::segment::{self, SegmentHeader};
use crate::format::slot::Best;
use crate::format::snapshot::{Footer, Other, others, put_other};
use crate::format::{evidence, owner, store_file};
use crate::journal::reader::FrameReader;
use std::io;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug)]
struct Memory(Vec<u8>);

impl DiskFile for Memory {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = self.0.get(offset as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

fn key() -> FrameKey {
    FrameKey::new(1, 1, 1)
}

fn reader(bytes: Vec<u8>) -> FrameReader {
    let end = bytes.len() as u64;
    FrameReader::new(Arc::new(Memory(bytes)), Path::new("fuzz"), key(), 0, end)
}

/// Bytes where frames should be: every walk over them ends, and what is sealed comes back.
pub fn frames(data: &[u8]) {
    walk(data.to_vec());
    let Some((flip, body)) = data.split_first_chunk::<3>() else { return };
    let header = FrameHeader {
        body_len: 0,
        first_lsn: flip[1].into(),
        count: 1,
        undurable: flip[2].into(),
        kind: TYPE_RECORDS,
        flags: flip[0],
        header_crc: 0,
    };
    let mut frame = [&[0; HEADER_LEN], body].concat();
    let sealed = header.seal(&key(), 0, &mut frame);
    let mut whole = reader(frame.clone());
    let read = whole.next_frame().expect("memory can be read").expect("it was just sealed");
    assert_eq!((read.header, read.body), (sealed, body));
    // One bit of it flipped: no longer a frame.
    let bit = u16::from_le_bytes([flip[0], flip[1]]) as usize % (frame.len() * 8);
    frame[bit / 8] ^= 1 << (bit % 8);
    assert!(reader(frame.clone()).next_frame().expect("memory can be read").is_none());
    walk([&frame[..], data].concat());
}

fn walk(bytes: Vec<u8>) {
    let end = bytes.len() as u64;
    let mut reader = reader(bytes);
    loop {
        let at = reader.offset();
        if reader.next_frame().expect("memory can be read").is_none()
            && !reader.resync().expect("memory can be read")
        {
            break;
        }
        assert!(at < reader.offset() && reader.offset() <= end);
    }
    reader.judge_rest().expect("memory can be read");
}

/// The body of a frame whose checksum is right.
pub fn body(data: &[u8]) {
    let mut outcomes = 0u64;
    for record in records(data) {
        let Ok(record) = record else { break };
        outcomes += if matches!(record, Record::Dropped { .. }) { 0 } else { u64::from(record.outcomes()) };
    }
    // Every outcome that is there has a byte at least, so a short body cannot claim many.
    assert!(outcomes <= data.len() as u64, "{outcomes} outcomes in {} bytes", data.len());
    let _ = evidence::decode(data);
}

/// Files that are read whole: HEAD, the owner record, the store's own, the copies of a segment's header.
pub fn headers(data: &[u8]) {
    if let Best::Found(slot) = SLOTS.best(data) {
        assert!(slot.payload.len() <= SLOTS.payload_len_max());
    }
    let payload = &data[..data.len().min(SLOTS.payload_len_max())];
    let slot = SLOTS.encode(2, payload);
    assert!(matches!(SLOTS.best(&slot), Best::Found(found) if found.payload == payload));
    if let Ok(head) = Head::decode(data) {
        assert_eq!(Head::decode(&head.encode()), Ok(head));
    }
    if let Ok(description) = Description::decode(data) {
        assert_eq!(Description::decode(&description.encode()), Ok(description));
    }
    if let Ok(owner) = owner::decode(data) {
        assert_eq!(owner::decode(&owner::encode(&owner)), Ok(owner));
    }
    let _ = store_file::decode(data);
    let mut header = data.to_vec();
    header.resize(segment::HEADER_LEN - 4, 0);
    header.extend_from_slice(&crc(&header).to_le_bytes());
    for copy in [0, 1] {
        if let Ok(read) = SegmentHeader::decode(&header, copy) {
            assert_eq!(SegmentHeader::decode(&read.encode(copy), copy), Ok(read));
        }
    }
}

/// A snapshot behind its checksum: the footer, and the section of what is known of unsettled items.
pub fn snapshot(data: &[u8]) {
    if let Some(Ok(footer)) = data.first_chunk().map(Footer::decode) {
        footer.file_len();
        assert_eq!(footer.encode().first_chunk().map(Footer::decode), Some(Ok(footer)));
    }
    let read: Vec<Other<'_>> = others(data).map_while(Result::ok).collect();
    let mut written = Vec::new();
    read.iter().for_each(|other| put_other(&mut written, other));
    assert_eq!(others(&written).collect::<Result<Vec<_>, _>>(), Ok(read));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `target` with every file of its corpus.
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut files = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 0, "no corpus in {}", folder.display());
    }

    #[test]
    fn the_corpus_of_frames_is_read() {
        replay("frames", frames);
    }

    #[test]
    fn the_corpus_of_bodies_is_read() {
        replay("body", body);
    }

    #[test]
    fn the_corpus_of_headers_is_read() {
        replay("headers", headers);
    }

    #[test]
    fn the_corpus_of_snapshots_is_read() {
        replay("snapshot", snapshot);
    }
}
