//! One thing to measure.

use std::time::Duration;

/// What went wrong; ends the benchmark.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A way to run `items` items.
pub trait Case {
    /// `suite case` as it is printed, such as `trivial_u64.raw`.
    fn name(&self) -> &'static str;

    /// Items of one round.
    fn items(&self) -> u64;

    /// Runs all items once and checks that the results are right; the time from start to end, without preparing and tidying up.
    fn run(&mut self) -> Result<Duration, Failed>;
}
