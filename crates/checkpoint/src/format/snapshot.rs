//! Snapshots: what the journal's beginning comes to, so that it need not be read again.

use super::bytes::{Malformed, Reader, put_bytes, put_varint};
use super::segment::HeaderFault;
use crate::index::KeyId;
use crate::keyed::KeyHash;
use crate::{Counts, Note};

/// The first bytes of the footer.
pub(crate) const MAGIC: [u8; 8] = *b"CFDMSNP1";
/// Format version of snapshots.
pub(crate) const VERSION: u32 = 1;
/// Length of the footer's fields.
pub(crate) const FOOTER_LEN: usize = 156;
/// Length of the checksum at the very end.
pub(crate) const SUM_LEN: usize = 16;
/// Length of one key.
pub(crate) const KEY_LEN: usize = 24;

/// The fields of the footer as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] = &[
    (0, 8, "magic"),
    (8, 4, "version"),
    (12, 4, "incompat"),
    (16, 16, "store uuid"),
    (32, 16, "job uuid"),
    (48, 8, "lsn"),
    (56, 8, "seq"),
    (64, 8, "salt"),
    (72, 8, "end"),
    (80, 8, "next lsn"),
    (88, 4, "chain"),
    (92, 8, "completed"),
    (100, 8, "failed"),
    (108, 8, "quarantined"),
    (116, 8, "cancelled"),
    (124, 8, "lease epoch"),
    (132, 8, "ordinals length"),
    (140, 8, "keys"),
    (148, 8, "others length"),
];

/// The kinds of the last section as the spec lists them.
#[cfg(test)]
pub(crate) const KINDS: &[(u8, &str)] =
    &[(KIND_NOTE, "known"), (KIND_STATE, "saved"), (KIND_ADDED, "added"), (KIND_LEASE, "lease")];
const KIND_NOTE: u8 = 1;
const KIND_STATE: u8 = 2;
const KIND_ADDED: u8 = 3;
const KIND_LEASE: u8 = 4;

/// What a snapshot covers and of what it consists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) store: [u8; 16],
    pub(crate) job: [u8; 16],
    /// The last outcome that is in it.
    pub(crate) lsn: u64,
    /// From where in the journal reading goes on.
    pub(crate) place: SnapshotPlace,
    pub(crate) counts: Counts,
    pub(crate) lease_epoch: u64,
    pub(crate) ordinals_len: u64,
    pub(crate) keys: u64,
    pub(crate) others_len: u64,
}

/// A place between two frames of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotPlace {
    pub(crate) seq: u64,
    /// Tells the segment from another one of that number.
    pub(crate) salt: u64,
    pub(crate) end: u64,
    pub(crate) chain: u32,
    pub(crate) next_lsn: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.store);
        out.extend_from_slice(&self.job);
        let place = &self.place;
        for number in [self.lsn, place.seq, place.salt, place.end, place.next_lsn] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&place.chain.to_le_bytes());
        let c = &self.counts;
        for number in [
            c.completed,
            c.failed,
            c.quarantined,
            c.cancelled,
            self.lease_epoch,
            self.ordinals_len,
            self.keys,
            self.others_len,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        debug_assert_eq!(out.len(), FOOTER_LEN);
        out
    }

    pub(crate) fn decode(bytes: &[u8; FOOTER_LEN]) -> Result<Self, HeaderFault> {
        let mut r = Reader(bytes);
        if r.array()? != MAGIC {
            return Err(HeaderFault::Damaged);
        }
        match (r.u32()?, r.u32()?) {
            (VERSION, 0) => {}
            (VERSION, flags) => return Err(HeaderFault::Newer(flags)),
            (version, _) => return Err(HeaderFault::Newer(version)),
        }
        let (store, job, lsn) = (r.array()?, r.array()?, r.u64()?);
        let (seq, salt, end, next_lsn) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let place = SnapshotPlace { seq, salt, end, next_lsn, chain: r.u32()? };
        let counts =
            Counts { completed: r.u64()?, failed: r.u64()?, quarantined: r.u64()?, cancelled: r.u64()? };
        Ok(Self {
            store,
            job,
            lsn,
            place,
            counts,
            lease_epoch: r.u64()?,
            ordinals_len: r.u64()?,
            keys: r.u64()?,
            others_len: r.u64()?,
        })
    }

    /// The length of the whole file; `None` when the numbers make no sense.
    pub(crate) fn file_len(&self) -> Option<u64> {
        self.keys
            .checked_mul(KEY_LEN as u64)?
            .checked_add(self.ordinals_len)?
            .checked_add(self.others_len)?
            .checked_add((FOOTER_LEN + SUM_LEN) as u64)
    }
}

/// An entry of the last section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Other<'a> {
    Note { id: KeyId, note: Note },
    State { id: KeyId, fingerprint: u64, state: &'a [u8] },
    Added { key: &'a [u8], content: &'a [u8] },
    Lease { next_lsn: u64, record: &'a [u8] },
}

pub(crate) fn put_other(out: &mut Vec<u8>, other: &Other<'_>) {
    match *other {
        Other::Note { id, note } => {
            out.push(KIND_NOTE);
            put_id(out, id);
            for number in [note.crashes, note.failures, note.foreign_kills, note.host_deaths] {
                put_varint(out, number.into());
            }
        }
        Other::State { id, fingerprint, state } => {
            out.push(KIND_STATE);
            put_id(out, id);
            out.extend_from_slice(&fingerprint.to_le_bytes());
            put_bytes(out, state);
        }
        Other::Added { key, content } => {
            out.push(KIND_ADDED);
            put_bytes(out, key);
            put_bytes(out, content);
        }
        Other::Lease { next_lsn, record } => {
            out.push(KIND_LEASE);
            put_varint(out, next_lsn);
            put_bytes(out, record);
        }
    }
}

/// The entries of the last section, in order; after a malformed one there is no more.
pub(crate) fn others(bytes: &[u8]) -> impl Iterator<Item = Result<Other<'_>, Malformed>> {
    let mut r = Reader(bytes);
    std::iter::from_fn(move || {
        if r.is_empty() {
            return None;
        }
        let other = read_other(&mut r);
        if other.is_err() {
            r = Reader(&[]);
        }
        Some(other)
    })
}

fn read_other<'a>(r: &mut Reader<'a>) -> Result<Other<'a>, Malformed> {
    match r.u8()? {
        KIND_NOTE => {
            let id = read_id(r)?;
            let note = Note {
                crashes: r.varint_u32()?,
                failures: r.varint_u32()?,
                foreign_kills: r.varint_u32()?,
                host_deaths: r.varint_u32()?,
            };
            Ok(Other::Note { id, note })
        }
        KIND_STATE => Ok(Other::State { id: read_id(r)?, fingerprint: r.u64()?, state: r.bytes()? }),
        KIND_ADDED => Ok(Other::Added { key: r.bytes()?, content: r.bytes()? }),
        KIND_LEASE => Ok(Other::Lease { next_lsn: r.varint()?, record: r.bytes()? }),
        _ => Err(Malformed),
    }
}

/// A varint whose lowest bit tells an ordinal (0) from a key (1), of which the 11 bytes of its hash follow.
fn put_id(out: &mut Vec<u8>, id: KeyId) {
    match id {
        KeyId::Ordinal(ordinal) => put_varint(out, ordinal << 1),
        KeyId::Hash(hash) => {
            put_varint(out, 1);
            out.extend_from_slice(&hash.to_bytes());
        }
    }
}

fn read_id(r: &mut Reader<'_>) -> Result<KeyId, Malformed> {
    match r.varint()? {
        1 => Ok(KeyId::Hash(KeyHash::from_bytes(r.array()?))),
        number if number & 1 == 0 => Ok(KeyId::Ordinal(number >> 1)),
        _ => Err(Malformed),
    }
}

/// The file name of a snapshot.
pub(crate) fn file_name(lsn: u64) -> String {
    format!("snap-{lsn:016x}")
}

/// What a snapshot is called while it is written.
pub(crate) const UNFINISHED: &str = "snap-unfinished";

/// The lsn in a snapshot's file name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let lsn = u64::from_str_radix(name.strip_prefix("snap-")?, 16).ok()?;
    (file_name(lsn) == name).then_some(lsn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    #[test]
    fn a_footer_comes_back_and_a_newer_one_is_told_from_a_damaged_one() {
        let footer = Footer {
            store: [1; 16],
            job: [2; 16],
            lsn: 3,
            place: SnapshotPlace { seq: 4, salt: 5, end: 6, chain: 7, next_lsn: 8 },
            counts: Counts { completed: 9, failed: 10, quarantined: 11, cancelled: 12 },
            lease_epoch: 13,
            ordinals_len: 14,
            keys: 15,
            others_len: 16,
        };
        let bytes: [u8; FOOTER_LEN] = footer.encode().try_into().unwrap();
        assert_eq!(Footer::decode(&bytes), Ok(footer.clone()));
        assert_eq!(footer.file_len(), Some(14 + 15 * 24 + 16 + 172));
        assert_eq!(Footer { keys: u64::MAX, ..footer }.file_len(), None);
        for (at, fault) in
            [(0, HeaderFault::Damaged), (8, HeaderFault::Newer(2)), (12, HeaderFault::Newer(2))]
        {
            let mut other = bytes;
            other[at] = 2;
            assert_eq!(Footer::decode(&other), Err(fault));
        }
    }

    #[test]
    fn others_of_every_kind_come_back_in_order() {
        let hash = KeyId::Hash(KeyHash::new(xxh3_128(b"key")));
        let note = Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 };
        let all = [
            Other::Note { id: KeyId::Ordinal(300), note },
            Other::Note { id: hash, note },
            Other::State { id: hash, fingerprint: 9, state: b"page 3" },
            Other::Added { key: b"new", content: b"item" },
            Other::Lease { next_lsn: 70, record: b"record" },
        ];
        let mut bytes = Vec::new();
        all.iter().for_each(|other| put_other(&mut bytes, other));
        let read: Vec<_> = others(&bytes).map(Result::unwrap).collect();
        assert_eq!(read, all);
        for cut in 1..bytes.len() {
            others(&bytes[..cut]).for_each(drop);
        }
        assert_eq!(others(&[KIND_NOTE, 3, 0, 0, 0, 0]).collect::<Vec<_>>(), [Err(Malformed)], "neither is 3");
    }

    #[test]
    fn only_the_exact_form_of_a_name_is_a_snapshot() {
        assert_eq!(parse_file_name(&file_name(255)), Some(255));
        assert_eq!(parse_file_name(UNFINISHED), None);
        assert_eq!(parse_file_name("snap-ff"), None);
    }
}
