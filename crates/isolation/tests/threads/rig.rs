//! An executor with one worker and a list of what it says.

use crate::processor::{Act, Actor, Gate, Plan, Start};
use cofferdam_ipc::Codec;
use cofferdam_isolation::{ThreadExecutor, ThreadSettings};
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Executor, ExitReport, Identities, ItemIndex, LeaseId, ReplyBatch,
    SlotNumber, WorkerEvent, WorkerId, entries,
};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);
pub const WORKER: WorkerId = WorkerId(7);
pub const CODEC: Codec = Codec::Bincode;

pub struct Rig {
    pub executor: ThreadExecutor,
    pub events: Receiver<WorkerEvent>,
    pub gate: Gate,
}

pub fn settings(config: Vec<u8>) -> ThreadSettings {
    ThreadSettings {
        codec: CODEC,
        config,
        slots: 1,
        stack_bytes: 1 << 20,
        main_thread: false,
        start_wall_max: Duration::from_secs(60),
        frame_payload_max: 1 << 20,
        allow_panic_abort: false,
        workspace: None,
    }
}

impl Rig {
    /// A worker whose `start` succeeds, and is ready.
    pub fn ready() -> Self {
        let rig = Self::starting(Start::Succeed, |_| {});
        assert!(matches!(rig.next(), WorkerEvent::Ready));
        rig
    }

    /// A worker that was just spawned.
    pub fn starting(start: Start, adjust: impl FnOnce(&mut ThreadSettings)) -> Self {
        let gate = Gate::new();
        let mut config = Vec::new();
        CODEC.encode(&Plan { gate: gate.number, start }, &mut config).unwrap();
        let mut settings = settings(config);
        adjust(&mut settings);
        let (said, events) = channel();
        let sink = move |worker, event| {
            assert_eq!(worker, WORKER);
            // The test may be over.
            let _ = said.send(event);
        };
        let mut executor = ThreadExecutor::new::<Actor>(settings, Arc::new(sink)).unwrap();
        executor.spawn(WORKER, SlotNumber(3));
        Self { executor, events, gate }
    }

    pub fn assign(&mut self, lease: u32, acts: &[Act]) {
        let chunk = Arc::new(chunk(acts));
        let assignment =
            Assignment { lease: LeaseId(lease), attempt: 1, range: 0..chunk.len(), chunk, saved_state: None };
        self.executor.assign(WORKER, assignment);
    }

    pub fn next(&self) -> WorkerEvent {
        self.events.recv_timeout(PATIENCE).expect("the worker says something")
    }

    /// The next event, which is replies: their lease, offset and outputs.
    pub fn replies(&self) -> (u32, u32, Vec<Vec<u8>>) {
        match self.next() {
            WorkerEvent::Replied(ReplyBatch { lease, offset, count, outputs }) => {
                let outputs: Vec<_> =
                    entries(outputs.as_entries()).map(|entry| entry.unwrap().to_vec()).collect();
                assert_eq!(outputs.len(), count as usize);
                (lease.0, offset, outputs.iter().map(|output| CODEC.decode(output).unwrap()).collect())
            }
            other => panic!("replies, not {other:?}"),
        }
    }

    /// All replies for the next `count` items of a lease, in whatever batches they come.
    pub fn replies_for(&self, lease: u32, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            let (of, offset, outputs) = self.replies();
            assert_eq!((of, offset as usize), (lease, all.len()));
            all.extend(outputs);
        }
        all
    }

    /// The next two events, which are the end.
    pub fn exit(&self) -> ExitReport {
        assert!(matches!(self.next(), WorkerEvent::Lost));
        match self.next() {
            WorkerEvent::Exited(report) => report,
            other => panic!("an exit, not {other:?}"),
        }
    }
}

pub fn chunk(acts: &[Act]) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for act in acts {
        builder.push(|out| CODEC.encode(act, out)).unwrap();
    }
    builder.finish(ItemIndex(0), Identities::default()).unwrap()
}
