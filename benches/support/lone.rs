//! One worker through the executor alone: no supervisor, no store.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use crate::support::case::Failed;
use cofferdam::{Codec, Processor, WorkerProgram};
use cofferdam_isolation::{ChildExecutor, ChildSettings, Debugging};
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Executor, Identities, ItemIndex, KillReason, LeaseId, Observation,
    SlotNumber, WorkerEvent, WorkerId,
};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

const WORKER: WorkerId = WorkerId(0);

/// No case takes that long.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// A worker that is ready; it is killed when this is dropped.
pub struct Lone {
    executor: ChildExecutor,
    events: Receiver<WorkerEvent>,
    last_lease: u32,
}

impl Lone {
    pub fn start<P: Processor>() -> Result<Self, Failed> {
        let (to, events) = channel();
        let settings = ChildSettings {
            program: WorkerProgram::CurrentExe,
            processor: P::NAME,
            version: P::VERSION,
            codec: Codec::Bincode,
            config: Vec::new(),
            env: Vec::new(),
            slots: 1,
            stack_bytes: 8 << 20,
            main_thread: false,
            start_wall_max: WAIT_MAX,
            debugging: Debugging::Off,
            runtime_dir: None,
            frame_payload_max: 64 << 20,
            workspace: None,
        };
        // A send fails when nobody listens any more, which is the end.
        let sink = Arc::new(move |_: WorkerId, event| drop(to.send(event)));
        let mut executor = ChildExecutor::new(settings, sink)?;
        executor.spawn(WORKER, SlotNumber(0));
        let lone = Self { executor, events, last_lease: 0 };
        let WorkerEvent::Spawned { .. } = lone.wait()? else {
            return Err("no process".into());
        };
        match lone.wait()? {
            WorkerEvent::Ready => Ok(lone),
            other => Err(format!("the worker is not ready: {other:?}").into()),
        }
    }

    /// A lease of the only item of a chunk.
    pub fn assign(&mut self, chunk: Arc<Chunk>) {
        self.last_lease += 1;
        let lease = LeaseId(self.last_lease);
        self.executor.assign(WORKER, Assignment { lease, attempt: 1, chunk, range: 0..1, saved_state: None });
    }

    pub fn wait(&self) -> Result<WorkerEvent, Failed> {
        Ok(self.events.recv_timeout(WAIT_MAX)?)
    }

    /// What the worker has said, if anything.
    pub fn heard(&self) -> Result<Option<WorkerEvent>, Failed> {
        match self.events.try_recv() {
            Ok(event) => Ok(Some(event)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err("the executor is gone".into()),
        }
    }

    pub fn observe(&mut self) -> Option<Observation> {
        self.executor.observe(WORKER)
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.executor.kill(WORKER, KillReason::JobOver);
    }
}

/// A chunk of one item.
pub fn chunk_of(encoded: &[u8]) -> Result<Chunk, Failed> {
    let mut chunk = ChunkBuilder::default();
    chunk.push(|out| {
        out.extend_from_slice(encoded);
        Ok::<_, Failed>(())
    })?;
    Ok(chunk.finish(ItemIndex(0), only()).expect("one item"))
}

/// Who the only item of a chunk is.
pub fn only() -> Identities {
    let mut identities = Identities::default();
    identities.push_ordinal(0);
    identities
}
