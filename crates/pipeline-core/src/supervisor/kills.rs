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
