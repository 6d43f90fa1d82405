//! The budget for deaths that no item is to blame for.

use crate::{RestartBudget, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// The delay between restarts doubles at most this often.
const DOUBLINGS_MAX: u32 = 5;

/// Counts deaths of workers that no item is to blame for.
#[derive(Debug)]
pub(super) struct Restarts {
    budget: RestartBudget,
    /// Deaths within the window.
    deaths: VecDeque<Time>,
    /// Deaths since an item completed.
    in_a_row: u32,
    not_before: Time,
}

impl Restarts {
    pub(super) fn new(budget: RestartBudget) -> Self {
        Self { budget, deaths: VecDeque::new(), in_a_row: 0, not_before: Time(0) }
    }

    /// One more death. True when the budget is exceeded: a step down the ladder is due, and the count starts again.
    pub(super) fn died(&mut self, now: Time) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if let Some(doublings) = self.in_a_row.checked_sub(2) {
            let delay = self.budget.backoff_first.saturating_mul(1 << doublings.min(DOUBLINGS_MAX));
            self.not_before = self.not_before.max(now + delay);
        }
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|&death| now.since(death) > self.budget.window) {
            self.deaths.pop_front();
        }
        let exceeded = self.deaths.len() > self.budget.deaths_max as usize;
        if exceeded {
            self.deaths.clear();
        }
        exceeded
    }

    /// An item completed: whatever ended the workers before is over.
    pub(super) fn reset(&mut self) {
        self.deaths.clear();
        self.in_a_row = 0;
        self.not_before = Time(0);
    }

    /// The next worker may not be spawned earlier.
    pub(super) fn not_before(&self) -> Time {
        self.not_before
    }

    /// The clock stood still for `gap`.
    pub(super) fn extend(&mut self, gap: Duration) {
        self.not_before = self.not_before + gap;
        for death in &mut self.deaths {
            *death = *death + gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_counts_until_its_window_is_over() {
        let window = Duration::from_secs(10);
        for (second, is_over_budget) in [(10, true), (11, false)] {
            let mut restarts =
                Restarts::new(RestartBudget { deaths_max: 1, window, ..RestartBudget::default() });
            assert!(!restarts.died(Time(0)));
            assert_eq!(restarts.died(Time(0) + Duration::from_secs(second)), is_over_budget, "{second} s");
        }
    }
}
