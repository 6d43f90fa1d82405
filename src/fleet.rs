//! The executors of one job: processes, threads, or first one and then the other.

use crate::suspects;
use cofferdam_checkpoint::WorkerEntry;
use cofferdam_isolation::{ChildExecutor, IsolationError};
use cofferdam_pipeline_core::{
    Assignment, Executor, KillReason, LeaseId, Observation, SlotNumber, WorkerId, WorkerSink,
};

/// Makes the in-thread executor when it is needed; it knows the processor's type, the driver does not.
pub(crate) type MakeThreads = Box<dyn FnMut(WorkerSink) -> Result<Box<dyn Executor>, IsolationError> + Send>;

/// Routes each worker to the executor that spawned it.
pub(crate) struct Fleet {
    child: Option<ChildExecutor>,
    threads: Option<Box<dyn Executor>>,
    make_threads: MakeThreads,
    sink: WorkerSink,
    /// Workers from this id on are threads.
    threads_from: Option<WorkerId>,
}

impl Fleet {
    /// Workers are processes when `child` is given, else threads.
    pub fn new(
        child: Option<ChildExecutor>,
        make_threads: MakeThreads,
        sink: WorkerSink,
    ) -> Result<Self, IsolationError> {
        let mut fleet = Self { child, threads: None, make_threads, sink, threads_from: None };
        if fleet.child.is_none() {
            fleet.use_threads_from(WorkerId(0))?;
        }
        Ok(fleet)
    }

    /// Workers with this id or a later one are threads.
    pub fn use_threads_from(&mut self, first: WorkerId) -> Result<(), IsolationError> {
        self.threads = Some((self.make_threads)(self.sink.clone())?);
        self.threads_from = Some(first);
        Ok(())
    }

    /// Whether new workers are threads.
    pub fn uses_threads(&self) -> bool {
        self.threads_from.is_some()
    }

    pub fn spawn(&mut self, worker: WorkerId, slot: SlotNumber) {
        self.of(worker).spawn(worker, slot);
    }

    pub fn assign(&mut self, worker: WorkerId, assignment: Assignment) {
        self.of(worker).assign(worker, assignment);
    }

    pub fn take_back(&mut self, worker: WorkerId, lease: LeaseId) {
        self.of(worker).take_back(worker, lease);
    }

    pub fn set_paused(&mut self, worker: WorkerId, paused: bool) {
        self.of(worker).set_paused(worker, paused);
    }

    pub fn cancel_item(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        self.of(worker).cancel_item(worker, lease, offset);
    }

    pub fn stop(&mut self, worker: WorkerId) {
        self.of(worker).stop(worker);
    }

    pub fn kill(&mut self, worker: WorkerId, why: KillReason) {
        self.of(worker).kill(worker, why);
    }

    pub fn observe(&mut self, worker: WorkerId) -> Option<Observation> {
        self.of(worker).observe(worker)
    }

    /// The living workers, for the owner record; one entry stands for all threads.
    pub fn worker_entries(&self) -> Vec<WorkerEntry> {
        let records = self.child.as_ref().map(ChildExecutor::worker_records).unwrap_or_default();
        let threads = self.uses_threads().then(suspects::thread_entry);
        records.into_iter().map(suspects::entry_of).chain(threads).collect()
    }

    fn of(&mut self, worker: WorkerId) -> &mut dyn Executor {
        let is_thread = self.threads_from.is_some_and(|first| worker >= first);
        match (is_thread, &mut self.threads, &mut self.child) {
            (true, Some(threads), _) => threads.as_mut(),
            (false, _, Some(child)) => child,
            _ => unreachable!("a worker belongs to the executor that was in use when it was spawned"),
        }
    }
}
