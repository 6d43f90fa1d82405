//! The executor whose workers are child processes.

use super::outbound::{Outbound, QUEUE_LEN_MAX};
use super::session::{self, Session};
use super::spawner::Spawner;
use super::waits::Waits;
use super::worker::Worker;
use super::{ChildSettings, Shared};
use crate::IsolationError;
use crate::program::WorkerProgram;
use crate::sys::os;
use crate::sys::output::OutputPump;
use cofferdam_pipeline_core::{
    Assignment, Executor, KillReason, LeaseId, Observation, SlotNumber, WorkerId, WorkerSink,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// What the owner record keeps of a worker, so that the next open finds it after this host's death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRecord {
    /// Its process id.
    pub pid: u32,
    /// When it started, in the system's own unit; together with `pid` it names one process of this boot. 0 when unknown.
    pub start_time: u64,
    /// Its flight recorder.
    pub recorder: PathBuf,
}

/// Runs workers in child processes.
///
/// Dropping it kills all of them with their descendants, waits until they are gone and removes their files; events
/// go on until then. Do not drop it from within its sink.
pub struct ChildExecutor {
    workers: HashMap<WorkerId, Entry>,
    shared: Arc<Shared>,
    sink: WorkerSink,
    // In this order: sessions end when the spawner has reaped their workers, and need the output until they have.
    spawner: Spawner,
    _output: OutputPump,
}

struct Entry {
    worker: Arc<Worker>,
    queue: SyncSender<Outbound>,
    session: JoinHandle<()>,
}

impl ChildExecutor {
    /// An executor without workers; events of later workers go to `sink`, which must neither block for long nor panic.
    ///
    /// # Errors
    /// [`IsolationError`]; no process was started.
    pub fn new(settings: ChildSettings, sink: WorkerSink) -> Result<Self, IsolationError> {
        if crate::is_inside_worker() {
            return Err(IsolationError::InsideWorker);
        }
        if settings.program == WorkerProgram::CurrentExe && !crate::has_worker_line() {
            return Err(IsolationError::NoWorkerLine);
        }
        if settings.config.len() > settings.frame_payload_max {
            let (len, max) = (settings.config.len(), settings.frame_payload_max);
            return Err(IsolationError::ConfigTooLarge { len, max });
        }
        let output = OutputPump::start().map_err(IsolationError::Exhausted)?;
        let shared = Arc::new(Shared::new(settings, output.intake())?);
        let spawner = Spawner::start().map_err(IsolationError::Exhausted)?;
        Ok(Self { workers: HashMap::new(), shared, sink, spawner, _output: output })
    }

    /// The living workers, for the owner record.
    #[must_use]
    pub fn worker_records(&self) -> Vec<WorkerRecord> {
        let record = |entry: &Entry| {
            let (process, recorder) = (entry.worker.process()?, entry.worker.recorder()?);
            let recorder = recorder.recorder_path().to_owned();
            Some(WorkerRecord { pid: process.pid, start_time: process.start_time, recorder })
        };
        self.workers.values().filter_map(record).collect()
    }

    /// Sends a message that may be answered `answers` times.
    fn send(&self, worker: WorkerId, message: Outbound, answers: u32) {
        let Some(entry) = self.workers.get(&worker) else { return };
        entry.worker.grant(answers);
        match entry.queue.try_send(message) {
            // Its end is an event of its own.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                entry.worker.violate(format!("left {QUEUE_LEN_MAX} messages unread"));
                self.spawner.handle().wake();
            }
        }
    }

    /// Forgets workers whose last event was delivered.
    fn forget_ended(&mut self) {
        let ended = self.workers.extract_if(|_, entry| entry.worker.is_over() && entry.session.is_finished());
        for (_, entry) in ended {
            // Its panic was reported by the hook.
            let _ = entry.session.join();
        }
    }
}

impl Executor for ChildExecutor {
    fn spawn(&mut self, worker: WorkerId, slot: SlotNumber) {
        self.forget_ended();
        let worker =
            Worker::new(worker, slot, Waits::with(self.shared.settings.debugging), self.sink.clone());
        let (queue, queue_out) = sync_channel(QUEUE_LEN_MAX);
        let started = session::start(Session {
            worker: worker.clone(),
            shared: self.shared.clone(),
            spawner: self.spawner.handle(),
            queue: Some(queue_out),
            queue_in: queue.clone(),
        });
        match started {
            Ok(session) => drop(self.workers.insert(worker.id, Entry { worker, queue, session })),
            Err(error) => worker.conclude(session::never_spawned(format!("no thread: {error}"))),
        }
    }

    fn assign(&mut self, worker: WorkerId, assignment: Assignment) {
        let answers = assignment.range.end - assignment.range.start;
        self.send(worker, Outbound::Assign(assignment), answers);
    }

    fn take_back(&mut self, worker: WorkerId, lease: LeaseId) {
        self.send(worker, Outbound::TakeBack(lease), 1);
    }

    fn set_paused(&mut self, worker: WorkerId, paused: bool) {
        if let Some(entry) = self.workers.get(&worker) {
            entry.worker.set_paused(paused);
        }
    }

    fn cancel_item(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        if let Some(entry) = self.workers.get(&worker) {
            entry.worker.cancel_item(lease, offset);
        }
    }

    fn stop(&mut self, worker: WorkerId) {
        if let Some(entry) = self.workers.get(&worker) {
            entry.worker.interrupt();
            self.send(worker, Outbound::Stop, 0);
        }
    }

    fn kill(&mut self, worker: WorkerId, why: KillReason) {
        if let Some(entry) = self.workers.get(&worker) {
            entry.worker.intend_kill(why);
            self.spawner.handle().wake();
        }
    }

    fn observe(&mut self, worker: WorkerId) -> Option<Observation> {
        let worker = &self.workers.get(&worker)?.worker;
        let recording = worker.recorder()?.read().ok()?;
        let resident = worker.process().and_then(|process| os::resident_bytes(process.pid));
        Some(recording.into_observation(resident))
    }
}

impl Drop for ChildExecutor {
    fn drop(&mut self) {
        for entry in self.workers.values() {
            entry.worker.intend_kill(KillReason::JobOver);
        }
        self.spawner.handle().wake();
        for (_, entry) in self.workers.drain() {
            // Its panic was reported by the hook.
            let _ = entry.session.join();
        }
    }
}
