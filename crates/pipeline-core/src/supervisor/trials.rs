//! Fair trials: a suspect runs as the only item of a fresh worker.

use super::case::Case;
use super::worker::{Duty, State};
use super::{Source, Supervisor, Turn};
use std::time::Duration;

/// How long other items go first.
const LAST_TRIAL_AFTER: Duration = Duration::from_secs(60);
/// How long the host stands idle when there are none.
const IDLE_BEFORE_LAST_TRIAL: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Starts the trials for which a fresh worker is there, and makes room for the others.
    pub(super) fn hold_trials(&mut self, turn: &mut Turn<'_>) {
        while let Some(case) = self.trials.front() {
            if case.is_exclusive() && self.workers.iter().any(|worker| !worker.leases.is_empty()) {
                return;
            }
            if self.is_exclusive_trial_running() {
                return;
            }
            let Some(at) = self.workers.iter().position(|w| w.is_fresh() && w.is_idle()) else { break };
            let case = self.trials.pop_front().expect("looked at above");
            self.assign_case(at, case, turn);
            self.workers[at].state = State::Ready(Duty::Trial);
        }
        self.refresh_workers(turn);
    }

    /// Whether an item that a host died with waits or runs: nothing else may start beside it.
    pub(super) fn is_exclusive(&self) -> bool {
        self.trials.front().is_some_and(|case| case.is_exclusive()) || self.is_exclusive_trial_running()
    }

    fn is_exclusive_trial_running(&self) -> bool {
        let mut leases = self.workers.iter().flat_map(|worker| &worker.leases);
        leases.any(|lease| lease.cases.iter().any(Case::is_exclusive))
    }

    /// Replaces used workers by fresh ones, as far as trials wait for them: those that hold nothing at once; and if no
    /// trial can begin otherwise, one that is busy gets nothing more.
    fn refresh_workers(&mut self, turn: &mut Turn<'_>) {
        let vacant = u64::from(self.capacity).saturating_sub(self.places_taken()) as usize;
        let leaving = self.workers.iter().filter(|w| matches!(w.state, State::Stopping { .. })).count();
        let mut missing = self.trials.len().saturating_sub(self.fresh_workers() + leaving + vacant);
        for at in 0..self.workers.len() {
            if missing > 0 && self.workers[at].is_idle() && !self.workers[at].is_fresh() {
                self.stop(at, turn);
                missing -= 1;
            }
        }
        if missing == 0 || self.is_trial_in_sight() {
            return;
        }
        let busy = self.workers.iter_mut().filter(|w| matches!(w.state, State::Ready(Duty::Open)) && w.used);
        if let Some(worker) = busy.min_by_key(|worker| worker.unsettled()) {
            worker.state = State::Ready(Duty::Retiring);
        }
    }

    /// Workers that are or will be ready for a trial.
    pub(super) fn fresh_workers(&self) -> usize {
        self.workers.iter().filter(|worker| worker.is_fresh()).count()
    }

    /// Puts a case in line for its trial: before the others of its kind if it was in line before. Items that a host
    /// died with come first, since nothing else runs while they wait.
    pub(super) fn await_trial(&mut self, case: Case, again: bool) {
        let exclusive = self.trials.iter().take_while(|waiting| waiting.is_exclusive()).count();
        let at = match (case.is_exclusive(), again) {
            (true, true) => 0,
            (true, false) | (false, true) => exclusive,
            (false, false) => self.trials.len(),
        };
        self.trials.insert(at, case);
    }

    /// One more death of the host convicts it: everything else goes first. Who kills hosts at random does it meanwhile, which
    /// clears the item; and if it is guilty, the rest is done.
    pub(super) fn await_the_others(&mut self, case: Case, turn: &Turn<'_>) {
        self.last_trials += 1;
        self.retries.push(turn.now + LAST_TRIAL_AFTER, case);
    }

    /// Nothing else is left: the host stands idle for a while, then the last trials begin.
    pub(super) fn hasten_last_trials(&mut self, turn: &Turn<'_>) {
        if self.source != Source::Open && self.outstanding() == self.last_trials {
            let due = turn.now + IDLE_BEFORE_LAST_TRIAL;
            self.retries.hasten(due, Case::must_go_last);
        }
    }

    /// Whether a worker is on its way to be free for a trial.
    fn is_trial_in_sight(&self) -> bool {
        let vacant = self.places_taken() < u64::from(self.capacity);
        vacant
            || self.workers.iter().any(|worker| match worker.state {
                State::Starting { .. } | State::Stopping { .. } => true,
                State::Ready(Duty::Trial | Duty::Retiring) => true,
                State::Ready(Duty::Open) => !worker.used,
                State::Dying { .. } => false,
            })
    }
}
