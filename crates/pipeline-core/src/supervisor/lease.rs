//! A worker's exclusive right to consecutive items.

use super::case::Case;
use crate::{Chunk, LeaseId};
use std::ops::Range;
use std::sync::Arc;

/// Items `0..len` of the lease are positions `start..start + len` of the chunk; items before `done` are settled.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) chunk: Arc<Chunk>,
    pub(super) start: u32,
    /// Shrinks when unstarted items come back.
    pub(super) len: u32,
    pub(super) done: u32,
    /// The history of the only item, if it has one.
    pub(super) case: Option<Case>,
    pub(super) take_back: TakeBack,
}

/// Whether the unstarted items of a lease were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeBack {
    NotAsked,
    /// The answer is on its way.
    Asked,
    /// What is left was started: asking again would be pointless, for ever.
    Answered,
}

impl Lease {
    pub(super) fn unsettled(&self) -> u32 {
        self.len - self.done
    }

    /// Which try this is, counting from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.case.as_ref().map_or(0, |case| case.attempts).saturating_add(1)
    }

    /// Whether the item at `offset` has no result yet and is still the worker's.
    pub(super) fn holds(&self, offset: u32) -> bool {
        (self.done..self.len).contains(&offset)
    }

    /// Positions in the chunk of the items `from..to` of the lease.
    pub(super) fn positions(&self, from: u32, to: u32) -> Range<u32> {
        self.start + from..self.start + to
    }

    /// The case of the item at `offset`, a new one if nothing was known against it.
    pub(super) fn take_case(&mut self, offset: u32) -> Case {
        self.case.take().unwrap_or_else(|| Case::new(self.chunk.clone(), self.start + offset))
    }
}
