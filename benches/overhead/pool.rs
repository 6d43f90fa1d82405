//! procspawn: the process pool of the Rust world. One message for each item; nothing is kept.

use crate::support::case::{Case, Failed, Figure};
use procspawn::Pool;
use std::time::Instant;

/// Items in flight: it fails when about a thousand more calls wait.
const WINDOW: u64 = 1_000;

pub struct Procspawn {
    items: u64,
}

impl Procspawn {
    pub fn new(items: u64) -> Self {
        Self { items }
    }
}

fn add_one(x: u64) -> u64 {
    x + 1
}

impl Case for Procspawn {
    fn name(&self) -> &'static str {
        "trivial_u64.procspawn"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        let pool = Pool::new(crate::WORKERS as usize)?;
        let mut sum = 0;
        for first in (0..self.items).step_by(WINDOW as usize) {
            let handles: Vec<_> =
                (first..(first + WINDOW).min(self.items)).map(|x| pool.spawn(x, add_one)).collect();
            for handle in handles {
                sum += handle.join()?;
            }
        }
        drop(pool);
        let took = began.elapsed();
        if sum != self.items * (self.items + 1) / 2 {
            return Err("procspawn returned wrong results".into());
        }
        Ok(vec![Figure::new(self.name(), took.as_secs_f64() * 1e6 / self.items as f64, "us/item")])
    }
}
