//! Items of a millisecond each: what the engine adds to real work.

use crate::processors::OneMillisecond;
use crate::support::case::{Case, Failed, Figure};
use crate::support::rounds::quantile;
use crate::support::store::{complete, store};
use crate::support::sys;
use crate::work::Work;
use cofferdam::{Isolation, Job, JobHandle, OutcomeResult};
use std::path::Path;
use std::time::Instant;

/// The time of a whole job, and what it cost the host's processor.
pub struct Throughput {
    pub items: u64,
    pub work: Work,
}

impl Case for Throughput {
    fn name(&self) -> &'static str {
        "work1ms.cofferdam"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let store = store()?;
        let cpu = sys::cpu_of_this_process();
        let began = Instant::now();
        complete(&start(store.path(), self.items, self.work)?.wait()?, self.items)?;
        let took = began.elapsed();
        let spent = cpu.zip(sys::cpu_of_this_process()).map(|(before, after)| after - before);
        let an_item = 1e6 / self.items as f64;
        let mut figures = vec![Figure::new(self.name(), took.as_secs_f64() * an_item, "us/item")];
        let host_cpu = |spent: std::time::Duration| spent.as_secs_f64() * an_item;
        figures.extend(spent.map(|spent| Figure::new("work1ms.host_cpu", host_cpu(spent), "us/item")));
        Ok(figures)
    }
}

/// How long after its end in the worker an item's outcome is durable and in the hands of a host that waits for it.
pub struct CommitLatency {
    pub items: u64,
    pub work: Work,
}

impl Case for CommitLatency {
    fn name(&self) -> &'static str {
        "work1ms.commit_latency_p99_ms"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let store = store()?;
        let job = start(store.path(), self.items, self.work)?;
        let mut waits = Vec::new();
        for outcome in job.outcomes() {
            let now = sys::monotonic_nanos().ok_or("this system has no clock that processes share")?;
            let OutcomeResult::Completed((_, done)) = outcome?.result else {
                return Err("an item did not complete".into());
            };
            waits.push((now - done) as f64 / 1e6);
        }
        complete(&job.wait()?, self.items)?;
        Ok(vec![Figure::new(self.name(), quantile(&waits, 0.99), "ms")])
    }
}

fn start(store: &Path, items: u64, work: Work) -> Result<JobHandle<OneMillisecond>, Failed> {
    let job = Job::new(store, "work1ms", work.turns).workers(crate::WORKERS).isolation(Isolation::Process);
    Ok(job.start(cofferdam::dense(move || 0..items))?)
}
