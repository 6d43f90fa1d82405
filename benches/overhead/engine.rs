//! The library itself.

use crate::case::{Case, Failed};
use crate::work::Work;
use cofferdam::{Context, Durability, Ended, Failure, Isolation, Job, Processor, Report, StartContext};
use std::path::Path;
use std::time::{Duration, Instant};

/// The least that a processor can do.
pub struct AddOne;

impl Processor for AddOne {
    const NAME: &'static str = "add-one";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = u64;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, x: u64, _: &Context<'_>) -> Result<u64, Failure> {
        Ok(x + 1)
    }
}

/// Fixed work, calibrated by the host to a millisecond.
pub struct OneMillisecond {
    work: Work,
}

impl Processor for OneMillisecond {
    const NAME: &'static str = "one-millisecond";
    const VERSION: u32 = 1;
    type Item = u64;
    type Output = u64;
    type Config = u64;

    fn start(turns: u64, _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self { work: Work { turns } })
    }

    fn process(&mut self, seed: u64, _: &Context<'_>) -> Result<u64, Failure> {
        Ok(self.work.one_millisecond(seed))
    }
}

/// Trivial items, in one of the ways in which the library can run them.
pub struct Trivial {
    name: &'static str,
    items: u64,
    isolation: Isolation,
    durability: Durability,
    /// The results are read and compared once: reading them is not what is measured.
    checked: bool,
}

impl Trivial {
    pub fn power(name: &'static str, items: u64) -> Self {
        Self { name, items, isolation: Isolation::Process, durability: Durability::Power, checked: false }
    }

    pub fn process(name: &'static str, items: u64) -> Self {
        Self { durability: Durability::Process, ..Self::power(name, items) }
    }

    pub fn thread(name: &'static str, items: u64) -> Self {
        Self { isolation: Isolation::Thread, ..Self::power(name, items) }
    }
}

impl Case for Trivial {
    fn name(&self) -> &'static str {
        self.name
    }

    fn items(&self) -> u64 {
        self.items
    }

    fn run(&mut self) -> Result<Duration, Failed> {
        let store = store()?;
        let items = self.items;
        let began = Instant::now();
        let job = Job::<AddOne>::new(store.path(), self.name, ())
            .workers(crate::WORKERS)
            .isolation(self.isolation)
            .durability(self.durability)
            .start(cofferdam::dense(move || 0..items))?;
        let report = job.wait()?;
        let took = began.elapsed();
        complete(&report, items)?;
        if !self.checked {
            self.checked = true;
            check_sum(store.path(), self.name, items)?;
        }
        Ok(took)
    }
}

/// Items of a millisecond each.
pub struct OneMillisecondItems {
    items: u64,
    work: Work,
}

impl OneMillisecondItems {
    pub fn new(items: u64, work: Work) -> Self {
        Self { items, work }
    }
}

impl Case for OneMillisecondItems {
    fn name(&self) -> &'static str {
        "work1ms.cofferdam"
    }

    fn items(&self) -> u64 {
        self.items
    }

    fn run(&mut self) -> Result<Duration, Failed> {
        let store = store()?;
        let items = self.items;
        let began = Instant::now();
        let job = Job::<OneMillisecond>::new(store.path(), "work1ms", self.work.turns)
            .workers(crate::WORKERS)
            .isolation(Isolation::Process)
            .start(cofferdam::dense(move || 0..items))?;
        let report = job.wait()?;
        let took = began.elapsed();
        complete(&report, items)?;
        Ok(took)
    }
}

/// On the disk of the build, not in a memory file system.
fn store() -> Result<tempfile::TempDir, Failed> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

fn complete(report: &Report, items: u64) -> Result<(), Failed> {
    if report.ended == Ended::Complete && report.completed == items {
        return Ok(());
    }
    Err(format!("{} of {items} items completed: {:?}", report.completed, report.ended).into())
}

fn check_sum(store: &Path, name: &str, items: u64) -> Result<(), Failed> {
    let mut sum = 0;
    for outcome in cofferdam::Outcomes::<u64>::of_job(store, name)? {
        match outcome?.result {
            cofferdam::OutcomeResult::Completed(output) => sum += output,
            other => return Err(format!("an item did not complete: {other:?}").into()),
        }
    }
    if sum == items * (items + 1) / 2 { Ok(()) } else { Err("the results are wrong".into()) }
}
