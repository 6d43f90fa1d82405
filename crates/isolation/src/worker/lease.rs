//! A lease as it lies on a worker's desk.

use cofferdam_pipeline_core::{Assignment, Buffer, Chunk, LeaseId, SavedState};
use std::ops::Range;
use std::sync::Arc;

/// Items to process in order.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
    pub(crate) items: Items,
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

impl Lease {
    /// The entries, in a child as they came from the host: the saved state first, if it was received.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.items {
            Items::Received(buffer) => buffer,
            Items::Shared(chunk, range) => chunk.slice(range),
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
            items: Items::Shared(chunk, range),
            saved_state,
        }
    }
}
