//! Records: what the body of a frame consists of.
//!
//! A record is a tag byte and then fields. The tag's low six bits are the kind; two bits say whether a step number and
//! a fingerprint follow. A run of outputs is copied into its record as it came.

mod read;

pub(crate) use self::read::{records, spans};

use super::bytes::{put_bytes, put_varint};
use super::evidence;
use crate::seeded::has_bug;
use crate::{BlobRef, KeyRef, Note};
use cofferdam_pipeline_core::{Evidence, Fingerprint, OutcomeKind, OutputBody, StoredOutput};

pub(crate) const KIND_COMPLETED_RUN: u8 = 1;
pub(crate) const KIND_COMPLETED: u8 = 2;
pub(crate) const KIND_COMPLETED_BLOB: u8 = 3;
pub(crate) const KIND_SET_ASIDE: u8 = 4;
pub(crate) const KIND_NOTE: u8 = 5;
pub(crate) const KIND_LEASE_STARTED: u8 = 6;
/// Kept for later: a job's state changed (paused, resumed, description replaced).
pub(crate) const KIND_JOB_STATE: u8 = 7;
/// Kept for later: an outcome is withdrawn, its item is to be tried again.
#[cfg(test)]
pub(crate) const KIND_WITHDRAWN: u8 = 8;
/// An item that was added to a running job, stored whole.
pub(crate) const KIND_ITEM: u8 = 9;

/// What an unsettled item saved.
pub(crate) const KIND_SAVED_STATE: u8 = 10;
/// Outcomes that later ones superseded were here.
pub(crate) const KIND_DROPPED: u8 = 11;
/// A completed item that wrote files beside its output.
pub(crate) const KIND_COMPLETED_FILES: u8 = 12;

/// How the output of a completed item with files is there: in the record's last bytes, or as a blob.
const OUTPUT_INLINE: u8 = 0;
const OUTPUT_BLOB: u8 = 1;
/// A blob's name has a byte for its length at least.
const BLOB_REF_LEN_MIN: usize = 33;

/// A step number follows the tag; without it the step is 0.
pub(crate) const TAG_STEP: u8 = 0x40;
/// A fingerprint follows the identity.
pub(crate) const TAG_FINGERPRINT: u8 = 0x80;
const TAG_KIND_MASK: u8 = 0x3f;

/// The kinds as the spec lists them.
#[cfg(test)]
pub(crate) const KINDS: &[(u8, &str)] = &[
    (KIND_COMPLETED_RUN, "completed run"),
    (KIND_COMPLETED, "completed"),
    (KIND_COMPLETED_BLOB, "completed blob"),
    (KIND_SET_ASIDE, "set aside"),
    (KIND_NOTE, "note"),
    (KIND_LEASE_STARTED, "lease started"),
    (KIND_JOB_STATE, "job state"),
    (KIND_WITHDRAWN, "withdrawn"),
    (KIND_ITEM, "item"),
    (KIND_SAVED_STATE, "saved state"),
    (KIND_DROPPED, "dropped"),
    (KIND_COMPLETED_FILES, "completed with files"),
];

/// One record, borrowed from a verified body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    CompletedRun {
        first: u64,
        count: u32,
        attempts: u32,
        step: u32,
        entries: &'a [u8],
    },
    Completed {
        item: Item<'a>,
        attempts: u32,
        step: u32,
        output: &'a [u8],
    },
    CompletedBlob {
        item: Item<'a>,
        attempts: u32,
        step: u32,
        blob: BlobRef,
    },
    CompletedFiles {
        item: Item<'a>,
        attempts: u32,
        step: u32,
        output: StoredOutput<&'a [u8]>,
    },
    SetAside {
        item: Item<'a>,
        kind: OutcomeKind,
        attempts: u32,
        step: u32,
        evidence: &'a [u8],
    },
    Note {
        key: KeyRef<'a>,
        note: Note,
    },
    LeaseStarted {
        epoch: u64,
        worker: u32,
        lease: u32,
        items: Vec<LeaseItems<'a>>,
    },
    /// An item that no source has: its key and its encoding.
    Added {
        key: &'a [u8],
        content: &'a [u8],
    },
    SavedState {
        item: Item<'a>,
        state: &'a [u8],
    },
    /// So many outcomes were here.
    Dropped {
        count: u32,
    },
    /// A kind that this version only passes over.
    Other,
}

/// Who an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) key: KeyRef<'a>,
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// Items of a lease, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseItems<'a> {
    Ordinals { first: u64, count: u32 },
    Key(&'a [u8]),
}

impl Record<'_> {
    /// Outcomes in the record, so lsns that it takes.
    pub(crate) fn outcomes(&self) -> u32 {
        match self {
            Self::CompletedRun { count, .. } | Self::Dropped { count } => *count,
            Self::Completed { .. } | Self::CompletedBlob { .. } => 1,
            Self::CompletedFiles { .. } | Self::SetAside { .. } => 1,
            Self::Note { .. } | Self::LeaseStarted { .. } => 0,
            Self::SavedState { .. } | Self::Added { .. } | Self::Other => 0,
        }
    }

    /// The item of an outcome that is the only one in its record.
    pub(crate) fn item(&self) -> Option<Item<'_>> {
        match self {
            Self::Completed { item, .. }
            | Self::CompletedBlob { item, .. }
            | Self::CompletedFiles { item, .. }
            | Self::SetAside { item, .. } => Some(*item),
            Self::CompletedRun { .. } | Self::Note { .. } | Self::LeaseStarted { .. } => None,
            Self::SavedState { .. } | Self::Added { .. } | Self::Dropped { .. } | Self::Other => None,
        }
    }

    /// The blobs that the outcome names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        let (alone, of_files) = match self {
            Self::CompletedBlob { blob, .. } => (Some(blob), None),
            Self::CompletedFiles { output, .. } => (None, Some(output.blobs())),
            Self::CompletedRun { .. } | Self::Completed { .. } | Self::SetAside { .. } => (None, None),
            Self::Note { .. } | Self::LeaseStarted { .. } | Self::SavedState { .. } => (None, None),
            Self::Added { .. } | Self::Dropped { .. } | Self::Other => (None, None),
        };
        alone.into_iter().chain(of_files.into_iter().flatten())
    }
}

/// Begins a record whose last field, `len` bytes, the caller appends.
pub(crate) fn put_completed_run(out: &mut Vec<u8>, first: u64, count: u32, attempts: u32, entries: &[u8]) {
    out.push(KIND_COMPLETED_RUN);
    put_varint(out, first);
    put_varint(out, count.into());
    put_varint(out, attempts.into());
    put_bytes(out, entries);
}

pub(crate) fn put_completed(out: &mut Vec<u8>, item: Item<'_>, attempts: u32, output: &[u8]) {
    put_item(out, KIND_COMPLETED, item);
    put_varint(out, attempts.into());
    put_bytes(out, output);
}

pub(crate) fn put_completed_blob(out: &mut Vec<u8>, item: Item<'_>, attempts: u32, blob: &BlobRef) {
    put_item(out, KIND_COMPLETED_BLOB, item);
    put_varint(out, attempts.into());
    put_blob_ref(out, blob);
}

pub(crate) fn put_completed_files(
    out: &mut Vec<u8>,
    item: Item<'_>,
    attempts: u32,
    output: &StoredOutput<&[u8]>,
) {
    let mut fields = Vec::new();
    put_identity(&mut fields, item);
    put_varint(&mut fields, attempts.into());
    put_varint(&mut fields, output.files.len() as u64);
    output.files.iter().for_each(|file| put_blob_ref(&mut fields, file));
    match &output.body {
        OutputBody::Inline(bytes) => {
            fields.push(OUTPUT_INLINE);
            fields.extend_from_slice(bytes);
        }
        OutputBody::Blob(blob) => {
            fields.push(OUTPUT_BLOB);
            put_blob_ref(&mut fields, blob);
        }
    }
    out.push(item_tag(KIND_COMPLETED_FILES, item));
    put_bytes(out, &fields);
}

fn put_blob_ref(out: &mut Vec<u8>, blob: &BlobRef) {
    put_varint(out, blob.len);
    out.extend_from_slice(&blob.hash);
}

pub(crate) fn put_set_aside(
    out: &mut Vec<u8>,
    item: Item<'_>,
    kind: OutcomeKind,
    attempts: u32,
    what: &Evidence,
) {
    put_item(out, KIND_SET_ASIDE, item);
    out.push(outcome_code(kind));
    put_varint(out, attempts.into());
    let mut fields = Vec::new();
    evidence::encode(what, &mut fields);
    put_bytes(out, &fields);
}

pub(crate) fn put_note(out: &mut Vec<u8>, key: KeyRef<'_>, note: &Note) {
    out.push(KIND_NOTE);
    put_key(out, key);
    for number in [note.crashes, note.failures, note.foreign_kills, note.host_deaths] {
        put_varint(out, number.into());
    }
}

/// An item that was added, whole.
pub(crate) fn put_added(out: &mut Vec<u8>, key: &[u8], content: &[u8]) {
    let mut fields = Vec::with_capacity(key.len() + content.len() + 10);
    put_bytes(&mut fields, key);
    fields.extend_from_slice(content);
    out.push(KIND_ITEM);
    put_bytes(out, &fields);
}

pub(crate) fn put_saved_state(out: &mut Vec<u8>, item: Item<'_>, state: &[u8]) {
    out.push(item_tag(KIND_SAVED_STATE, item));
    let mut fields = Vec::with_capacity(state.len() + 64);
    put_identity(&mut fields, item);
    fields.extend_from_slice(state);
    put_bytes(out, &fields);
}

/// Takes the lsns of outcomes that are not kept.
pub(crate) fn put_dropped(out: &mut Vec<u8>, count: u32) {
    let mut fields = Vec::with_capacity(5);
    put_varint(&mut fields, count.into());
    out.push(KIND_DROPPED);
    put_bytes(out, &fields);
}

/// `holder` is the session's epoch, the worker and the lease.
pub(crate) fn put_lease_started<'a>(
    out: &mut Vec<u8>,
    (epoch, worker, lease): (u64, u32, u32),
    items: impl ExactSizeIterator<Item = LeaseItems<'a>>,
) {
    out.push(KIND_LEASE_STARTED);
    put_varint(out, epoch);
    put_varint(out, worker.into());
    put_varint(out, lease.into());
    put_varint(out, items.len() as u64);
    for item in items {
        match item {
            LeaseItems::Ordinals { first, count } => {
                put_key(out, KeyRef::Ordinal(first));
                put_varint(out, count.into());
            }
            LeaseItems::Key(key) => put_key(out, KeyRef::Bytes(key)),
        }
    }
}

fn put_item(out: &mut Vec<u8>, kind: u8, item: Item<'_>) {
    out.push(item_tag(kind, item));
    put_identity(out, item);
}

fn item_tag(kind: u8, item: Item<'_>) -> u8 {
    kind + if item.fingerprint.is_some() { TAG_FINGERPRINT } else { 0 }
}

fn put_identity(out: &mut Vec<u8>, item: Item<'_>) {
    put_key(out, item.key);
    if let Some(fingerprint) = item.fingerprint {
        out.extend_from_slice(&fingerprint.0);
    }
}

/// A varint whose lowest bit tells an ordinal (0) from the length of a key (1).
fn put_key(out: &mut Vec<u8>, key: KeyRef<'_>) {
    match key {
        KeyRef::Ordinal(ordinal) => put_varint(out, ordinal << 1),
        KeyRef::Bytes(bytes) if has_bug("a key that is not UTF-8 is written lossily") => {
            let lossy = String::from_utf8_lossy(bytes);
            put_varint(out, ((lossy.len() as u64) << 1) + 1);
            out.extend_from_slice(lossy.as_bytes());
        }
        KeyRef::Bytes(bytes) => {
            put_varint(out, ((bytes.len() as u64) << 1) + 1);
            out.extend_from_slice(bytes);
        }
    }
}

pub(crate) fn outcome_code(kind: OutcomeKind) -> u8 {
    match kind {
        OutcomeKind::Completed => 0,
        OutcomeKind::Failed => 1,
        OutcomeKind::Quarantined => 2,
        OutcomeKind::Cancelled => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::read::read_outcome_kind;
    use super::*;
    use crate::format::bytes::Malformed;

    #[test]
    fn records_of_every_kind_come_back_in_order() {
        let item = Item { key: KeyRef::Bytes(b"k\xff"), fingerprint: Some(Fingerprint([3; 16])) };
        let plain = Item { key: KeyRef::Ordinal(9), fingerprint: None };
        let blob = BlobRef { len: 7, hash: [5; 32] };
        let note = Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 };
        let lease = [LeaseItems::Ordinals { first: 4, count: 2 }, LeaseItems::Key(b"")];
        let mut body = Vec::new();
        put_completed_run(&mut body, 100, 2, 1, &[1, b'a', 0]);
        put_completed(&mut body, item, 2, b"out");
        put_completed_blob(&mut body, plain, 1, &blob);
        put_set_aside(&mut body, plain, OutcomeKind::Failed, 3, &Evidence::default());
        put_note(&mut body, KeyRef::Bytes(b""), &note);
        put_lease_started(&mut body, (9, 1, 2), lease.iter().copied());
        put_added(&mut body, b"new", &[7; 3]);
        put_saved_state(&mut body, item, b"page 7");
        put_dropped(&mut body, 300);
        let inline = StoredOutput { body: OutputBody::Inline(&b"out"[..]), files: vec![blob, blob] };
        let large = StoredOutput { body: OutputBody::Blob(blob), files: vec![] };
        put_completed_files(&mut body, item, 2, &inline);
        put_completed_files(&mut body, plain, 1, &large);
        body.extend_from_slice(&[KIND_WITHDRAWN, 1, 0]);
        let read: Vec<_> = records(&body).map(|record| record.unwrap()).collect();
        assert_eq!(
            read,
            [
                Record::CompletedRun { first: 100, count: 2, attempts: 1, step: 0, entries: &[1, b'a', 0] },
                Record::Completed { item, attempts: 2, step: 0, output: b"out" },
                Record::CompletedBlob { item: plain, attempts: 1, step: 0, blob },
                Record::SetAside {
                    item: plain,
                    kind: OutcomeKind::Failed,
                    attempts: 3,
                    step: 0,
                    evidence: &[]
                },
                Record::Note { key: KeyRef::Bytes(b""), note },
                Record::LeaseStarted { epoch: 9, worker: 1, lease: 2, items: lease.to_vec() },
                Record::Added { key: b"new", content: &[7; 3] },
                Record::SavedState { item, state: b"page 7" },
                Record::Dropped { count: 300 },
                Record::CompletedFiles { item, attempts: 2, step: 0, output: inline },
                Record::CompletedFiles { item: plain, attempts: 1, step: 0, output: large },
                Record::Other,
            ]
        );
        for cut in 1..body.len() {
            records(&body[..cut]).for_each(drop);
        }
    }

    #[test]
    fn outputs_without_a_byte_and_outcomes_of_every_kind_come_back() {
        let mut body = Vec::new();
        put_completed_run(&mut body, 7, 2, 1, &[0, 0]);
        let run = Record::CompletedRun { first: 7, count: 2, attempts: 1, step: 0, entries: &[0, 0] };
        assert_eq!(records(&body).collect::<Vec<_>>(), [Ok(run)]);
        use OutcomeKind::{Cancelled, Completed, Failed, Quarantined};
        for kind in [Completed, Failed, Quarantined, Cancelled] {
            assert_eq!(read_outcome_kind(outcome_code(kind)), Ok(kind));
        }
    }

    #[test]
    fn more_files_than_a_record_has_room_for_are_malformed_before_memory_is_taken() {
        let mut body = vec![KIND_COMPLETED_FILES];
        let mut fields = vec![0, 1];
        put_varint(&mut fields, u64::MAX >> 1);
        put_bytes(&mut body, &fields);
        assert_eq!(records(&body).next(), Some(Err(Malformed)));
    }

    #[test]
    fn a_record_costs_at_most_12_bytes_in_a_group_and_40_alone() {
        let mut body = Vec::new();
        put_completed(&mut body, Item { key: KeyRef::Bytes(&[b'k'; 60]), fingerprint: None }, 1, &[0; 200]);
        let overhead = body.len() - 260;
        assert!(overhead <= 12, "{overhead}");
        let alone = overhead + super::super::frame::HEADER_LEN + super::super::frame::TRAILER_LEN;
        assert!(alone <= 40, "{alone}");
    }
}
