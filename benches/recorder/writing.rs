//! A worker writes, and the host looks.

use crate::support::case::{Case, Failed, Figure};
use cofferdam::{Codec, Context, Failure, Processor, StartContext, WorkerProgram};
use cofferdam_isolation::{ChildExecutor, ChildSettings, Debugging};
use cofferdam_pipeline_core::{
    Assignment, ChunkBuilder, Executor, Identities, ItemIndex, KillReason, LeaseId, SlotNumber, WorkerEvent,
    WorkerId, entries,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

const WORKER: WorkerId = WorkerId(0);

/// No case takes that long.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Each thread's own, 32 bytes of one letter: a mixture of two is seen at once.
const STAGES: [&str; 4] = [
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "cccccccccccccccccccccccccccccccc",
    "dddddddddddddddddddddddddddddddd",
];

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// `cx.progress`, by one thread.
    Progress,
    /// `cx.stage` with 32 bytes, by four threads at once.
    StageOn4Threads,
}

/// Calls it so many times; the output is nanoseconds a call.
pub struct Telemetry;

impl Processor for Telemetry {
    const NAME: &'static str = "telemetry";
    const VERSION: u32 = 1;
    type Item = (Call, u64);
    type Output = f64;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, (call, calls): (Call, u64), cx: &Context<'_>) -> Result<f64, Failure> {
        let began = Instant::now();
        match call {
            Call::Progress => (0..calls).for_each(|done| cx.progress(done, calls)),
            Call::StageOn4Threads => std::thread::scope(|scope| {
                for stage in STAGES {
                    scope.spawn(move || (0..calls).for_each(|_| cx.stage(stage)));
                }
            }),
        }
        // With four threads on two cores: the wall time for one call of each.
        Ok(began.elapsed().as_secs_f64() * 1e9 / calls as f64)
    }
}

/// One worker at it again and again.
pub struct Writing {
    name: &'static str,
    call: Call,
    calls: u64,
    executor: ChildExecutor,
    events: Receiver<WorkerEvent>,
    last_lease: u32,
}

impl Writing {
    pub fn start(name: &'static str, call: Call, calls: u64) -> Result<Self, Failed> {
        let (to, events) = channel();
        let settings = ChildSettings {
            program: WorkerProgram::CurrentExe,
            processor: Telemetry::NAME,
            version: Telemetry::VERSION,
            codec: Codec::Bincode,
            config: Vec::new(),
            env: Vec::new(),
            slots: 1,
            stack_bytes: 8 << 20,
            main_thread: false,
            start_wall_max: WAIT_MAX,
            debugging: Debugging::Off,
            runtime_dir: None,
            frame_payload_max: 1 << 20,
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
        Ok(Self { name, call, calls, executor, events, last_lease: 0 })
    }

    fn assign(&mut self) -> Result<(), Failed> {
        let mut chunk = ChunkBuilder::default();
        chunk.push(|out| Codec::Bincode.encode(&(self.call, self.calls), out))?;
        let mut identities = Identities::default();
        identities.push_ordinal(0);
        let chunk = Arc::new(chunk.finish(ItemIndex(0), identities).expect("one item"));
        self.last_lease += 1;
        let lease = LeaseId(self.last_lease);
        self.executor.assign(WORKER, Assignment { lease, attempt: 1, chunk, range: 0..1, saved_state: None });
        Ok(())
    }

    /// Looks as fast as it can until the answer is there: nanoseconds a call, looks, and torn ones.
    fn watch(&mut self) -> Result<(f64, u64, u64), Failed> {
        let (mut looks, mut torn) = (0, 0);
        loop {
            match self.events.try_recv() {
                Ok(WorkerEvent::Replied(reply)) => {
                    let output = entries(reply.outputs.as_entries()).next().ok_or("an empty reply")??;
                    return Ok((Codec::Bincode.decode(output)?, looks, torn));
                }
                Ok(other) => return Err(format!("the worker answered {other:?}").into()),
                Err(TryRecvError::Disconnected) => return Err("the executor is gone".into()),
                Err(TryRecvError::Empty) => {}
            }
            let Some(seen) = self.executor.observe(WORKER) else { continue };
            for open in &seen.open {
                looks += 1;
                torn += u64::from(!open.stage.is_empty() && !STAGES.contains(&open.stage.as_str()));
            }
        }
    }

    fn wait(&mut self) -> Result<f64, Failed> {
        match self.events.recv_timeout(WAIT_MAX)? {
            WorkerEvent::Replied(reply) => {
                let output = entries(reply.outputs.as_entries()).next().ok_or("an empty reply")??;
                Ok(Codec::Bincode.decode(output)?)
            }
            other => Err(format!("the worker answered {other:?}").into()),
        }
    }
}

impl Case for Writing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        self.assign()?;
        match self.call {
            Call::Progress => Ok(vec![Figure::new(self.name, self.wait()?, "ns")]),
            Call::StageOn4Threads => {
                let (nanos, looks, torn) = self.watch()?;
                Ok(vec![
                    Figure::new(self.name, nanos, "ns"),
                    Figure::new("stage32_4threads.reads", looks as f64, "count"),
                    Figure::new("stage32_4threads.torn_reads", torn as f64, "count"),
                ])
            }
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.executor.kill(WORKER, KillReason::JobOver);
    }
}
