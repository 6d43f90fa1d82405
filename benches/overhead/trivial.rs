//! Trivial items through the library, in each of the ways in which it can run them.

use crate::processors::{AddOne, Echo};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::{complete, store};
use crate::support::sys;
use cofferdam::{Durability, Isolation, Job, JobHandle, OutcomeResult, Outcomes, Processor};
use serde_bytes::ByteBuf;
use std::path::Path;
use std::time::{Duration, Instant};

/// What an item is; its output is as large.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// A number, known by its position.
    U64,
    /// A number under a string key, so that a changed source can be resumed.
    Keyed,
    /// So many bytes.
    Bytes(usize),
}

/// Trivial items through one way of running them.
pub struct Trivial {
    name: &'static str,
    load: Load,
    items: u64,
    isolation: Isolation,
    durability: Durability,
    /// The cases of the processor time of host and workers.
    cpu: Option<[&'static str; 2]>,
    /// The results are read and compared once: reading them is not what is measured.
    checked: bool,
}

impl Trivial {
    /// In child processes, synced.
    pub fn power(name: &'static str, load: Load, items: u64) -> Self {
        let (isolation, durability) = (Isolation::Process, Durability::Power);
        Self { name, load, items, isolation, durability, cpu: None, checked: false }
    }

    /// In child processes, not synced.
    pub fn process(name: &'static str, load: Load, items: u64) -> Self {
        Self { durability: Durability::Process, ..Self::power(name, load, items) }
    }

    /// In threads, synced.
    pub fn thread(name: &'static str, load: Load, items: u64) -> Self {
        Self { isolation: Isolation::Thread, ..Self::power(name, load, items) }
    }

    /// Also says what it cost the processors.
    pub fn with_cpu(mut self, host: &'static str, workers: &'static str) -> Self {
        self.cpu = Some([host, workers]);
        self
    }

    fn job<P: Processor<Config = ()>>(&self, store: &Path) -> Job<P> {
        Job::new(store, self.name, ())
            .workers(crate::WORKERS)
            .isolation(self.isolation)
            .durability(self.durability)
    }

    fn run_load(&self, store: &Path) -> Result<(), Failed> {
        let items = self.items;
        match self.load {
            Load::U64 => ended(self.job::<AddOne>(store).start(cofferdam::dense(move || 0..items))?, items),
            Load::Keyed => {
                let source = move || (0..items).map(|i| (format!("item-{i:09}"), i));
                ended(self.job::<AddOne>(store).start(cofferdam::keyed(source))?, items)
            }
            Load::Bytes(len) => {
                let source = move || (0..items).map(move |i| ByteBuf::from(vec![i as u8; len]));
                ended(self.job::<Echo>(store).start(cofferdam::dense(source))?, items)
            }
        }
    }

    fn check(&self, store: &Path) -> Result<(), Failed> {
        match self.load {
            Load::U64 | Load::Keyed => {
                let sum = outputs::<u64>(store, self.name)?.try_fold(0, |sum, output| Ok(sum + output?));
                expect(sum, self.items * (self.items + 1) / 2)
            }
            Load::Bytes(len) => {
                let count = |sum, output: Result<ByteBuf, Failed>| Ok(sum + output?.len() as u64);
                let sum = outputs::<ByteBuf>(store, self.name)?.try_fold(0, count);
                expect(sum, self.items * len as u64)
            }
        }
    }
}

impl Case for Trivial {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let store = store()?;
        let cpu = cpu();
        let began = Instant::now();
        self.run_load(store.path())?;
        let took = began.elapsed();
        let spent = cpu.zip(self::cpu()).map(|(before, after)| [after[0] - before[0], after[1] - before[1]]);
        if !std::mem::replace(&mut self.checked, true) {
            self.check(store.path())?;
        }
        let an_item = |spent: Duration| spent.as_secs_f64() * 1e6 / self.items as f64;
        let mut figures = vec![Figure::new(self.name, an_item(took), "us/item")];
        for (case, spent) in self.cpu.iter().flatten().zip(spent.iter().flatten()) {
            figures.push(Figure::new(*case, an_item(*spent), "us/item"));
        }
        Ok(figures)
    }
}

/// Of this process and of its children that are gone.
fn cpu() -> Option<[Duration; 2]> {
    Some([sys::cpu_of_this_process()?, sys::cpu_of_children()?])
}

fn ended<P: Processor>(job: JobHandle<P>, items: u64) -> Result<(), Failed> {
    complete(&job.wait()?, items)
}

fn outputs<T: serde::de::DeserializeOwned>(
    store: &Path,
    name: &str,
) -> Result<impl Iterator<Item = Result<T, Failed>>, Failed> {
    Ok(Outcomes::<T>::of_job(store, name)?.map(|outcome| match outcome?.result {
        OutcomeResult::Completed(output) => Ok(output),
        OutcomeResult::Failed(_) | OutcomeResult::Quarantined(_) | OutcomeResult::Cancelled => {
            Err("an item did not complete".into())
        }
    }))
}

fn expect(sum: Result<u64, Failed>, right: u64) -> Result<(), Failed> {
    if sum? == right { Ok(()) } else { Err("the results are wrong".into()) }
}
