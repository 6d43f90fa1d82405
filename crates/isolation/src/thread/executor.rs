//! The in-thread executor.

use super::ThreadSettings;
use super::link::MemoryLink;
use super::worker::{Run, ThreadWorker};
use crate::IsolationError;
use crate::workspace::scratch_of;
use cofferdam_pipeline_core::{
    Assignment, BufferPool, Executor, KillReason, LeaseId, Observation, SlotNumber, Work, WorkerId,
    WorkerSink,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Used reply buffers that are kept, and how large they may be in all.
const SPARE_BUFFERS_MAX: usize = 16;
const SPARE_BUFFER_BYTES_MAX: usize = 16 << 20;

/// Runs workers as threads of this process.
///
/// - A panic ends the worker, with its open item to blame, as in a child. Any other crash ends the host.
/// - `stop` interrupts `Context::check` and lets the open item end.
/// - `kill` cannot end a thread: it is interrupted, **abandoned** and reported at once, as [`TimedOut`] when a limit
///   expired, else as [`Abandoned`], or as [`Killed`] when it had nothing open. What it says later is not heard; when it comes
///   back to the engine (a reply, the next item), it ends by itself. Until then it holds its memory and its stack.
/// - Dropping the executor asks all workers to stop and waits for none.
///
/// [`TimedOut`]: cofferdam_pipeline_core::Exit::TimedOut
/// [`Abandoned`]: cofferdam_pipeline_core::Exit::Abandoned
/// [`Killed`]: cofferdam_pipeline_core::Exit::Killed
pub struct ThreadExecutor {
    settings: Arc<ThreadSettings>,
    run: Run,
    sink: WorkerSink,
    buffers: Arc<BufferPool>,
    workers: HashMap<WorkerId, ThreadWorker>,
}

impl ThreadExecutor {
    /// An executor without workers. The sink is called from the workers' threads.
    ///
    /// # Errors
    /// [`IsolationError::PanicAborts`] when a panic could not be caught.
    pub fn new<P>(settings: ThreadSettings, sink: WorkerSink) -> Result<Self, IsolationError>
    where
        P: Work + crate::Run<<P as Work>::Mode>,
    {
        settings.check(cfg!(panic = "abort"))?;
        Ok(Self {
            settings: Arc::new(settings),
            run: <P as crate::Run<P::Mode>>::RUNS.thread,
            sink,
            buffers: BufferPool::new(SPARE_BUFFERS_MAX, SPARE_BUFFER_BYTES_MAX),
            workers: HashMap::new(),
        })
    }
}

impl Executor for ThreadExecutor {
    fn spawn(&mut self, worker: WorkerId, slot: SlotNumber) {
        self.workers.retain(|_, worker| !worker.is_over());
        let workspace = self.settings.workspace.clone();
        let link = MemoryLink::new(worker, self.sink.clone(), self.buffers.clone(), workspace);
        let scratch = scratch_of(self.settings.workspace.as_deref(), worker);
        self.workers.insert(worker, ThreadWorker::spawn(&self.settings, self.run, slot, link, scratch));
    }

    fn assign(&mut self, worker: WorkerId, assignment: Assignment) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.assign(assignment);
        }
    }

    fn take_back(&mut self, worker: WorkerId, lease: LeaseId) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.take_back(lease);
        }
    }

    fn set_paused(&mut self, worker: WorkerId, paused: bool) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.set_paused(paused);
        }
    }

    fn cancel_item(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.cancel_item(lease, offset);
        }
    }

    fn stop(&mut self, worker: WorkerId) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.stop();
        }
    }

    fn kill(&mut self, worker: WorkerId, why: KillReason) {
        if let Some(worker) = self.workers.get(&worker) {
            worker.kill(why);
        }
    }

    fn observe(&mut self, worker: WorkerId) -> Option<Observation> {
        self.workers.get(&worker).map(ThreadWorker::observe)
    }
}

impl Drop for ThreadExecutor {
    fn drop(&mut self) {
        self.workers.values().for_each(ThreadWorker::stop);
    }
}

impl fmt::Debug for ThreadExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadExecutor").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}
