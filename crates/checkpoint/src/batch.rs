//! Outcomes on their way into the store.

use crate::format::record::{
    Item, put_completed, put_completed_blob, put_completed_files, put_completed_run, put_set_aside,
};
use crate::index::{AlreadyDone, Index, Undo};
use crate::limits::OUTPUT_INLINE_MAX;
use crate::{BlobRef, KeyRef, StoreError};
use cofferdam_pipeline_core::{
    Evidence, Fingerprint, Identities, Key, OUTPUT_FILES_MAX, OutcomeKind, OutputBody, StoredOutput, entries,
    split_first_entry,
};
use std::ops::Range;

/// Outcomes that are committed under one ticket. It borrows what it holds: nothing is copied before it is submitted.
#[derive(Clone, Debug, Default)]
pub struct Batch<'a> {
    parts: Vec<Part<'a>>,
}

#[derive(Clone, Debug)]
enum Part<'a> {
    Run { first: u64, count: u32, attempts: u32, entries: &'a [u8] },
    Completed { item: Item<'a>, attempts: u32, output: &'a [u8] },
    Blob { item: Item<'a>, attempts: u32, blob: BlobRef },
    WithFiles { item: Item<'a>, attempts: u32, output: StoredOutput<&'a [u8]> },
    SetAside { item: Item<'a>, kind: OutcomeKind, attempts: u32, evidence: &'a Evidence },
}

impl<'a> Batch<'a> {
    /// A batch of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Outputs of the items at positions `range` of a chunk: `entries` holds one for each.
    ///
    /// # Errors
    /// [`StoreError::MalformedBatch`] when it does not.
    pub fn completed(
        identities: &'a Identities,
        range: Range<u32>,
        attempts: u32,
        outputs: &'a [u8],
    ) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        match identities {
            Identities::Keys(table) => {
                let items = range.map(|position| table.get(position));
                batch.add_completed_keyed(items, attempts, outputs)?;
            }
            Identities::Ordinals(_) => {
                let mut rest = outputs;
                for run in identities.ordinal_runs(range) {
                    let (mine, others) = split_entries(rest, run.count)?;
                    batch.add_completed_dense(run.first, run.count, attempts, mine)?;
                    rest = others;
                }
                if !rest.is_empty() {
                    return Err(StoreError::MalformedBatch);
                }
            }
        }
        Ok(batch)
    }

    /// Outputs of `count` items of a dense source that follow each other.
    ///
    /// # Errors
    /// [`StoreError::MalformedBatch`] when `entries` does not hold exactly `count`.
    pub fn completed_dense(
        first: u64,
        count: u32,
        attempts: u32,
        entries: &'a [u8],
    ) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        batch.add_completed_dense(first, count, attempts, entries)?;
        Ok(batch)
    }

    /// Outputs of items with keys: `entries` holds one for each.
    ///
    /// # Errors
    /// [`StoreError::MalformedBatch`] when it does not, [`StoreError::TooLong`] for a key that is too long.
    pub fn completed_keyed(
        items: impl IntoIterator<Item = (&'a [u8], Option<Fingerprint>)>,
        attempts: u32,
        entries: &'a [u8],
    ) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        batch.add_completed_keyed(items, attempts, entries)?;
        Ok(batch)
    }

    /// An item that is set aside.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a key that is too long; [`StoreError::MalformedBatch`] for `Completed`.
    pub fn set_aside(
        key: KeyRef<'a>,
        fingerprint: Option<Fingerprint>,
        kind: OutcomeKind,
        attempts: u32,
        evidence: &'a Evidence,
    ) -> Result<Self, StoreError> {
        if kind == OutcomeKind::Completed {
            return Err(StoreError::MalformedBatch);
        }
        let item = checked_item(key, fingerprint)?;
        Ok(Self { parts: vec![Part::SetAside { item, kind, attempts, evidence }] })
    }

    /// An item whose output is a blob that was put before.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a key that is too long.
    pub fn completed_blob(
        key: KeyRef<'a>,
        fingerprint: Option<Fingerprint>,
        attempts: u32,
        blob: BlobRef,
    ) -> Result<Self, StoreError> {
        let item = checked_item(key, fingerprint)?;
        Ok(Self { parts: vec![Part::Blob { item, attempts, blob }] })
    }

    /// An item whose files, and whose output if that is a blob, were put before.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a key that is too long, or more than [`OUTPUT_FILES_MAX`] files.
    pub fn completed_with_files(
        key: KeyRef<'a>,
        fingerprint: Option<Fingerprint>,
        attempts: u32,
        output: StoredOutput<&'a [u8]>,
    ) -> Result<Self, StoreError> {
        let item = checked_item(key, fingerprint)?;
        let (len, max) = (output.files.len(), OUTPUT_FILES_MAX);
        if len > max {
            return Err(StoreError::TooLong { what: "a list of files", len, max });
        }
        Ok(Self { parts: vec![Part::WithFiles { item, attempts, output }] })
    }

    /// Puts the outcomes of `other` behind those of this batch.
    pub fn append(&mut self, mut other: Self) {
        self.parts.append(&mut other.parts);
    }

    /// Outcomes in the batch.
    #[must_use]
    pub fn outcomes(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| if let Part::Run { count, .. } = part { u64::from(*count) } else { 1 })
            .sum()
    }

    /// An upper bound for the bytes in the journal.
    pub(crate) fn encoded_len_max(&self) -> usize {
        let part_len = |part: &Part<'_>| match part {
            Part::Run { entries, .. } => entries.len() + 32,
            Part::Completed { item, output, .. } => item_len(item) + output.len() + 32,
            Part::Blob { item, .. } => item_len(item) + 64,
            Part::WithFiles { item, output, .. } => {
                item_len(item) + part.output_bytes() + (output.files.len() + 2) * 64
            }
            Part::SetAside { item, evidence, .. } => item_len(item) + evidence_len(evidence) + 32,
        };
        self.parts.iter().map(part_len).sum()
    }

    /// The blobs that its outcomes name.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        self.parts.iter().flat_map(|part| {
            let (alone, of_files) = match part {
                Part::Blob { blob, .. } => (Some(blob), None),
                Part::WithFiles { output, .. } => (None, Some(output.blobs())),
                Part::Run { .. } | Part::Completed { .. } | Part::SetAside { .. } => (None, None),
            };
            alone.into_iter().chain(of_files.into_iter().flatten())
        })
    }

    /// Replaces outputs that are too large for the journal by what `spill` makes of them.
    pub(crate) fn spill_large(
        self,
        mut spill: impl FnMut(&[u8]) -> Result<BlobRef, StoreError>,
    ) -> Result<Self, StoreError> {
        if !self.parts.iter().any(|part| part.output_bytes() > OUTPUT_INLINE_MAX) {
            return Ok(self);
        }
        let mut out = Self::default();
        for part in self.parts {
            match part {
                Part::Run { first, attempts, entries: bytes, .. } if bytes.len() > OUTPUT_INLINE_MAX => {
                    out.spill_run(first, attempts, bytes, &mut spill)?;
                }
                Part::Completed { item, attempts, output } if output.len() > OUTPUT_INLINE_MAX => {
                    out.parts.push(Part::Blob { item, attempts, blob: spill(output)? });
                }
                Part::WithFiles {
                    item,
                    attempts,
                    output: StoredOutput { body: OutputBody::Inline(bytes), files },
                } if bytes.len() > OUTPUT_INLINE_MAX => {
                    let output = StoredOutput { body: OutputBody::Blob(spill(bytes)?), files };
                    out.parts.push(Part::WithFiles { item, attempts, output });
                }
                part @ (Part::Run { .. }
                | Part::Completed { .. }
                | Part::Blob { .. }
                | Part::WithFiles { .. }
                | Part::SetAside { .. }) => {
                    out.parts.push(part);
                }
            }
        }
        Ok(out)
    }

    fn spill_run(
        &mut self,
        first: u64,
        attempts: u32,
        bytes: &'a [u8],
        spill: &mut impl FnMut(&[u8]) -> Result<BlobRef, StoreError>,
    ) -> Result<(), StoreError> {
        let mut ordinal = first;
        let mut run = (first, 0u32, bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (output, others) = split_first_entry(rest).ok_or(StoreError::MalformedBatch)?;
            if output.len() > OUTPUT_INLINE_MAX {
                self.push_run(run.0, run.1, attempts, &run.2[..run.2.len() - rest.len()]);
                let item = Item { key: KeyRef::Ordinal(ordinal), fingerprint: None };
                self.parts.push(Part::Blob { item, attempts, blob: spill(output)? });
                run = (ordinal + 1, 0, others);
            } else {
                run.1 += 1;
            }
            ordinal += 1;
            rest = others;
        }
        self.push_run(run.0, run.1, attempts, run.2);
        Ok(())
    }

    /// Appends the records to a group and the outcomes to the index; on an error neither has changed.
    pub(crate) fn encode(
        &self,
        out: &mut Vec<u8>,
        index: &mut Index,
        first_lsn: u64,
    ) -> Result<(), StoreError> {
        let before = out.len();
        let mut undo = Undo::default();
        let mut lsn = first_lsn;
        for part in &self.parts {
            if let Err(AlreadyDone) = part.encode(out, index, lsn, &mut undo) {
                out.truncate(before);
                index.undo(undo);
                return Err(StoreError::AlreadyDone(part.first_key()));
            }
            lsn += part.outcomes();
        }
        index.accept(&undo);
        Ok(())
    }

    fn add_completed_dense(
        &mut self,
        first: u64,
        count: u32,
        attempts: u32,
        bytes: &'a [u8],
    ) -> Result<(), StoreError> {
        let (_, rest) = split_entries(bytes, count)?;
        if !rest.is_empty() || first.checked_add(count.into()).is_none_or(|end| end > ORDINAL_MAX) {
            return Err(StoreError::MalformedBatch);
        }
        self.push_run(first, count, attempts, bytes);
        Ok(())
    }

    fn push_run(&mut self, first: u64, count: u32, attempts: u32, entries: &'a [u8]) {
        if count > 0 {
            self.parts.push(Part::Run { first, count, attempts, entries });
        }
    }

    fn add_completed_keyed(
        &mut self,
        items: impl IntoIterator<Item = (&'a [u8], Option<Fingerprint>)>,
        attempts: u32,
        bytes: &'a [u8],
    ) -> Result<(), StoreError> {
        let mut outputs = entries(bytes);
        for (key, fingerprint) in items {
            let output = outputs.next().and_then(Result::ok).ok_or(StoreError::MalformedBatch)?;
            let item = checked_item(KeyRef::Bytes(key), fingerprint)?;
            self.parts.push(Part::Completed { item, attempts, output });
        }
        if outputs.next().is_some() { Err(StoreError::MalformedBatch) } else { Ok(()) }
    }
}

/// Ordinals stay below it, so that one bit of their encoding is free.
const ORDINAL_MAX: u64 = 1 << 63;

impl Part<'_> {
    fn outcomes(&self) -> u64 {
        if let Part::Run { count, .. } = self { u64::from(*count) } else { 1 }
    }

    fn output_bytes(&self) -> usize {
        match self {
            Self::Run { entries, .. } => entries.len(),
            Self::Completed { output, .. } => output.len(),
            Self::WithFiles { output, .. } => match output.body {
                OutputBody::Inline(bytes) => bytes.len(),
                OutputBody::Blob(_) => 0,
            },
            Self::Blob { .. } | Self::SetAside { .. } => 0,
        }
    }

    fn first_key(&self) -> Key {
        match self {
            Self::Run { first, .. } => Key::Ordinal(*first),
            Self::Completed { item, .. }
            | Self::Blob { item, .. }
            | Self::WithFiles { item, .. }
            | Self::SetAside { item, .. } => item.key.to_key(),
        }
    }

    fn encode(
        &self,
        out: &mut Vec<u8>,
        index: &mut Index,
        lsn: u64,
        undo: &mut Undo,
    ) -> Result<(), AlreadyDone> {
        match *self {
            Self::WithFiles { item, attempts, ref output } => {
                index.insert(item, OutcomeKind::Completed, lsn, undo)?;
                put_completed_files(out, item, attempts, output);
            }
            Self::Run { first, count, attempts, entries } => {
                index.insert_run(first, count, undo)?;
                put_completed_run(out, first, count, attempts, entries);
            }
            Self::Completed { item, attempts, output } => {
                index.insert(item, OutcomeKind::Completed, lsn, undo)?;
                put_completed(out, item, attempts, output);
            }
            Self::Blob { item, attempts, blob } => {
                index.insert(item, OutcomeKind::Completed, lsn, undo)?;
                put_completed_blob(out, item, attempts, &blob);
            }
            Self::SetAside { item, kind, attempts, evidence } => {
                index.insert(item, kind, lsn, undo)?;
                put_set_aside(out, item, kind, attempts, evidence);
            }
        }
        Ok(())
    }
}

pub(crate) fn checked_key(key: KeyRef<'_>) -> Result<KeyRef<'_>, StoreError> {
    match key {
        KeyRef::Ordinal(ordinal) if ordinal >= ORDINAL_MAX => Err(StoreError::MalformedBatch),
        KeyRef::Bytes(bytes) if bytes.len() > Key::LEN_MAX => {
            Err(StoreError::TooLong { what: "a key", len: bytes.len(), max: Key::LEN_MAX })
        }
        KeyRef::Ordinal(_) | KeyRef::Bytes(_) => Ok(key),
    }
}

fn checked_item(key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Result<Item<'_>, StoreError> {
    Ok(Item { key: checked_key(key)?, fingerprint })
}

fn item_len(item: &Item<'_>) -> usize {
    match item.key {
        KeyRef::Ordinal(_) => 0,
        KeyRef::Bytes(bytes) => bytes.len(),
    }
}

fn evidence_len(evidence: &Evidence) -> usize {
    let Evidence { kind, message, stage, progress: _, breadcrumbs, backtrace, stderr_tail } = evidence;
    let crumbs: usize = breadcrumbs.iter().map(|crumb| crumb.len() + 8).sum();
    kind.len() + message.len() + stage.len() + backtrace.len() + stderr_tail.len() + crumbs + 64
}

/// Splits after `count` entries.
fn split_entries(bytes: &[u8], count: u32) -> Result<(&[u8], &[u8]), StoreError> {
    let mut rest = bytes;
    for _ in 0..count {
        (_, rest) = split_first_entry(rest).ok_or(StoreError::MalformedBatch)?;
    }
    Ok(bytes.split_at(bytes.len() - rest.len()))
}
