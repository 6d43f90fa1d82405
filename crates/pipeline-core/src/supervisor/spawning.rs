//! How many workers there are, and the ladder when they do not live.

use super::case::Case;
use super::worker::{Duty, State, Worker};
use super::{Command, Ended, Isolation, Phase, Source, Supervisor, Turn};
use crate::{EventKind, Exit, SlotNumber, WorkerId};

/// Workers that are dying while their replacements run, for each place. Memory that they hold is not free yet.
const DYING_PER_PLACE_MAX: usize = 2;

impl Isolation {
    /// A worker's processor was reached: from now on failures are its own.
    pub(super) fn has_started(&mut self) {
        if let Self::Processes { only_spawns_failed, .. } = self {
            *only_spawns_failed = false;
        }
    }

    pub(super) fn has_exited(&mut self, exit: &Exit) {
        // A kill of ours (the job ends) says nothing about whether workers can be started.
        if !matches!(exit, Exit::SpawnFailed(_) | Exit::Killed(_)) {
            self.has_started();
        }
    }

    /// Whether this item must not run here. A host that chose threads knows that they protect from nothing; one that was
    /// left with them does not.
    pub(super) fn keeps_out(self, case: &Case) -> bool {
        match self {
            Self::Processes { .. } => false,
            Self::Threads { fallback } => case.has_killed() || (fallback && case.record.host_deaths > 0),
        }
    }

    fn may_use_threads(self) -> bool {
        matches!(self, Self::Processes { threads_allowed: true, only_spawns_failed: true })
    }
}

impl Supervisor {
    /// Spawns what is missing: not more workers than there is work, all of them while the source still delivers.
    pub(super) fn hire(&mut self, turn: &mut Turn<'_>) {
        let dying_max = self.capacity as usize * DYING_PER_PLACE_MAX;
        while self.is_hiring() && turn.now >= self.restarts.not_before() {
            let dying = self.workers.iter().filter(|worker| !worker.holds_place()).count();
            if dying > dying_max {
                return;
            }
            let slot = self.free_slot();
            self.last_worker += 1;
            let id = WorkerId(self.last_worker);
            self.workers.push(Worker::new(id, slot, turn.now, self.policy.start_wall_max));
            self.counters.workers_started += 1;
            turn.push(Command::Spawn(id, slot));
        }
    }

    /// Whether a worker is missing: for the work, or a fresh one for a trial.
    pub(super) fn is_hiring(&self) -> bool {
        let taken = self.places_taken();
        self.phase == Phase::Running
            && taken < u64::from(self.capacity)
            && (taken < self.workers_wanted() || self.fresh_workers() < self.trials.len())
    }

    pub(super) fn places_taken(&self) -> u64 {
        self.workers.iter().filter(|worker| worker.holds_place()).count() as u64
    }

    fn workers_wanted(&self) -> u64 {
        let capacity = u64::from(self.capacity);
        let more_may_come = self.source == Source::Open && self.counters.fed > 0;
        if more_may_come { capacity } else { capacity.min(self.outstanding()) }
    }

    /// The lowest number that no living worker has; one that is dying has given its place up.
    fn free_slot(&self) -> SlotNumber {
        let taken = |n| self.workers.iter().any(|worker| worker.holds_place() && worker.slot.0 == n);
        SlotNumber((0..).find(|&n| !taken(n)).expect("fewer workers than numbers"))
    }

    /// Lets workers go that are above the capacity, as soon as they hold nothing.
    pub(super) fn dismiss_surplus(&mut self, turn: &mut Turn<'_>) {
        let staying = |worker: &&Worker| match worker.state {
            State::Starting { .. } | State::Ready(Duty::Open | Duty::Trial) => true,
            State::Ready(Duty::Retiring) | State::Stopping { .. } | State::Dying { .. } => false,
        };
        let staying = self.workers.iter().filter(staying).count();
        let mut surplus = staying.saturating_sub(self.capacity as usize);
        for at in 0..self.workers.len() {
            let retiring = matches!(self.workers[at].state, State::Ready(Duty::Retiring));
            if self.workers[at].leases.is_empty() && (retiring || (surplus > 0 && self.workers[at].is_idle()))
            {
                self.stop(at, turn);
                surplus = surplus.saturating_sub(usize::from(!retiring));
            }
        }
    }

    /// A death that no item is to blame for: it costs the restart budget, and beyond it a step down the ladder.
    pub(super) fn unexplained_death(&mut self, exit: &Exit, turn: &mut Turn<'_>) {
        let is_over_budget = self.restarts.died(turn.now);
        if is_over_budget && matches!(self.phase, Phase::Running | Phase::Paused { .. }) {
            self.step_down(exit, turn);
        }
    }

    /// Fewer workers → one → threads, if not a single process could be started → the end.
    fn step_down(&mut self, exit: &Exit, turn: &mut Turn<'_>) {
        let half = self.policy.workers.get().div_ceil(2);
        if self.capacity > 1 {
            self.capacity = if self.capacity > half { half } else { 1 };
            let reason = format!("workers keep dying ({exit}); going on with {}", self.capacity);
            turn.emit(EventKind::Degraded(reason));
        } else if self.isolation.may_use_threads() {
            let reason =
                format!("no worker process can be started ({exit}); going on in threads of the host");
            self.isolation = Isolation::Threads { fallback: true };
            self.capacity = self.policy.workers.get();
            turn.emit(EventKind::Degraded(reason.clone()));
            turn.push(Command::UseThreads(reason));
            for case in std::mem::take(&mut self.trials) {
                self.admit(case, turn);
            }
        } else {
            self.end(Ended::WorkersUnavailable(format!("no worker can be kept alive: {exit}")), turn);
        }
    }
}
