//! What the driver may look at: who holds what.

use super::Supervisor;
use super::worker::{State, Worker};
use crate::{Chunk, LeaseId, SlotNumber, WorkerId};
use std::sync::Arc;

/// A worker as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Which one.
    pub worker: WorkerId,
    /// Its place; a worker that is dying may share it with its replacement.
    pub slot: SlotNumber,
    /// What it is doing.
    pub state: WorkerState,
    /// Items that it was given and has not settled.
    pub unsettled: u64,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkerState {
    /// Spawned, not ready.
    Starting,
    /// Takes leases.
    Ready,
    /// Asked to leave.
    Stopping,
    /// Gone or killed; the verdict follows.
    Dying,
}

impl Supervisor {
    /// Workers whose verdict is not in, oldest first.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> {
        self.workers.iter().map(|worker| WorkerView {
            worker: worker.id,
            slot: worker.slot,
            state: worker.view(),
            unsettled: worker.unsettled(),
        })
    }

    /// The item at `offset` of a lease that the worker holds, as a chunk and a position in it; `None` when it is
    /// settled or was never there (a recorder may lie).
    #[must_use]
    pub fn item_at(&self, worker: WorkerId, lease: LeaseId, offset: u32) -> Option<(&Arc<Chunk>, u32)> {
        let worker = self.workers.iter().find(|w| w.id == worker)?;
        let lease = &worker.leases[worker.lease_position(lease)?];
        lease.holds(offset).then_some((&lease.chunk, lease.start + offset))
    }
}

impl Worker {
    fn view(&self) -> WorkerState {
        match self.state {
            State::Starting { .. } => WorkerState::Starting,
            State::Ready(_) => WorkerState::Ready,
            State::Stopping { .. } => WorkerState::Stopping,
            State::Dying { .. } => WorkerState::Dying,
        }
    }
}
