//! How much work a lease should hold, learned from how fast replies come.

use crate::{LeaseLimits, Time};
use std::time::Duration;

/// A lease holds at most this many times the items of the largest that was completed.
const GROWTH: u32 = 4;
/// Weight of the newest sample.
const NEWEST: f64 = 0.25;
/// One sample counts as at most this many targets an item: enough for leases of one, and soon forgotten.
const SAMPLE_TARGETS_MAX: f64 = 2.0;
/// Near the end leases shrink to this fraction of their usual size, not further: a round trip must stay cheap beside them.
const SHRINK_MAX: u32 = 8;

/// Learned per-item time of one job's workers.
#[derive(Debug)]
pub(super) struct Pace {
    target_ns: f64,
    items_max: u32,
    per_item_ns: Option<f64>,
    growth_max: u32,
}

/// What is left to share when a lease is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Items that are ready.
    pub(super) items: u64,
    /// Leases to share them between: soonest finished when all workers end together.
    pub(super) shares: u64,
}

impl Pace {
    pub(super) fn new(limits: &LeaseLimits) -> Self {
        Self {
            target_ns: limits.target.as_nanos() as f64,
            items_max: limits.items_max.max(1),
            per_item_ns: None,
            growth_max: 1,
        }
    }

    /// A worker that was busy since `since` has settled `items` more.
    pub(super) fn learn(&mut self, since: Time, now: Time, items: u32) {
        let sample = now.since(since).as_nanos() as f64 / f64::from(items.max(1));
        let sample = sample.min(self.target_ns * SAMPLE_TARGETS_MAX);
        self.per_item_ns = Some(self.per_item_ns.map_or(sample, |old| old + (sample - old) * NEWEST));
    }

    /// A lease of `items` was completed.
    pub(super) fn completed(&mut self, items: u32) {
        self.growth_max = self.growth_max.max(items.saturating_mul(GROWTH));
    }

    /// Items that the next lease should hold.
    pub(super) fn lease_items(&self, left: Left) -> u32 {
        let want = match self.per_item_ns {
            None => 1,
            Some(ns) => ((self.target_ns / ns) as u32).clamp(1, self.growth_max),
        };
        let want = want.min(self.items_max);
        let share = u32::try_from(left.items.div_ceil(left.shares.max(1))).unwrap_or(u32::MAX);
        want.min(share.max(want / SHRINK_MAX)).max(1)
    }

    /// Whether `items` are enough work that asking for them back pays.
    pub(super) fn is_worth_taking_back(&self, items: u32) -> bool {
        self.per_item_ns.is_some_and(|ns| ns * f64::from(items) * 2.0 >= self.target_ns)
    }

    /// A worker that shows nothing for this long is inside a long item.
    pub(super) fn long_item(&self) -> Duration {
        Duration::from_nanos(self.target_ns as u64)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
