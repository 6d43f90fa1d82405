//! What the supervisor wants done.

use super::Prior;
use crate::{
    Assignment, Chunk, EventKind, Evidence, Failure, KillReason, LeaseId, Outputs, SavedState, SlotNumber,
    WorkerId,
};
use std::ops::Range;
use std::sync::Arc;

/// One thing to do. The driver performs commands in order; none may fail silently.
#[derive(Debug)]
pub enum Command {
    /// The source may deliver one more chunk.
    WantItems,
    /// [`crate::Executor::spawn`]
    Spawn(WorkerId, SlotNumber),
    /// [`crate::Executor::assign`], preceded by the (unsynced) lease record in the store.
    Assign(WorkerId, Assignment),
    /// [`crate::Executor::take_back`]
    TakeBack(WorkerId, LeaseId),
    /// [`crate::Executor::set_paused`]
    SetPaused(WorkerId, bool),
    /// [`crate::Executor::cancel_item`]
    CancelItem(WorkerId, LeaseId, u32),
    /// [`crate::Executor::stop`]
    Stop(WorkerId),
    /// [`crate::Executor::kill`]
    Kill(WorkerId, KillReason),
    /// Make these outcomes durable; [`super::Input::Committed`] answers, in ticket order.
    Commit(Commit),
    /// Remember (unsynced) what is now known against an unsettled item.
    Note {
        /// Holds the item.
        chunk: Arc<Chunk>,
        /// Its position in the chunk.
        position: u32,
        /// All that is known; replaces earlier notes.
        prior: Prior,
    },
    /// Remember (unsynced) what an unsettled item saved; ends with its outcome.
    SaveState {
        /// Holds the item.
        chunk: Arc<Chunk>,
        /// Its position in the chunk.
        position: u32,
        /// Replaces what was saved before.
        state: SavedState,
    },
    /// Tell whoever listens.
    Emit(EventKind),
    /// Isolation cannot start and the job allows threads: use the in-thread executor for workers spawned from now on.
    UseThreads(String),
    /// The job is over: no worker lives, nothing is uncommitted. The last command ever.
    Finish(Ended),
}

/// Outcomes of consecutive items, to be made durable together.
#[derive(Debug)]
pub struct Commit {
    /// Rises by one with each commit of a session, from 1.
    pub ticket: u64,
    /// Holds the items.
    pub chunk: Arc<Chunk>,
    /// Their positions in the chunk; one item unless completed.
    pub range: Range<u32>,
    /// Attempts that were made, this one included.
    pub attempts: u32,
    /// How they ended.
    pub settled: Settled,
}

/// How items ended.
#[derive(Debug)]
pub enum Settled {
    /// Each has its output.
    Completed(Outputs),
    /// Reported by the processor and not retried.
    Failed(Evidence),
    /// Ended its worker once too often.
    Quarantined(Evidence),
    /// The host does not want it any more.
    Cancelled(Evidence),
}

/// Why a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every item of the source has an outcome.
    Complete,
    /// The host asked to drain; the rest is pending.
    Drained,
    /// The host cancelled; the rest is pending.
    Cancelled,
    /// A processor said that no item can succeed; the rest is pending.
    Fatal(Failure),
    /// More items failed than the policy tolerates; the rest is pending.
    FailureBudget {
        /// Items of this run that failed or were quarantined.
        failures: u64,
        /// Items that this run settled.
        settled: u64,
    },
    /// The source broke; the rest is pending.
    SourceFailed(String),
    /// The store is lost; what was committed is safe, the rest is pending.
    StoreFailed(String),
    /// No worker can be kept alive; the rest is pending.
    WorkersUnavailable(String),
}
