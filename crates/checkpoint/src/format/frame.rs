//! Frames: the units in which a journal is written and checked.

use super::bytes::{Malformed, Reader};
use super::checksum::{crc, crc_of_two};
use crate::seeded::has_bug;

/// Bytes before a frame's body.
pub(crate) const HEADER_LEN: usize = 30;
/// Bytes after a frame's body: its checksum.
pub(crate) const TRAILER_LEN: usize = 4;
/// The longest body. A reader refuses a longer one before it allocates.
pub(crate) const BODY_LEN_MAX: usize = 64 << 20;

/// The body holds records.
pub(crate) const TYPE_RECORDS: u8 = 1;
/// No body: the frame exists for what it says about durability.
pub(crate) const TYPE_MARK: u8 = 2;

/// The frame is synced before anything in it is acknowledged; the first one makes a segment a successor.
pub(crate) const FLAG_COMMIT: u8 = 0x01;
/// A reader that does not know the type may pass over the frame.
pub(crate) const FLAG_SKIPPABLE: u8 = 0x80;

const OFFSET_SYNC: usize = 0;
const OFFSET_BODY_LEN: usize = 4;
const OFFSET_FIRST_LSN: usize = 8;
const OFFSET_COUNT: usize = 16;
const OFFSET_UNDURABLE: usize = 20;
const OFFSET_TYPE: usize = 24;
const OFFSET_FLAGS: usize = 25;
const OFFSET_HEADER_CRC: usize = 26;

/// The fields of a frame's header as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] = &[
    (OFFSET_SYNC, 4, "sync"),
    (OFFSET_BODY_LEN, 4, "body length"),
    (OFFSET_FIRST_LSN, 8, "first lsn"),
    (OFFSET_COUNT, 4, "count"),
    (OFFSET_UNDURABLE, 4, "undurable"),
    (OFFSET_TYPE, 1, "type"),
    (OFFSET_FLAGS, 1, "flags"),
    (OFFSET_HEADER_CRC, 4, "header crc"),
];

/// What ties a frame to its segment: the segment's random salt, epoch and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameKey {
    seed: u32,
    sync: [u8; 4],
}

impl FrameKey {
    pub(crate) fn new(salt: u64, epoch: u64, seq: u64) -> Self {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&salt.to_le_bytes());
        bytes[8..16].copy_from_slice(&epoch.to_le_bytes());
        bytes[16..].copy_from_slice(&seq.to_le_bytes());
        // Never zero in its first byte: space that was only filled ahead can then be passed over quickly.
        let sync = (crc(&bytes[..8]) | 1).to_le_bytes();
        Self { seed: crc(&bytes), sync }
    }

    /// The four bytes that begin every frame of the segment.
    pub(crate) fn sync(&self) -> [u8; 4] {
        self.sync
    }

    /// The offset is part of the sum, so a frame that was copied elsewhere is not valid there.
    fn header_crc(&self, header: &[u8; HEADER_LEN], offset: u64) -> u32 {
        let mut bytes = [0; 12 + OFFSET_HEADER_CRC];
        bytes[..4].copy_from_slice(&self.seed.to_le_bytes());
        bytes[4..12].copy_from_slice(&offset.to_le_bytes());
        bytes[12..].copy_from_slice(&header[..OFFSET_HEADER_CRC]);
        if has_bug("the header's checksum leaves out the length") {
            bytes[12 + OFFSET_BODY_LEN..12 + OFFSET_FIRST_LSN].fill(0);
        }
        if has_bug("the header's checksum leaves out the offset") {
            bytes[4..12].fill(0);
        }
        crc(&bytes)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) body_len: u32,
    /// The lsn of the first outcome in the body, or the next one when there is none.
    pub(crate) first_lsn: u64,
    /// Outcomes in the body.
    pub(crate) count: u32,
    /// How many bytes before this frame were not known to be durable when it was written.
    pub(crate) undurable: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) header_crc: u32,
}

impl FrameHeader {
    /// Fills in header and trailer around the body that lies at `frame[HEADER_LEN..]`, and returns the header.
    pub(crate) fn seal(mut self, key: &FrameKey, offset: u64, frame: &mut Vec<u8>) -> Self {
        let body_len = frame.len() - HEADER_LEN;
        assert!(body_len <= BODY_LEN_MAX, "groups are cut long before the longest body");
        self.body_len = body_len as u32;
        let header: &mut [u8; HEADER_LEN] =
            frame.first_chunk_mut().expect("the caller reserved space for the header");
        header[OFFSET_SYNC..OFFSET_BODY_LEN].copy_from_slice(&key.sync);
        header[OFFSET_BODY_LEN..OFFSET_FIRST_LSN].copy_from_slice(&self.body_len.to_le_bytes());
        header[OFFSET_FIRST_LSN..OFFSET_COUNT].copy_from_slice(&self.first_lsn.to_le_bytes());
        header[OFFSET_COUNT..OFFSET_UNDURABLE].copy_from_slice(&self.count.to_le_bytes());
        header[OFFSET_UNDURABLE..OFFSET_TYPE].copy_from_slice(&self.undurable.to_le_bytes());
        header[OFFSET_TYPE] = self.kind;
        header[OFFSET_FLAGS] = self.flags;
        self.header_crc = key.header_crc(header, offset);
        header[OFFSET_HEADER_CRC..].copy_from_slice(&self.header_crc.to_le_bytes());
        let body_crc = self.body_crc(&frame[HEADER_LEN..]);
        frame.extend_from_slice(&body_crc.to_le_bytes());
        self
    }

    /// The header at `offset` of a segment, if that is what the bytes are.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], key: &FrameKey, offset: u64) -> Option<Self> {
        if bytes[..OFFSET_BODY_LEN] != key.sync {
            return None;
        }
        let header = Self::fields(&bytes[OFFSET_BODY_LEN..]).ok()?;
        (header.header_crc == key.header_crc(bytes, offset) && header.body_len as usize <= BODY_LEN_MAX)
            .then_some(header)
    }

    fn fields(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        Ok(Self {
            body_len: r.u32()?,
            first_lsn: r.u64()?,
            count: r.u32()?,
            undurable: r.u32()?,
            kind: r.u8()?,
            flags: r.u8()?,
            header_crc: r.u32()?,
        })
    }

    /// The body's checksum; the header's is part of it, so a body belongs to one header only.
    pub(crate) fn body_crc(&self, body: &[u8]) -> u32 {
        if has_bug("a body is not tied to its header") {
            return crc(body);
        }
        crc_of_two(&self.header_crc.to_le_bytes(), body)
    }

    /// Header, body and trailer together.
    pub(crate) fn frame_len(&self) -> u64 {
        (HEADER_LEN + self.body_len as usize + TRAILER_LEN) as u64
    }

    /// Up to where the segment was known to be durable when the frame at `offset` was written.
    pub(crate) fn durable_end(&self, offset: u64) -> u64 {
        offset.saturating_sub(u64::from(self.undurable))
    }

    pub(crate) fn is_commit(&self) -> bool {
        self.flags & FLAG_COMMIT != 0
    }

    /// The running checksum of a segment, continued by this frame.
    pub(crate) fn chain(&self, before: u32, body_crc: u32) -> u32 {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&before.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.header_crc.to_le_bytes());
        bytes[8..].copy_from_slice(&body_crc.to_le_bytes());
        crc(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(offset: u64) -> (FrameKey, Vec<u8>) {
        let key = FrameKey::new(7, 1, 1);
        let mut frame = vec![0; HEADER_LEN];
        frame.extend_from_slice(b"body");
        let header = FrameHeader {
            body_len: 0,
            first_lsn: 3,
            count: 1,
            undurable: 5,
            kind: TYPE_RECORDS,
            flags: FLAG_COMMIT,
            header_crc: 0,
        };
        header.seal(&key, offset, &mut frame);
        (key, frame)
    }

    #[test]
    fn a_header_is_valid_in_its_own_segment_and_at_its_own_offset_only() {
        let (key, frame) = sealed(8192);
        let bytes: &[u8; HEADER_LEN] = frame.first_chunk().unwrap();
        let header = FrameHeader::decode(bytes, &key, 8192).unwrap();
        assert_eq!((header.body_len, header.first_lsn, header.durable_end(8192)), (4, 3, 8187));
        assert_eq!(FrameHeader::decode(bytes, &key, 8193), None);
        for other in [FrameKey::new(8, 1, 1), FrameKey::new(7, 2, 1), FrameKey::new(7, 1, 2)] {
            assert_eq!(FrameHeader::decode(bytes, &other, 8192), None);
        }
    }

    #[test]
    fn the_layout_has_no_gap_and_fills_the_header() {
        let mut end = 0;
        for &(offset, size, name) in LAYOUT {
            assert_eq!(offset, end, "{name}");
            end = offset + size;
        }
        assert_eq!(end, HEADER_LEN);
    }
}
