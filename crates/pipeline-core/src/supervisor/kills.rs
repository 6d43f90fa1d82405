//! Kills from outside: whether they follow one item, or hit whoever happens to run (ADR 0041).

use super::case::Case;
use super::{Supervisor, Turn};
use crate::{ItemIndex, Policy, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// A kill of somebody else speaks for an item at least this long.
const SPEAKS_FOR: Duration = Duration::from_secs(3);
/// The wait after a kill doubles at most this often.
const DOUBLINGS_MAX: u32 = 2;

/// The last kills that no known suspect was behind: of workers with nothing open, and of items at their first such death.
#[derive(Debug, Default)]
pub(super) struct Kills {
    newest: Option<Kill>,
    /// The newest one that hit somebody else than `newest`.
    other: Option<Kill>,
    /// Until then no item that was killed before is tried.
    pub(super) quiet_until: Time,
}

#[derive(Clone, Copy, Debug)]
struct Kill {
    at: Time,
    /// The item that was open, if one was.
    victim: Option<ItemIndex>,
}

impl Kills {
    /// A worker was killed from outside: with nothing open, or with an item that was never killed so before.
    pub(super) fn note(&mut self, at: Time, victim: Option<ItemIndex>) {
        if self.newest.is_some_and(|newest| newest.victim != victim) {
            self.other = self.newest;
        }
        self.newest = Some(Kill { at, victim });
    }

    /// Whether somebody else was hit lately, or since this item was hit last: then the kills do not follow it.
    pub(super) fn are_at_random(&self, item: ItemIndex, hit_last: Option<Time>, now: Time) -> bool {
        let lately = now - SPEAKS_FOR;
        let since = hit_last.map_or(lately, |last| last.min(lately));
        let kills = [self.newest, self.other];
        kills.into_iter().flatten().any(|kill| kill.victim != Some(item) && kill.at >= since)
    }

    /// The clock stood still for `gap`.
    pub(super) fn extend(&mut self, gap: Duration) {
        self.quiet_until = self.quiet_until + gap;
        for kill in [&mut self.newest, &mut self.other].into_iter().flatten() {
            kill.at = kill.at + gap;
        }
    }
}

impl Supervisor {
    /// A killed item, and with it all that were killed before, wait twice as long as it lived, while workers stand by in
    /// their places. Who kills at random hits one of these meanwhile; who kills for an item's sake does not.
    pub(super) fn await_quiet(&mut self, case: Case, lived: Duration, turn: &Turn<'_>) {
        let wait = wait_after_kill(&self.policy, &case, lived);
        self.kills.quiet_until = self.kills.quiet_until.max(turn.now + wait);
        let (waiting, others) =
            std::mem::take(&mut self.trials).into_iter().partition(|case| case.record.foreign_kills > 0);
        self.trials = others;
        let waiting: VecDeque<Case> = waiting;
        for case in waiting.into_iter().chain([case]) {
            self.retries.push(self.kills.quiet_until, case);
        }
    }

    /// A case whose wait is over: unless there was another kill since.
    pub(super) fn come_due(&mut self, mut case: Case, turn: &mut Turn<'_>) {
        if case.must_go_last() {
            self.last_trials -= 1;
            case.is_next = true;
            self.admit(case, turn);
        } else if case.record.foreign_kills > 0 && turn.now < self.kills.quiet_until {
            self.retries.push(self.kills.quiet_until, case);
        } else {
            self.admit(case, turn);
        }
    }
}

fn wait_after_kill(policy: &Policy, case: &Case, lived: Duration) -> Duration {
    let doublings = case.record.foreign_kills.saturating_sub(1).min(DOUBLINGS_MAX);
    let least = policy.retry.backoff_first.saturating_mul(1 << doublings);
    lived.saturating_mul(2).max(least).min(policy.retry.backoff_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ItemIndex = ItemIndex(1);
    const OTHER: ItemIndex = ItemIndex(2);

    fn at(second: u64) -> Time {
        Time(0) + Duration::from_secs(second)
    }

    #[test]
    fn a_kill_of_somebody_else_speaks_for_an_item_for_three_seconds_or_since_it_was_hit_last() {
        let mut kills = Kills::default();
        kills.note(at(10), Some(OTHER));
        assert!(kills.are_at_random(ONE, None, at(13)));
        assert!(!kills.are_at_random(ONE, None, at(14)));
        assert!(kills.are_at_random(ONE, Some(at(9)), at(14)));
    }

    #[test]
    fn a_kill_of_somebody_else_speaks_for_an_item_that_was_hit_again_since() {
        let mut kills = Kills::default();
        kills.note(at(10), Some(ONE));
        kills.note(at(11), Some(ONE));
        assert!(!kills.are_at_random(ONE, None, at(11)), "they follow it");
        kills.note(at(12), Some(OTHER));
        kills.note(at(13), Some(ONE));
        kills.note(at(13), Some(ONE));
        assert!(kills.are_at_random(ONE, None, at(13)));
    }

    #[test]
    fn time_that_stood_still_is_not_counted_against_what_a_kill_says() {
        let mut kills = Kills::default();
        kills.note(at(10), Some(OTHER));
        kills.note(at(11), Some(ONE));
        kills.quiet_until = at(12);
        kills.extend(Duration::from_secs(100));
        assert_eq!(kills.quiet_until, at(112));
        assert!(kills.are_at_random(ONE, None, at(113)));
        assert!(!kills.are_at_random(ONE, None, at(114)));
        assert!(kills.are_at_random(OTHER, None, at(114)));
        assert!(!kills.are_at_random(OTHER, None, at(115)));
    }
}
