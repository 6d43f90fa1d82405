//! A worker writes, and the host looks.

use crate::lone::{Lone, chunk_of};
use crate::support::case::{Case, Failed, Figure};
use cofferdam::{Codec, Context, Failure, Processor, StartContext};
use cofferdam_pipeline_core::{WorkerEvent, entries};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

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
    worker: Lone,
}

impl Writing {
    pub fn start(name: &'static str, call: Call, calls: u64) -> Result<Self, Failed> {
        Ok(Self { name, call, calls, worker: Lone::start::<Telemetry>()? })
    }

    fn assign(&mut self) -> Result<(), Failed> {
        let mut item = Vec::new();
        Codec::Bincode.encode(&(self.call, self.calls), &mut item)?;
        self.worker.assign(Arc::new(chunk_of(&item)?));
        Ok(())
    }

    /// Looks as fast as it can until the answer is there: nanoseconds a call, looks, and torn ones.
    fn watch(&mut self) -> Result<(f64, u64, u64), Failed> {
        let (mut looks, mut torn) = (0, 0);
        loop {
            match self.worker.heard()? {
                Some(WorkerEvent::Replied(reply)) => {
                    let output = entries(reply.outputs.as_entries()).next().ok_or("an empty reply")??;
                    return Ok((Codec::Bincode.decode(output)?, looks, torn));
                }
                Some(other) => return Err(format!("the worker answered {other:?}").into()),
                None => {}
            }
            let Some(seen) = self.worker.observe() else { continue };
            for open in &seen.open {
                looks += 1;
                torn += u64::from(!open.stage.is_empty() && !STAGES.contains(&open.stage.as_str()));
            }
        }
    }

    fn wait(&mut self) -> Result<f64, Failed> {
        match self.worker.wait()? {
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
