//! Two checksummed slots in one file, written alternately in place: a torn write costs one of them, never both.

use super::bytes::Reader;
use super::checksum::crc_of_two;
use crate::seeded::has_bug;

/// Bytes before a slot's payload.
pub(crate) const HEADER_LEN: usize = 28;

/// The fields of a slot as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] =
    &[(0, 8, "magic"), (8, 4, "version"), (12, 4, "payload length"), (16, 8, "generation"), (24, 4, "crc")];

/// A kind of slot: what tells it apart and how much room it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotKind {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    /// The oldest version that is read.
    pub(crate) oldest: u32,
    /// Room for header and payload; slot `i` lies at `i * room`.
    pub(crate) room: usize,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot<'a> {
    pub(crate) generation: u64,
    pub(crate) payload: &'a [u8],
}

/// The best slot of a file, if any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Best<'a> {
    Found(Slot<'a>),
    /// An intact slot of this version, which is not known here.
    Newer(u32),
    None,
}

impl SlotKind {
    /// Where slot `generation` lies: they take turns.
    pub(crate) fn offset(&self, generation: u64) -> u64 {
        (generation % 2) * self.room as u64
    }

    pub(crate) fn payload_len_max(&self) -> usize {
        self.room - HEADER_LEN
    }

    pub(crate) fn encode(&self, generation: u64, payload: &[u8]) -> Vec<u8> {
        assert!(payload.len() <= self.payload_len_max(), "callers bound what they put into a slot");
        let mut out = Vec::with_capacity(HEADER_LEN + payload.len());
        out.extend_from_slice(&self.magic);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&generation.to_le_bytes());
        let sum = crc_of_two(&out, payload);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(payload);
        out
    }

    /// The intact slot of the highest generation.
    pub(crate) fn best<'a>(&self, file: &'a [u8]) -> Best<'a> {
        let candidates =
            [0, 1].map(|i| file.get(i * self.room..).map_or(Best::None, |bytes| self.decode(bytes)));
        let mut best = Best::None;
        for candidate in candidates {
            best = match (best, candidate) {
                (Best::Found(a), Best::Found(b)) => {
                    Best::Found(if a.generation > b.generation { a } else { b })
                }
                (Best::Newer(version), _) | (_, Best::Newer(version)) => Best::Newer(version),
                (found @ Best::Found(_), Best::None) | (Best::None, found) => found,
            };
        }
        best
    }

    fn decode<'a>(&self, bytes: &'a [u8]) -> Best<'a> {
        let fields = || {
            let mut r = Reader(bytes);
            let (magic, version) = (r.array::<8>().ok()?, r.u32().ok()?);
            let (len, generation) = (r.u32().ok()? as usize, r.u64().ok()?);
            let sum = r.u32().ok()?;
            let payload = r.take(len).ok().filter(|_| len <= self.payload_len_max())?;
            let is_unchecked = has_bug("a slot is chosen without its checksum");
            (magic == self.magic && (is_unchecked || sum == crc_of_two(&bytes[..HEADER_LEN - 4], payload)))
                .then_some((version, Slot { generation, payload }))
        };
        match fields() {
            None => Best::None,
            Some((version, _)) if !(self.oldest..=self.version).contains(&version) => Best::Newer(version),
            Some((_, slot)) => Best::Found(slot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: SlotKind = SlotKind { magic: *b"TESTSLOT", version: 1, oldest: 1, room: 64 };

    fn file(slots: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = vec![0; 128];
        for (generation, payload) in slots {
            let bytes = KIND.encode(*generation, payload);
            let at = KIND.offset(*generation) as usize;
            file[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        file
    }

    #[test]
    fn the_higher_generation_wins_and_a_damaged_one_falls_back() {
        let mut bytes = file(&[(4, b"old"), (5, b"new")]);
        assert_eq!(KIND.best(&bytes), Best::Found(Slot { generation: 5, payload: b"new" }));
        bytes[64 + HEADER_LEN] ^= 1;
        assert_eq!(KIND.best(&bytes), Best::Found(Slot { generation: 4, payload: b"old" }));
        bytes[9] ^= 1;
        assert_eq!(KIND.best(&bytes), Best::None);
        assert_eq!(KIND.best(&[]), Best::None);
    }

    #[test]
    fn a_slot_that_is_longer_than_its_room_is_none() {
        let room = KIND.room - HEADER_LEN;
        let larger = SlotKind { room: 128, ..KIND };
        for (len, is_found) in [(room, true), (room + 1, false)] {
            let mut bytes = larger.encode(2, &vec![7; len]);
            bytes.resize(128, 0);
            assert_eq!(matches!(KIND.best(&bytes), Best::Found(_)), is_found, "{len} bytes");
        }
    }
}
