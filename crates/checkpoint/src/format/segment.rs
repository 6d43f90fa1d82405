//! Segment headers: what a journal segment is and what it follows.

use super::bytes::{Malformed, Reader};
use super::checksum::crc;

/// The first bytes of each copy of the header.
pub(crate) const MAGIC: [u8; 8] = *b"CFDMSEG1";
/// Format version of segments.
pub(crate) const VERSION: u16 = 2;
/// The version before, which is read.
pub(crate) const VERSION_BEFORE: u16 = 1;
/// Where the two copies lie: a sector, even one of 4 KiB, that dies takes one of them.
pub(crate) const COPY_OFFSETS: [u64; 2] = [0, 4096];
/// Where the first frame lies.
pub(crate) const FRAMES_START: u64 = 8192;
/// Length of one copy.
pub(crate) const HEADER_LEN: usize = 148;
/// Its length in version 1, which had nothing of compaction.
pub(crate) const HEADER_LEN_BEFORE: usize = 116;

/// The fields of a copy as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] = &[
    (0, 8, "magic"),
    (8, 2, "version"),
    (10, 2, "copy"),
    (12, 4, "compat"),
    (16, 4, "ro-compat"),
    (20, 4, "incompat"),
    (24, 16, "store uuid"),
    (40, 16, "job uuid"),
    (56, 8, "seq"),
    (64, 8, "epoch"),
    (72, 8, "salt"),
    (80, 8, "first lsn"),
    (88, 8, "prev seq"),
    (96, 8, "prev end"),
    (104, 4, "prev chain"),
    (108, 4, "absorbs"),
    (112, 8, "own end"),
    (120, 8, "dropped"),
    (128, 8, "sealed end"),
    (136, 4, "sealed chain"),
    (140, 4, "own chain"),
    (144, 4, "crc"),
];

/// Where in its predecessor a segment takes over: everything before is durable, everything after is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The predecessor, 0 for none.
    pub(crate) seq: u64,
    /// The accepted end in it.
    pub(crate) end: u64,
    /// Its running checksum there.
    pub(crate) chain: u32,
    /// The lsn that follows.
    pub(crate) next_lsn: u64,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: [u8; 16],
    pub(crate) job: [u8; 16],
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
    pub(crate) prev: Pin,
    /// So many numbers before `seq` are of segments that this one replaces whole.
    pub(crate) absorbs: u32,
    /// `None` for a segment that holds everything that was written into it.
    pub(crate) compacted: Option<Compacted>,
}

/// What a compacted segment says of itself and of the one whose name it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Where its last frame ends.
    pub(crate) end: u64,
    /// Its running checksum there.
    pub(crate) chain: u32,
    /// Outcomes of its range that it does not hold any more.
    pub(crate) dropped: u64,
    /// Where its successor takes over, by the numbers of the segment that had this name before.
    pub(crate) sealed_end: u64,
    /// The running checksum of that one there.
    pub(crate) sealed_chain: u32,
}

/// Why a copy is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Damaged,
    /// The version, or flags that must be known.
    Newer(u32),
}

impl From<Malformed> for HeaderFault {
    fn from(_: Malformed) -> Self {
        Self::Damaged
    }
}

impl SegmentHeader {
    pub(crate) fn encode(&self, copy: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&copy.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&self.store);
        out.extend_from_slice(&self.job);
        for number in [self.seq, self.epoch, self.salt, self.prev.next_lsn, self.prev.seq, self.prev.end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.prev.chain.to_le_bytes());
        out.extend_from_slice(&self.absorbs.to_le_bytes());
        let compacted = self.compacted.as_ref();
        for number in
            compacted.map_or([0; 3], |compacted| [compacted.end, compacted.dropped, compacted.sealed_end])
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for sum in compacted.map_or([0; 2], |compacted| [compacted.sealed_chain, compacted.chain]) {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        let sum = crc(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8], copy: u16) -> Result<Self, HeaderFault> {
        // No version has a shorter one, and the first 112 bytes are the same in all that are known.
        let mut r = Reader(bytes);
        if r.array()? != MAGIC {
            return Err(HeaderFault::Damaged);
        }
        let version = r.u16()?;
        let len = if version == VERSION_BEFORE { HEADER_LEN_BEFORE } else { HEADER_LEN };
        let (content, sum) = bytes.get(..len).ok_or(HeaderFault::Damaged)?.split_at(len - 4);
        if crc(content).to_le_bytes() != sum {
            return Err(HeaderFault::Damaged);
        }
        if !(VERSION_BEFORE..=VERSION).contains(&version) {
            return Err(HeaderFault::Newer(version.into()));
        }
        let mut r = Reader(&content[MAGIC.len() + size_of::<u16>()..]);
        if r.u16()? != copy {
            return Err(HeaderFault::Damaged);
        }
        let (_compat, _ro_compat, incompat) = (r.u32()?, r.u32()?, r.u32()?);
        if incompat != 0 {
            return Err(HeaderFault::Newer(incompat));
        }
        let (store, job) = (r.array()?, r.array()?);
        let (seq, epoch, salt) = (r.u64()?, r.u64()?, r.u64()?);
        let next_lsn = r.u64()?;
        let prev = Pin { next_lsn, seq: r.u64()?, end: r.u64()?, chain: r.u32()? };
        let absorbs = r.u32()?;
        let compacted = if version == VERSION_BEFORE { None } else { read_compacted(&mut r)? };
        Ok(Self { store, job, seq, epoch, salt, prev, absorbs, compacted })
    }
}

fn read_compacted(r: &mut Reader<'_>) -> Result<Option<Compacted>, Malformed> {
    let (end, dropped, sealed_end) = (r.u64()?, r.u64()?, r.u64()?);
    let (sealed_chain, chain) = (r.u32()?, r.u32()?);
    Ok((end > 0).then_some(Compacted { end, chain, dropped, sealed_end, sealed_chain }))
}

/// The file name of a segment.
pub(crate) fn file_name(seq: u64) -> String {
    format!("seg-{seq:016x}")
}

/// The number in a segment's file name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?;
    let seq = u64::from_str_radix(digits, 16).ok()?;
    (file_name(seq) == name).then_some(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_comes_back_and_not_in_the_place_of_the_other() {
        let prev = Pin { seq: 6, end: 9000, chain: 5, next_lsn: 44 };
        let compacted =
            Some(Compacted { end: 8300, chain: 12, dropped: 13, sealed_end: 9000, sealed_chain: 14 });
        let (store, job) = ([1; 16], [2; 16]);
        let header = SegmentHeader { store, job, seq: 7, epoch: 3, salt: 9, prev, absorbs: 1, compacted };
        let bytes = header.encode(1);
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(SegmentHeader::decode(&bytes, 1), Ok(header));
        assert_eq!(SegmentHeader::decode(&bytes, 0), Err(HeaderFault::Damaged));
    }

    #[test]
    fn only_the_exact_form_of_a_name_is_a_segment() {
        assert_eq!(parse_file_name(&file_name(255)), Some(255));
        assert_eq!(parse_file_name("seg-ff"), None);
        assert_eq!(parse_file_name("seg-00000000000000FF"), None);
        assert_eq!(parse_file_name("snap-00000000000000ff"), None);
    }
}
