//! A millisecond of work: a fixed number of turns, not a wait for the clock, so that a core that is shared shows.

use std::hint::black_box;
use std::time::Instant;

/// How many turns of the loop take a millisecond on this machine when nothing disturbs it.
#[derive(Clone, Copy)]
pub struct Work {
    /// Turns.
    pub turns: u64,
}

impl Work {
    /// The fastest of a few tries: whatever disturbs makes it slower only.
    pub fn calibrate() -> Self {
        const TURNS: u64 = 1_000_000;
        let seconds = (0..25).map(|seed| {
            let began = Instant::now();
            black_box(turn(seed, TURNS));
            began.elapsed().as_secs_f64()
        });
        let fastest = seconds.fold(f64::MAX, f64::min);
        Self { turns: (TURNS as f64 * 1e-3 / fastest) as u64 }
    }

    pub fn one_millisecond(self, seed: u64) -> u64 {
        turn(seed, self.turns)
    }
}

/// Each turn needs the one before, so that it takes the same time wherever it is compiled in.
#[inline(never)]
fn turn(seed: u64, turns: u64) -> u64 {
    (0..turns).fold(seed, |x, _| {
        black_box(x).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    })
}
