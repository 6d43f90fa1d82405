//! HEAD: what a job is and how far it is durable, in one short read.

use super::bytes::{Malformed, Reader};
use super::slot::SlotKind;
use crate::{Counts, JobState};

/// The slots of a HEAD file. The description lies behind them.
pub(crate) const SLOTS: SlotKind = SlotKind { magic: *b"CFDMHED1", version: 2, oldest: 1, room: 4096 };
/// Where the first description of a job lies.
pub(crate) const DESCRIPTION_OFFSET: u64 = 8192;
/// The longest HEAD file that is read.
pub(crate) const FILE_LEN_MAX: u64 = 4 << 20;

/// The fields of a payload as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] = &[
    (0, 4, "compat"),
    (4, 4, "ro-compat"),
    (8, 4, "incompat"),
    (12, 16, "store uuid"),
    (28, 16, "job uuid"),
    (44, 8, "epoch"),
    (52, 8, "seq"),
    (60, 8, "durable end"),
    (68, 8, "durable lsn"),
    (76, 8, "snapshot lsn"),
    (84, 8, "completed"),
    (92, 8, "failed"),
    (100, 8, "quarantined"),
    (108, 8, "cancelled"),
    (116, 8, "description offset"),
    (124, 4, "description length"),
    (128, 4, "description crc"),
    (132, 1, "state"),
];

/// The payload of a HEAD slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Flags that a writer must know; 0 in this version.
    pub(crate) ro_compat: u32,
    pub(crate) store: [u8; 16],
    pub(crate) job: [u8; 16],
    pub(crate) epoch: u64,
    /// The segment that is written to, 0 before the first.
    pub(crate) seq: u64,
    /// Up to where that segment is durable.
    pub(crate) durable_end: u64,
    /// The highest durable lsn.
    pub(crate) durable_lsn: u64,
    /// The snapshot to start from: its last lsn; 0 for none.
    pub(crate) snapshot_lsn: u64,
    pub(crate) counts: Counts,
    pub(crate) description: DescriptionRef,
    pub(crate) state: JobState,
}

/// Where the job's description lies in the HEAD file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DescriptionRef {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// Why a payload is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    Malformed,
    /// Flags that must be known.
    Newer(u32),
}

impl From<Malformed> for HeadFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&self.ro_compat.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.store);
        out.extend_from_slice(&self.job);
        let c = &self.counts;
        for number in [
            self.epoch,
            self.seq,
            self.durable_end,
            self.durable_lsn,
            self.snapshot_lsn,
            c.completed,
            c.failed,
            c.quarantined,
            c.cancelled,
            self.description.offset,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.description.len.to_le_bytes());
        out.extend_from_slice(&self.description.crc.to_le_bytes());
        out.push(self.state.code());
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, HeadFault> {
        let mut r = Reader(payload);
        let (_compat, ro_compat, incompat) = (r.u32()?, r.u32()?, r.u32()?);
        if incompat != 0 {
            return Err(HeadFault::Newer(incompat));
        }
        Ok(Self {
            ro_compat,
            store: r.array()?,
            job: r.array()?,
            epoch: r.u64()?,
            seq: r.u64()?,
            durable_end: r.u64()?,
            durable_lsn: r.u64()?,
            snapshot_lsn: r.u64()?,
            counts: Counts {
                completed: r.u64()?,
                failed: r.u64()?,
                quarantined: r.u64()?,
                cancelled: r.u64()?,
            },
            description: DescriptionRef { offset: r.u64()?, len: r.u32()?, crc: r.u32()? },
            state: JobState::from_code(r.u8()?).ok_or(Malformed)?,
        })
    }
}
