//! Phases: what the host and the store ask for, and how a job ends.

use super::lease::TakeBack;
use super::ledger::StoreState;
use super::worker::State;
use super::{Command, Control, Ended, Phase, Source, Supervisor, Turn};
use crate::{EventKind, KillReason};

impl Supervisor {
    /// Idempotent in every phase: a request that is already met, or too late, changes nothing.
    pub(super) fn control(&mut self, control: Control, turn: &mut Turn<'_>) {
        match (control, &self.phase) {
            (Control::Pause, Phase::Running) => self.pause(Phase::Paused { since: turn.now }, turn),
            (Control::Pause, Phase::Draining { paused: None }) => {
                self.pause(Phase::Draining { paused: Some(turn.now) }, turn);
            }
            (Control::Resume, Phase::Paused { .. }) => self.resume(Phase::Running, turn),
            (Control::Resume, Phase::Draining { paused: Some(_) }) => {
                self.resume(Phase::Draining { paused: None }, turn);
            }
            (Control::Drain, Phase::Running) => {
                self.phase = Phase::Draining { paused: None };
                self.begin_drain(turn);
            }
            // Open items that are held would never end, so asking to drain lets them go on.
            (Control::Drain, Phase::Paused { .. }) => {
                self.resume(Phase::Draining { paused: None }, turn);
                self.begin_drain(turn);
            }
            (Control::Drain, Phase::Draining { paused: Some(_) }) => {
                self.resume(Phase::Draining { paused: None }, turn);
            }
            (Control::Cancel, Phase::Running | Phase::Paused { .. } | Phase::Draining { .. }) => {
                self.end(Ended::Cancelled, turn);
            }
            (Control::Pause, Phase::Paused { .. } | Phase::Draining { paused: Some(_) })
            | (Control::Resume, Phase::Running | Phase::Draining { paused: None })
            | (Control::Drain, Phase::Draining { paused: None })
            | (_, Phase::Ending(_) | Phase::Finished(_)) => {}
        }
    }

    fn pause(&mut self, phase: Phase, turn: &mut Turn<'_>) {
        self.phase = phase;
        self.tell_paused(true, turn);
        turn.emit(EventKind::Paused);
    }

    fn resume(&mut self, phase: Phase, turn: &mut Turn<'_>) {
        self.release_items(turn);
        self.phase = phase;
        turn.emit(EventKind::Resumed);
    }

    /// Open items go on; the time for which they were held is not theirs.
    fn release_items(&mut self, turn: &mut Turn<'_>) {
        if let Some(since) = self.phase.paused_since() {
            for worker in &mut self.workers {
                worker.signs.extend_items(since, turn.now);
            }
        }
        self.tell_paused(false, turn);
    }

    fn tell_paused(&mut self, paused: bool, turn: &mut Turn<'_>) {
        for worker in &mut self.workers {
            if worker.paused != paused && matches!(worker.state, State::Ready(_) | State::Stopping { .. }) {
                worker.paused = paused;
                turn.push(Command::SetPaused(worker.id, paused));
            }
        }
    }

    fn begin_drain(&mut self, turn: &mut Turn<'_>) {
        turn.emit(EventKind::Draining);
        let slots = self.policy.slots_per_worker.get();
        for worker in &mut self.workers {
            for at in 0..worker.leases.len() {
                let lease = &worker.leases[at];
                if worker.unstarted(at, slots) > 0
                    && lease.take_back == TakeBack::NotAsked
                    && worker.holds_place()
                {
                    turn.push(Command::TakeBack(worker.id, lease.id));
                    worker.leases[at].take_back = TakeBack::Asked;
                }
            }
        }
    }

    pub(super) fn store_full(&mut self, turn: &mut Turn<'_>) {
        if self.ledger.store == StoreState::Open {
            self.ledger.store = StoreState::Full;
            turn.emit(EventKind::StoreFull);
        }
    }

    pub(super) fn store_recovered(&mut self, turn: &mut Turn<'_>) {
        if self.ledger.store == StoreState::Full {
            self.ledger.store = StoreState::Open;
            turn.emit(EventKind::StoreRecovered);
        }
    }

    pub(super) fn store_failed(&mut self, why: String, turn: &mut Turn<'_>) {
        if self.ledger.store == StoreState::Lost {
            return;
        }
        let all_is_durable = !self.ledger.has_uncommitted();
        self.ledger.store = StoreState::Lost;
        match &self.phase {
            Phase::Running | Phase::Paused { .. } | Phase::Draining { .. } => {
                self.end(Ended::StoreFailed(why), turn);
            }
            // What the job ended with is true only if it is durable.
            Phase::Ending(_) if !all_is_durable => self.phase = Phase::Ending(Ended::StoreFailed(why)),
            Phase::Ending(_) | Phase::Finished(_) => {}
        }
    }

    /// Decides how the job ends; the first decision stands. Workers are asked to leave.
    pub(super) fn end(&mut self, how: Ended, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Finished(_)) {
            return;
        }
        self.release_items(turn);
        self.phase = Phase::Ending(how);
        for at in 0..self.workers.len() {
            match self.workers[at].state {
                // It holds no item, and a long start need not be waited for.
                State::Starting { .. } => self.kill(at, self.leaving_reason(), None, turn),
                State::Ready(_) => self.stop(at, turn),
                State::Stopping { .. } | State::Dying { .. } => {}
            }
        }
    }

    /// Asks a ready worker to leave.
    pub(super) fn stop(&mut self, at: usize, turn: &mut Turn<'_>) {
        let worker = &mut self.workers[at];
        worker.state = State::Stopping { deadline: turn.now + self.policy.stop_grace };
        worker.told_to_leave = true;
        turn.push(Command::Stop(worker.id));
    }

    /// Why a worker is killed that is only in the way of the end.
    pub(super) fn leaving_reason(&self) -> KillReason {
        if self.phase == Phase::Ending(Ended::Cancelled) {
            KillReason::Cancelled
        } else {
            KillReason::JobOver
        }
    }

    /// Counts what is durable: what the job ended with stays true.
    pub(super) fn end_if_too_many_failed(&mut self, turn: &mut Turn<'_>) {
        let Some(budget) = &self.policy.failure_budget else { return };
        let failures = self.ledger.failed + self.ledger.quarantined;
        let settled = self.ledger.completed + failures;
        if budget.is_exceeded(failures, settled) {
            self.end(Ended::FailureBudget { failures, settled }, turn);
        }
    }

    pub(super) fn end_if_nothing_is_left(&mut self, turn: &mut Turn<'_>) {
        let settled = self.source != Source::Open && self.outstanding() == 0;
        match &self.phase {
            Phase::Running | Phase::Paused { .. } if settled => self.end(self.how_settled(), turn),
            Phase::Draining { .. } if self.workers.iter().all(|worker| worker.leases.is_empty()) => {
                let how = if settled { self.how_settled() } else { Ended::Drained };
                self.end(how, turn);
            }
            Phase::Running
            | Phase::Paused { .. }
            | Phase::Draining { .. }
            | Phase::Ending(_)
            | Phase::Finished(_) => {}
        }
    }

    /// How a job ends that has nothing left to try.
    fn how_settled(&self) -> Ended {
        match &self.source {
            Source::Failed(why) => Ended::SourceFailed(why.clone()),
            Source::Open | Source::Ended if !self.parked.is_empty() => Ended::WorkersUnavailable(format!(
                "items that ended a worker do not run inside the host: {} stay pending until a worker process can try them",
                self.parked.len()
            )),
            Source::Open | Source::Ended => Ended::Complete,
        }
    }

    pub(super) fn finish_if_at_rest(&mut self, turn: &mut Turn<'_>) {
        let Phase::Ending(how) = &self.phase else { return };
        if self.workers.is_empty() && self.ledger.is_at_rest() {
            let how = how.clone();
            self.phase = Phase::Finished(how.clone());
            turn.emit(EventKind::Ended);
            turn.push(Command::Finish(how));
        }
    }
}
