//! What the supervisor is told.

use crate::{Chunk, Evidence, ItemIndex, Key, Observation, SavedState, WorkerEvent, WorkerId};
use std::sync::Arc;

/// One thing that happened. The driver passes inputs in the order in which it learned of them, events before timers.
#[derive(Debug)]
pub enum Input {
    /// The source delivered items; answers [`super::Command::WantItems`].
    Fed {
        /// They are never empty and continue the index of the chunk before.
        chunk: Arc<Chunk>,
        /// What earlier sessions know against some of them, in order of index.
        priors: Vec<Prior>,
    },
    /// The source is at its end.
    SourceEnded,
    /// The source broke; what was fed before is still processed.
    SourceFailed(String),
    /// A worker's event.
    Worker(WorkerId, WorkerEvent),
    /// A look at a worker's recorder.
    Observed(WorkerId, Observation),
    /// All commits up to and including this ticket are durable.
    Committed {
        /// The highest ticket.
        through: u64,
        /// The store's highest durable lsn.
        lsn: u64,
    },
    /// The store cannot take more for now (no space); commits handed out before are kept by the driver.
    StoreFull,
    /// The store takes writes again.
    StoreRecovered,
    /// The store is lost; nothing can be committed any more.
    StoreFailed(String),
    /// The host wants something.
    Control(Control),
    /// The host does not want this item any more; idempotent in every state of the item. Without effect once it is settled.
    CancelItem(Key),
    /// Time has passed; see [`super::Supervisor::next_deadline`].
    Tick,
    /// The machine or the host stood still for this long (suspend, debugger): extends every deadline.
    ClockGap(std::time::Duration),
}

/// What an earlier session knows against an item that it did not settle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prior {
    /// The item.
    pub index: ItemIndex,
    /// Crashes charged to it.
    pub crashes: u32,
    /// Failures reported for it.
    pub failures: u32,
    /// Deaths of workers by unexplained kills while it was open.
    pub foreign_kills: u32,
    /// Deaths of the host in a row with it as the only open item.
    pub host_deaths: u32,
    /// The last host died while it was open among others, or may have been: it is charged with nothing and runs first, as
    /// the only item in the host. Not for the store, which has to tell it anew after each death.
    pub host_suspect: bool,
    /// It is not to be tried: it fails with this at once.
    pub refused: Option<Evidence>,
    /// What its last attempt saved. In a [`super::Command::Note`] always `None`: saved states have a command of their own.
    pub saved_state: Option<SavedState>,
}

/// What a host can ask of a job; idempotent in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Hand out nothing more; `Context::check` blocks.
    Pause,
    /// Go on.
    Resume,
    /// Take unstarted items back, let open items end, then end.
    Drain,
    /// Stop open items (grace, then kill), then end; they stay pending.
    Cancel,
}
