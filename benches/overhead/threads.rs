//! rayon: what threads of one process can do, without isolation and without a memory of what was done.

use crate::support::case::{Case, Failed, Figure};
use crate::work::Work;
use rayon::prelude::*;
use std::time::Instant;

pub struct Rayon {
    items: u64,
    work: Work,
    pool: rayon::ThreadPool,
}

impl Rayon {
    pub fn new(items: u64, work: Work) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(crate::WORKERS as usize).build();
        Self { items, work, pool: pool.expect("two threads can be had") }
    }
}

impl Case for Rayon {
    fn name(&self) -> &'static str {
        "work1ms.rayon"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        let outputs: Vec<u64> = self
            .pool
            .install(|| (0..self.items).into_par_iter().map(|i| self.work.one_millisecond(i)).collect());
        let took = began.elapsed();
        if outputs.len() as u64 != self.items {
            return Err("rayon lost items".into());
        }
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.items as f64, "us/item")])
    }
}
