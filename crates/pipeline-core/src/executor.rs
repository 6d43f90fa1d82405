//! Who runs processors, as the engine sees it.

use crate::{Chunk, Exit, Failure, KillReason, LeaseId, Outputs, SavedState, SlotNumber, WorkerId};
use std::ops::Range;
use std::sync::Arc;

/// Some attempts for one worker: the items at positions `range` of `chunk`.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Fences late replies.
    pub lease: LeaseId,
    /// Which try this is for every item of the lease, counting from 1; retries are leases of one.
    pub attempt: u32,
    /// Holds the items' wire bytes. Of one whose item is staged, whoever assigns it keeps a share until the result is there.
    pub chunk: Arc<Chunk>,
    /// Positions within the chunk; never empty.
    pub range: Range<u32>,
    /// What the only item's last attempt saved; always `None` for a lease of several.
    pub saved_state: Option<SavedState>,
}

/// Outputs of consecutive items of a lease.
#[derive(Debug)]
pub struct ReplyBatch {
    /// The lease they belong to.
    pub lease: LeaseId,
    /// Position of the first within the lease (0 = first item of the assignment).
    pub offset: u32,
    /// How many; at least 1.
    pub count: u32,
    /// An executor gives `count` entries, whose count and lengths it has checked.
    pub outputs: Outputs,
}

/// An item that was inside `process` when somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenItem {
    /// The concurrency slot within the worker, 0 for a plain processor.
    pub slot: u32,
    /// Its lease.
    pub lease: LeaseId,
    /// Its position within the lease.
    pub offset: u32,
    /// What `cx.stage()` said last.
    pub stage: String,
    /// What `cx.progress()` said last.
    pub progress: Option<(u64, u64)>,
    /// What `cx.message()` said last.
    pub message: String,
    /// The last breadcrumbs, oldest first.
    pub breadcrumbs: Vec<String>,
}

/// What a look at a living worker's recorder shows. All of it comes from the worker and may be lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Rises while the worker's I/O thread lives.
    pub heartbeat: u64,
    /// Rises with each item that is opened.
    pub items_opened: u64,
    /// Items inside `process`.
    pub open: Vec<OpenItem>,
    /// Resident memory in bytes, where it is known.
    pub resident_bytes: Option<u64>,
}

/// The last that is heard of a worker: its process tree is dead and its socket is read to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// How it ended.
    pub exit: Exit,
    /// Items inside `process` at the end. When `open_known` is false, every unsettled item of its leases may have been.
    pub open: Vec<OpenItem>,
    /// Whether the recorder could be read.
    pub open_known: bool,
    /// The end of what it wrote to stderr.
    pub stderr_tail: String,
}

/// What an executor reports about one worker, in order.
#[derive(Debug)]
pub enum WorkerEvent {
    /// Its process exists. Said once, first unless it dies at once, by executors whose workers are processes of this machine.
    Spawned {
        /// For people: to look at it, or to attach a debugger.
        pid: u32,
    },
    /// The handshake and `Processor::start` are done.
    Ready,
    /// Items completed.
    Replied(ReplyBatch),
    /// An item failed.
    Failed {
        /// Which one, and what it had said of itself by then: evidence, but for its `message`, which is left out.
        item: OpenItem,
        /// What the processor returned.
        failure: Failure,
    },
    /// The open item at this offset saved its state, for whoever tries it next. Sent behind the results of the items that
    /// ended before.
    StateSaved {
        /// Its lease.
        lease: LeaseId,
        /// Its position within the lease.
        offset: u32,
        /// Replaces what was saved before; at most [`crate::SAVED_STATE_BYTES_MAX`].
        state: SavedState,
    },
    /// The answer to [`Executor::take_back`]: items from this offset on were not started and never will be.
    Returned {
        /// Its lease.
        lease: LeaseId,
        /// The first item given back; equal to the lease's length when none is.
        from: u32,
    },
    /// `Processor::start` returned an error; an exit follows.
    StartFailed(Failure),
    /// First sign of death (socket closed, exit seen); nothing can be assigned any more, the verdict follows.
    Lost,
    /// The verdict; the last event of a worker.
    Exited(ExitReport),
}

/// Receives events from any thread of an executor; must not block for long.
pub type WorkerSink = Arc<dyn Fn(WorkerId, WorkerEvent) + Send + Sync>;

/// Runs workers. No method blocks and none fails: everything that goes wrong is an event of the worker concerned.
///
/// Nothing assumes that a worker shares memory, a file system or a machine with the host, or answers in order across leases.
pub trait Executor: Send {
    /// Creates a worker; [`WorkerEvent::Ready`] or [`WorkerEvent::Exited`] follows.
    fn spawn(&mut self, worker: WorkerId, slot: SlotNumber);
    /// Hands it a lease. A worker of several slots may answer its items in any order.
    fn assign(&mut self, worker: WorkerId, assignment: Assignment);
    /// Asks for the unstarted items of a lease back; [`WorkerEvent::Returned`] follows unless it dies first.
    fn take_back(&mut self, worker: WorkerId, lease: LeaseId);
    /// Pauses or resumes it cooperatively (`Context::check` blocks while paused).
    fn set_paused(&mut self, worker: WorkerId, paused: bool);
    /// Interrupts `Context::check` of one open item and of no other. What it does then is its result; an item that is
    /// closed, or was never opened, is left alone. Whoever cannot do that does nothing: the supervisor waits for a grace
    /// and ends the worker.
    fn cancel_item(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        let _ = (worker, lease, offset);
    }
    /// Asks it to leave: interrupts `Context::check`, stops after the open item. [`WorkerEvent::Exited`] follows, or a kill.
    fn stop(&mut self, worker: WorkerId);
    /// Ends it and all its descendants. [`WorkerEvent::Exited`] follows.
    fn kill(&mut self, worker: WorkerId, why: KillReason);
    /// Looks at its recorder; `None` when there is nothing to see.
    fn observe(&mut self, worker: WorkerId) -> Option<Observation>;
}
