//! A live look at a running job.

use cofferdam_pipeline_core::{Observation, SlotNumber, WorkerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a job is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Items are handed out.
    #[default]
    Running,
    /// Nothing is handed out until [`crate::JobControl::resume`].
    Paused,
    /// The store is full; the job goes on by itself when there is room.
    StoreFull,
    /// Open items end, nothing is handed out.
    Draining,
    /// Open items are stopped.
    Cancelling,
    /// Workers leave, the last outcomes become durable.
    Ending,
    /// The job is over.
    Ended,
}

/// A running job as of a moment ago (refreshed about twenty times a second).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What the job is doing.
    pub phase: Phase,
    /// Items of the source, where it is known.
    pub items_total: Option<u64>,
    /// Durable outcomes of the whole job: completed.
    pub completed: u64,
    /// Durable outcomes of the whole job: failed.
    pub failed: u64,
    /// Durable outcomes of the whole job: quarantined.
    pub quarantined: u64,
    /// Durable outcomes of the whole job: cancelled one by one.
    pub cancelled: u64,
    /// Outcomes that were there when this run began.
    pub resumed: u64,
    /// Items that wait for another attempt.
    pub waiting: u64,
    /// Attempts of this run.
    pub attempts: u64,
    /// Workers of this run that died with an item open, by kind.
    pub crashes: BTreeMap<String, u64>,
    /// Workers started by this run.
    pub workers_started: u64,
    /// Wall time of this run.
    pub elapsed: Duration,
    /// Workers that are alive.
    pub workers: Vec<WorkerSnapshot>,
}

/// What one worker is doing. The texts come from the worker, control characters neutralised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Which worker.
    pub worker: WorkerId,
    /// Its place.
    pub slot: SlotNumber,
    /// The key of the item inside `process`, for people.
    pub item: Option<String>,
    /// What `cx.stage()` said last.
    pub stage: String,
    /// What `cx.progress()` said last.
    pub progress: Option<(u64, u64)>,
    /// What `cx.message()` said last.
    pub message: String,
    /// Resident memory in bytes, where it is known.
    pub resident_bytes: Option<u64>,
}

impl WorkerSnapshot {
    pub(crate) fn new(worker: WorkerId, slot: SlotNumber, seen: &Observation, item: Option<String>) -> Self {
        let open = seen.open.first().cloned().unwrap_or_default();
        Self {
            worker,
            slot,
            item,
            stage: open.stage,
            progress: open.progress,
            message: open.message,
            resident_bytes: seen.resident_bytes,
        }
    }
}
