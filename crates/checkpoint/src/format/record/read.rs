//! Reading the records of a body. It was verified, and may still make no sense: every length is checked before it is relied on.

use super::{
    BLOB_REF_LEN_MIN, Item, KIND_COMPLETED, KIND_COMPLETED_BLOB, KIND_COMPLETED_FILES, KIND_COMPLETED_RUN,
    KIND_DROPPED, KIND_ITEM, KIND_JOB_STATE, KIND_LEASE_STARTED, KIND_NOTE, KIND_SAVED_STATE, KIND_SET_ASIDE,
    LeaseItems, OUTPUT_BLOB, OUTPUT_INLINE, Record, TAG_FINGERPRINT, TAG_KIND_MASK, TAG_STEP,
};
use crate::format::bytes::{Malformed, Reader};
use crate::{BlobRef, KeyRef, Note};
use cofferdam_pipeline_core::{Fingerprint, OutcomeKind, OutputBody, StoredOutput};

/// The records of a body, in order; after a malformed one there is no more.
pub(crate) fn records(body: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Malformed>> {
    spans(body).map(|span| span.map(|(record, _)| record))
}

/// The same, each with its bytes.
pub(crate) fn spans(body: &[u8]) -> impl Iterator<Item = Result<(Record<'_>, &[u8]), Malformed>> {
    let mut r = Reader(body);
    std::iter::from_fn(move || {
        if r.is_empty() {
            return None;
        }
        let before = r.0;
        let record = read_record(&mut r);
        if record.is_err() {
            r = Reader(&[]);
        }
        Some(record.map(|record| (record, &before[..before.len() - r.0.len()])))
    })
}

fn read_record<'a>(r: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let tag = r.u8()?;
    let step = if tag & TAG_STEP == 0 { 0 } else { r.varint_u32()? };
    let fingerprinted = tag & TAG_FINGERPRINT != 0;
    match tag & TAG_KIND_MASK {
        KIND_COMPLETED_RUN => {
            let (first, count, attempts) = (r.varint()?, r.varint_u32()?, r.varint_u32()?);
            first.checked_add(count.into()).ok_or(Malformed)?;
            let entries = r.bytes()?;
            // Each entry has a byte at least: no short run may claim millions of items.
            if entries.len() < count as usize {
                return Err(Malformed);
            }
            Ok(Record::CompletedRun { first, count, attempts, step, entries })
        }
        KIND_COMPLETED => Ok(Record::Completed {
            item: read_item(r, fingerprinted)?,
            attempts: r.varint_u32()?,
            step,
            output: r.bytes()?,
        }),
        KIND_COMPLETED_BLOB => Ok(Record::CompletedBlob {
            item: read_item(r, fingerprinted)?,
            attempts: r.varint_u32()?,
            step,
            blob: read_blob_ref(r)?,
        }),
        KIND_SET_ASIDE => {
            let item = read_item(r, fingerprinted)?;
            let kind = read_outcome_kind(r.u8()?)?;
            Ok(Record::SetAside { item, kind, attempts: r.varint_u32()?, step, evidence: r.bytes()? })
        }
        KIND_NOTE => {
            let key = read_key(r)?;
            let note = Note {
                crashes: r.varint_u32()?,
                failures: r.varint_u32()?,
                foreign_kills: r.varint_u32()?,
                host_deaths: r.varint_u32()?,
            };
            Ok(Record::Note { key, note })
        }
        KIND_LEASE_STARTED => read_lease_started(r),
        KIND_ITEM => {
            let mut fields = Reader(r.bytes()?);
            let key = fields.bytes()?;
            Ok(Record::Added { key, content: fields.0 })
        }
        KIND_SAVED_STATE => {
            let mut fields = Reader(r.bytes()?);
            Ok(Record::SavedState { item: read_item(&mut fields, fingerprinted)?, state: fields.0 })
        }
        KIND_DROPPED => Ok(Record::Dropped { count: Reader(r.bytes()?).varint_u32()? }),
        KIND_COMPLETED_FILES => read_completed_files(&mut Reader(r.bytes()?), fingerprinted, step),
        // All later kinds begin with the length of the rest.
        KIND_JOB_STATE..=TAG_KIND_MASK => r.bytes().map(|_| Record::Other),
        _ => Err(Malformed),
    }
}

fn read_lease_started<'a>(r: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let (epoch, worker, lease) = (r.varint()?, r.varint_u32()?, r.varint_u32()?);
    let mut items = Vec::new();
    for _ in 0..r.varint()? {
        items.push(match read_key(r)? {
            KeyRef::Ordinal(first) => LeaseItems::Ordinals { first, count: r.varint_u32()? },
            KeyRef::Bytes(key) => LeaseItems::Key(key),
        });
    }
    Ok(Record::LeaseStarted { epoch, worker, lease, items })
}

fn read_completed_files<'a>(
    r: &mut Reader<'a>,
    fingerprinted: bool,
    step: u32,
) -> Result<Record<'a>, Malformed> {
    let item = read_item(r, fingerprinted)?;
    let attempts = r.varint_u32()?;
    let count = usize::try_from(r.varint()?).map_err(|_| Malformed)?;
    if count > r.0.len() / BLOB_REF_LEN_MIN {
        return Err(Malformed);
    }
    let files = (0..count).map(|_| read_blob_ref(r)).collect::<Result<_, _>>()?;
    let body = match r.u8()? {
        OUTPUT_INLINE => OutputBody::Inline(r.0),
        OUTPUT_BLOB => OutputBody::Blob(read_blob_ref(r)?),
        _ => return Err(Malformed),
    };
    Ok(Record::CompletedFiles { item, attempts, step, output: StoredOutput { body, files } })
}

fn read_blob_ref(r: &mut Reader<'_>) -> Result<BlobRef, Malformed> {
    Ok(BlobRef { len: r.varint()?, hash: r.array()? })
}

fn read_item<'a>(r: &mut Reader<'a>, fingerprinted: bool) -> Result<Item<'a>, Malformed> {
    let key = read_key(r)?;
    let fingerprint = if fingerprinted { Some(Fingerprint(r.array()?)) } else { None };
    Ok(Item { key, fingerprint })
}

fn read_key<'a>(r: &mut Reader<'a>) -> Result<KeyRef<'a>, Malformed> {
    let number = r.varint()?;
    if number & 1 == 0 {
        return Ok(KeyRef::Ordinal(number >> 1));
    }
    let len = usize::try_from(number >> 1).map_err(|_| Malformed)?;
    Ok(KeyRef::Bytes(r.take(len)?))
}

pub(super) fn read_outcome_kind(code: u8) -> Result<OutcomeKind, Malformed> {
    match code {
        0 => Ok(OutcomeKind::Completed),
        1 => Ok(OutcomeKind::Failed),
        2 => Ok(OutcomeKind::Quarantined),
        3 => Ok(OutcomeKind::Cancelled),
        _ => Err(Malformed),
    }
}
