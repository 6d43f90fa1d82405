//! What a host can watch: a bounded, lossy view on top of the store.

use crate::{Exit, ItemIndex, OutcomeKind, WorkerId};
use std::time::Duration;

/// Something happened. Never the only trace of it: outcomes are in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The highest lsn that was durable when the event was made.
    pub lsn: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker's process exists: which one, and its process id. Its processor has not started.
    WorkerSpawned(WorkerId, u32),
    /// A worker is ready.
    WorkerReady(WorkerId),
    /// A worker is gone.
    WorkerExited(WorkerId, Exit),
    /// Outcomes of this kind were committed: one event a group, not one an item.
    Committed {
        /// How they ended.
        kind: OutcomeKind,
        /// How many.
        count: u64,
    },
    /// An item is under suspicion and will be tried alone.
    Suspected(ItemIndex),
    /// A suspect completed alone: its crashes are refunded.
    Acquitted(ItemIndex),
    /// An item waits for another attempt.
    RetryIn(ItemIndex, Duration),
    /// Isolation cannot hold what was asked of it; the reason is in words.
    Degraded(String),
    /// The store cannot take more (disk full); the job waits.
    StoreFull,
    /// The store takes writes again.
    StoreRecovered,
    /// The disk has no room for an item that is too large for memory, or a quota has none; the source waits, what is under way goes on. In
    /// words.
    NoRoomForItem(String),
    /// The job is paused.
    Paused,
    /// The job goes on.
    Resumed,
    /// The job hands out nothing more and ends when what is open has ended.
    Draining,
    /// The job is over.
    Ended,
}
