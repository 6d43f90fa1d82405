//! Encoded items in source order, laid out as they travel: a slice of a chunk is the payload of a lease.

use crate::{Identities, ItemIndex, StagedItem};
use std::ops::Range;

/// Consecutive items, each a varint length (LEB128, at most 5 bytes) and then its encoding.
#[derive(Debug)]
pub struct Chunk {
    first: ItemIndex,
    bytes: Vec<u8>,
    /// `ends[i]` is the offset one past item `i` in `bytes`.
    ends: Vec<u32>,
    identities: Identities,
    staged: Option<StagedItem>,
}

impl Chunk {
    /// One large item that lies elsewhere.
    #[must_use]
    pub fn of_staged(first: ItemIndex, item: StagedItem, identities: Identities) -> Self {
        Self { first, bytes: Vec::new(), ends: vec![0], identities, staged: Some(item) }
    }

    /// The only item, when it is too large to be here.
    #[must_use]
    pub fn staged(&self) -> Option<&StagedItem> {
        self.staged.as_ref()
    }

    /// The index of the chunk's first item; item `i` of the chunk has index `first + i`.
    #[must_use]
    pub fn first(&self) -> ItemIndex {
        self.first
    }

    /// Who the items are, for the store.
    #[must_use]
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Number of items, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a chunk is never empty")]
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The wire bytes of the items at positions `range`; none of one that is [staged](Chunk::staged).
    #[must_use]
    pub fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.bytes[self.offset(range.start) as usize..self.offset(range.end) as usize]
    }

    /// The number of bytes of the items at positions `range`, wherever they lie; a staged one counts as a GiB at most.
    #[must_use]
    pub fn slice_len(&self, range: &Range<u32>) -> usize {
        if let Some(staged) = &self.staged {
            return if range.is_empty() { 0 } else { staged.len.min(1 << 30) as usize };
        }
        (self.offset(range.end) - self.offset(range.start)) as usize
    }

    /// The largest position `end` so that `start..end` has at most `items_max` items and `bytes_max` wire bytes, but
    /// never less than one item.
    #[must_use]
    pub fn take(&self, start: u32, end: u32, items_max: u32, bytes_max: usize) -> u32 {
        let limit = self.offset(start) as usize + bytes_max;
        let within = &self.ends[start as usize..end.min(start.saturating_add(items_max)) as usize];
        start + within.partition_point(|&e| e as usize <= limit).max(1) as u32
    }

    fn offset(&self, position: u32) -> u32 {
        if position == 0 { 0 } else { self.ends[position as usize - 1] }
    }
}

/// Builds a chunk item by item.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl ChunkBuilder {
    /// Appends one item whose encoding `encode` appends to the buffer it is given, whatever is in there already;
    /// nothing is appended when it fails.
    ///
    /// # Errors
    /// What `encode` returns.
    ///
    /// # Panics
    /// When `encode` removes bytes that it did not write.
    pub fn push<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        // Most items are short: one byte is set aside for the length, and only longer ones are moved to make room.
        self.bytes.push(0);
        if let Err(error) = encode(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let body = start + 1;
        assert!(self.bytes.len() >= body, "an encoder only appends");
        let len = self.bytes.len() - body;
        if len < 0x80 {
            self.bytes[start] = len as u8;
        } else {
            self.make_room(start, len);
        }
        self.ends.push(u32::try_from(self.bytes.len()).expect("the feeder closes a chunk long before 4 GiB"));
        Ok(())
    }

    /// Wire bytes so far.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Items so far.
    #[must_use]
    pub fn items(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The chunk, and an empty builder again with room for as much; `None` when nothing was pushed. `identities` has one
    /// entry for each item.
    pub fn finish(&mut self, first: ItemIndex, identities: Identities) -> Option<Chunk> {
        if self.ends.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let ends = std::mem::take(&mut self.ends);
        self.bytes.reserve(bytes.len().min(SPARE_BYTES_MAX));
        self.ends.reserve(ends.len());
        Some(Chunk { first, bytes, ends, identities, staged: None })
    }

    /// Replaces the byte that was set aside at `start` by a longer length.
    #[cold]
    fn make_room(&mut self, start: usize, len: usize) {
        let mut prefix = Vec::with_capacity(5);
        push_entry_len(&mut prefix, len);
        self.bytes.splice(start..=start, prefix);
    }
}

/// Room that a builder keeps for its next chunk.
const SPARE_BYTES_MAX: usize = 1 << 20;

/// Appends the varint length that precedes an entry (an item in a lease, an output in a reply).
pub fn push_entry_len(out: &mut Vec<u8>, len: usize) {
    let mut rest = len as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The bytes are not a sequence of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed entry at byte {at}")]
pub struct EntryError {
    /// Offset of the entry.
    pub at: usize,
}

/// The entries in `bytes`, which may come from a hostile peer: at the first malformed one an error, then nothing.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], EntryError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let entry = read_entry(bytes, &mut at);
        if entry.is_none() {
            at = bytes.len();
        }
        Some(entry.ok_or(EntryError { at: start }))
    })
}

/// The first entry of `bytes` and what follows it; `None` when there is none, or a malformed one.
#[must_use]
pub fn split_first_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    let entry = read_entry(bytes, &mut at)?;
    Some((entry, &bytes[at..]))
}

fn read_entry<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let mut len = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let end = at.checked_add(usize::try_from(len).ok()?)?;
            let entry = bytes.get(*at..end)?;
            *at = end;
            return Some(entry);
        }
    }
    None
}
