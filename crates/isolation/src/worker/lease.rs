//! A lease as it lies on a worker's desk.

use super::{LinkLost, StagedFile};
use cofferdam_ipc::{Codec, CodecError};
use cofferdam_pipeline_core::{Assignment, Buffer, Chunk, EntryError, Failure, LeaseId, SavedState};
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::Arc;

/// Items to process in order.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
    pub(crate) items: Items,
    /// Where the only item lies instead.
    pub(crate) staged: Option<StagedFile>,
    pub(crate) saved_state: Saved,
}

/// What an earlier attempt at the only item saved.
#[derive(Debug)]
pub(crate) enum Saved {
    Nothing,
    /// The first entry of what was received.
    Received,
    /// In the host's own memory.
    Shared(SavedState),
}

/// Where a lease's entries are.
#[derive(Debug)]
pub(crate) enum Items {
    /// In a frame's payload.
    Received(Buffer),
    /// In the host's own memory.
    Shared(Arc<Chunk>, Range<u32>),
}

/// One item of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ItemAt<'a> {
    /// Its encoding is here.
    Here(&'a [u8]),
    /// Its encoding is in a file.
    Staged(&'a StagedFile),
}

impl Lease {
    /// The entries, in a child as they came from the host: the saved state first, if it was received.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.items {
            Items::Received(buffer) => buffer,
            Items::Shared(chunk, range) => chunk.slice(range),
        }
    }

    /// The next item; `entries` are those that follow what an earlier attempt saved.
    pub(crate) fn next_item<'a>(
        &'a self,
        entries: &mut impl Iterator<Item = Result<&'a [u8], EntryError>>,
    ) -> Result<ItemAt<'a>, LinkLost> {
        match &self.staged {
            Some(staged) => Ok(ItemAt::Staged(staged)),
            None => next_entry(entries).map(ItemAt::Here),
        }
    }
}

impl ItemAt<'_> {
    /// The item; read while it is open, so that who dies of its size has died of it.
    pub(crate) fn read<T: DeserializeOwned>(self, codec: Codec, name: &str) -> Result<T, Failure> {
        match self {
            Self::Here(bytes) => codec.decode_trusted(bytes).map_err(|error| unreadable_item(name, &error)),
            Self::Staged(staged) => staged.read(codec, name),
        }
    }
}

impl From<Assignment> for Lease {
    fn from(assignment: Assignment) -> Self {
        let Assignment { lease, attempt, chunk, range, saved_state } = assignment;
        let saved_state = saved_state.map_or(Saved::Nothing, Saved::Shared);
        Self {
            id: lease,
            attempt,
            count: range.len() as u32,
            staged: chunk.staged().map(StagedFile::of),
            items: Items::Shared(chunk, range),
            saved_state,
        }
    }
}

pub(super) fn next_entry<'a>(
    items: &mut impl Iterator<Item = Result<&'a [u8], EntryError>>,
) -> Result<&'a [u8], LinkLost> {
    let malformed = || LinkLost("a lease holds fewer items than it announces".into());
    items.next().ok_or_else(malformed)?.map_err(|error| LinkLost(error.into()))
}

pub(super) fn unreadable_item(name: &str, error: &CodecError) -> Failure {
    Failure::invalid_input(format!(
        "the worker cannot read an item of {name}, was it built from other types? {error}"
    ))
}
