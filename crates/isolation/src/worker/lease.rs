//! A lease as it lies on a worker's desk.

use cofferdam_pipeline_core::{Assignment, Buffer, Chunk, LeaseId};
use std::ops::Range;
use std::sync::Arc;

/// Items to process in order.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
    pub(crate) items: Items,
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
    /// The entries, in a child as they came from the host.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.items {
            Items::Received(buffer) => buffer,
            Items::Shared(chunk, range) => chunk.slice(range),
        }
    }
}

impl From<Assignment> for Lease {
    fn from(assignment: Assignment) -> Self {
        let Assignment { lease, attempt, chunk, range, saved_state: _ } = assignment;
        Self { id: lease, attempt, count: range.len() as u32, items: Items::Shared(chunk, range) }
    }
}
