//! The owner record: who has, or had, a job open, and with which workers.

use super::bytes::{Malformed, Reader, put_bytes, put_varint};
use super::slot::SlotKind;
use crate::{OwnerInfo, WorkerEntry};

/// The slots of an OWNER file.
pub(crate) const SLOTS: SlotKind = SlotKind { magic: *b"CFDMOWN1", version: 1, oldest: 1, room: 64 << 10 };

pub(crate) fn encode(owner: &OwnerInfo) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, owner.machine.as_bytes());
    put_bytes(&mut out, owner.boot.as_bytes());
    put_varint(&mut out, owner.pid.into());
    put_varint(&mut out, owner.start_time);
    out.extend_from_slice(&owner.nonce.to_le_bytes());
    put_varint(&mut out, owner.epoch);
    put_varint(&mut out, owner.workers.len() as u64);
    for worker in &owner.workers {
        put_varint(&mut out, worker.pid.into());
        put_varint(&mut out, worker.start_time);
        put_bytes(&mut out, &worker.recorder);
    }
    out
}

pub(crate) fn decode(payload: &[u8]) -> Result<OwnerInfo, Malformed> {
    let mut r = Reader(payload);
    let (machine, boot) = (r.text()?, r.text()?);
    let (pid, start_time, nonce, epoch) = (r.varint_u32()?, r.varint()?, r.u64()?, r.varint()?);
    let mut workers = Vec::new();
    for _ in 0..r.varint()? {
        workers.push(WorkerEntry {
            pid: r.varint_u32()?,
            start_time: r.varint()?,
            recorder: r.bytes()?.to_vec(),
        });
    }
    Ok(OwnerInfo { machine, boot, pid, start_time, nonce, epoch, workers })
}
