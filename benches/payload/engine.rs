//! The library: its executor alone, and whole jobs.

use crate::PAYLOAD_BYTES;
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::{complete, store};
use cofferdam::{Codec, Context, Failure, Isolation, Job, Processor, StartContext, WorkerProgram};
use cofferdam_isolation::{ChildExecutor, ChildSettings, Debugging};
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Executor, Identities, ItemIndex, KillReason, LeaseId, SlotNumber,
    WorkerEvent, WorkerId,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const WORKER: WorkerId = WorkerId(0);

/// No echo takes that long.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes that the host has in memory before it begins, as the yardsticks do.
#[derive(Clone)]
pub struct Payload(Arc<Vec<u8>>);

impl Payload {
    fn new(first: u64) -> Self {
        let mut bytes = vec![7; PAYLOAD_BYTES];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        Self(Arc::new(bytes))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Arc::new(ByteBuf::deserialize(deserializer)?.into_vec())))
    }
}

/// Sends back what it gets.
pub struct Echo;

impl Processor for Echo {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 1;
    type Item = Payload;
    type Output = Payload;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, payload: Payload, _: &Context<'_>) -> Result<Payload, Failure> {
        Ok(payload)
    }
}

/// One lease of one item after the other, through the executor and a worker, checksummed both ways; nothing is kept.
pub struct NoStore {
    executor: ChildExecutor,
    events: Receiver<WorkerEvent>,
    chunk: Arc<Chunk>,
    last_lease: u32,
    echoes: u64,
    /// The first answer was compared; to compare is not what is measured.
    is_checked: bool,
}

impl NoStore {
    pub fn start(echoes: u64) -> Result<Self, Failed> {
        let (to, events) = channel();
        let settings = ChildSettings {
            program: WorkerProgram::CurrentExe,
            processor: Echo::NAME,
            version: Echo::VERSION,
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
        let WorkerEvent::Spawned { .. } = events.recv_timeout(WAIT_MAX)? else {
            return Err("no process".into());
        };
        match events.recv_timeout(WAIT_MAX)? {
            WorkerEvent::Ready => {}
            other => return Err(format!("the worker is not ready: {other:?}").into()),
        }
        let mut chunk = ChunkBuilder::default();
        let mut item = Vec::new();
        Codec::Bincode.encode(&Payload::new(0), &mut item)?;
        chunk.push(|out| {
            out.extend_from_slice(&item);
            Ok::<_, Failed>(())
        })?;
        let mut identities = Identities::default();
        identities.push_ordinal(0);
        let chunk = Arc::new(chunk.finish(ItemIndex(0), identities).expect("one item"));
        Ok(Self { executor, events, chunk, last_lease: 0, echoes, is_checked: false })
    }

    fn echo(&mut self) -> Result<(), Failed> {
        self.last_lease += 1;
        let lease = LeaseId(self.last_lease);
        let chunk = self.chunk.clone();
        self.executor.assign(WORKER, Assignment { lease, attempt: 1, chunk, range: 0..1, saved_state: None });
        match self.events.recv_timeout(WAIT_MAX)? {
            WorkerEvent::Replied(reply) if std::mem::replace(&mut self.is_checked, true) => {
                drop(reply);
                Ok(())
            }
            WorkerEvent::Replied(reply) if reply.outputs.as_entries() == self.chunk.slice(&(0..1)) => Ok(()),
            other => Err(format!("the worker answered {other:?}").into()),
        }
    }
}

impl Case for NoStore {
    fn name(&self) -> &'static str {
        "echo16m.cofferdam_no_store"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        for _ in 0..self.echoes {
            self.echo()?;
        }
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.echoes as f64, "us/item")])
    }
}

impl Drop for NoStore {
    fn drop(&mut self) {
        self.executor.kill(WORKER, KillReason::JobOver);
    }
}

/// A whole job: every output is durable. No two are equal, since those would be one file.
pub struct Power {
    payloads: Vec<Payload>,
}

impl Power {
    pub fn new(items: u64) -> Self {
        Self { payloads: (0..items).map(Payload::new).collect() }
    }
}

impl Case for Power {
    fn name(&self) -> &'static str {
        "echo16m.cofferdam_power"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let (store, payloads) = (store()?, self.payloads.clone());
        let items = payloads.len() as u64;
        let source = move || payloads.clone();
        let began = Instant::now();
        let job = Job::<Echo>::new(store.path(), "echo", ())
            .workers(2)
            .isolation(Isolation::Process)
            .start(cofferdam::dense(source))?;
        complete(&job.wait()?, items)?;
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / items as f64, "us/item")])
    }
}
