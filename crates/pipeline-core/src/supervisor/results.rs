//! What workers say about items: results, failures, items given back.

use super::case::{Case, failed_evidence};
use super::lease::TakeBack;
use super::ledger::StoreState;
use super::retry::backoff;
use super::worker::{Duty, State};
use super::{Command, Ended, Settled, Supervisor, Turn};
use crate::{EventKind, Failure, FailureKind, KillReason, LeaseId, OpenItem, ReplyBatch};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where a message about a lease belongs.
pub(super) enum Addressed {
    /// The live lease at this place of the worker's list.
    Live(usize),
    /// A lease that is over, or a worker that cannot be believed any more: ignore it.
    Fenced,
    /// A lease that this worker never had.
    Stranger,
}

impl Supervisor {
    pub(super) fn replied(&mut self, at: usize, batch: ReplyBatch, turn: &mut Turn<'_>) {
        let lease_at = match self.address(at, batch.lease) {
            Addressed::Live(lease_at) => lease_at,
            Addressed::Fenced => return,
            Addressed::Stranger => return self.violate(at, turn),
        };
        let worker = &mut self.workers[at];
        let lease = &mut worker.leases[lease_at];
        let in_order = self.policy.slots_per_worker.get() > 1 || batch.offset == lease.done;
        if !in_order || !lease.holds_run(batch.offset, batch.count) {
            return self.violate(at, turn);
        }
        self.pace.learn(worker.busy_since, turn.now, batch.count);
        worker.busy_since = turn.now;
        let attempt = lease.attempt();
        let range = lease.positions(batch.offset, batch.offset + batch.count);
        lease.settle(batch.offset, batch.count);
        let settled: Vec<_> = lease.cases.extract_if(.., |case| range.contains(&case.position)).collect();
        self.ledger.commit(&lease.chunk, range, attempt, Settled::Completed(batch.outputs), turn);
        self.counters.attempts += u64::from(batch.count);
        self.restarts.reset();
        for mut case in settled {
            if case.acquit() {
                turn.emit(EventKind::Acquitted(case.index()));
            }
        }
        self.close_if_settled(at, lease_at);
    }

    pub(super) fn failed(&mut self, at: usize, item: &OpenItem, failure: Failure, turn: &mut Turn<'_>) {
        let (id, offset) = (item.lease, item.offset);
        let lease_at = match self.address(at, id) {
            Addressed::Live(lease_at) => lease_at,
            Addressed::Fenced => return,
            Addressed::Stranger => return self.violate(at, turn),
        };
        let lease = &self.workers[at].leases[lease_at];
        if !(self.has_slots() || offset == lease.done) || !lease.holds(offset) {
            return self.violate(at, turn);
        }
        let asked = self.workers[at].told_to_leave;
        // What an item meets on a full disk it meets because of that, as far as anybody knows, and nothing is handed out until there is room.
        let wants_room = self.ledger.store == StoreState::Full && failure.kind == FailureKind::Transient;
        if failure.kind == FailureKind::Interrupted && self.gave_up(at, id, offset) {
            return;
        }
        let worker = &mut self.workers[at];
        self.pace.learn(worker.busy_since, turn.now, 1);
        worker.busy_since = turn.now;
        let lease = &mut worker.leases[lease_at];
        lease.settle(offset, 1);
        if wants_room || (failure.kind == FailureKind::Interrupted && asked) {
            self.give_back_one(at, lease_at, offset, turn);
        } else {
            let case = lease.take_case(offset);
            self.counters.attempts += 1;
            self.judge_failure(case, item, failure, turn);
        }
        self.close_if_settled(at, lease_at);
    }

    /// An item whose time was up says that it was interrupted by the kill: that is no result, the verdict will charge it.
    fn gave_up(&mut self, at: usize, id: LeaseId, offset: u32) -> bool {
        let State::Dying { killed: Some(kill), .. } = &mut self.workers[at].state else { return false };
        match &mut kill.overdue {
            Some(overdue) if overdue.lease == id && overdue.offset == offset => {
                overdue.gave_up = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// An item that was interrupted because its worker was asked to leave, or that wants room on a full disk, is pending again, uncharged.
    fn give_back_one(&mut self, at: usize, lease_at: usize, offset: u32, turn: &mut Turn<'_>) {
        let lease = &mut self.workers[at].leases[lease_at];
        if lease.has_case(offset) {
            let case = lease.take_case(offset);
            self.resume_case(case, turn);
        } else {
            self.ready.push_front(&lease.chunk, lease.positions(offset, offset + 1));
        }
    }

    /// A failure is a result: whoever reports it alone is acquitted, then it is retried or settled.
    fn judge_failure(&mut self, mut case: Case, item: &OpenItem, failure: Failure, turn: &mut Turn<'_>) {
        if case.acquit() {
            turn.emit(EventKind::Acquitted(case.index()));
        }
        case.charge_failure();
        if case.cancelled {
            self.settle_cancelled(&case, turn);
            if failure.kind == FailureKind::Fatal {
                self.end(Ended::Fatal(failure), turn);
            }
            return;
        }
        let retry_after = match failure.kind {
            FailureKind::Transient | FailureKind::Offline => Some(Duration::ZERO),
            FailureKind::RateLimited { retry_after } => Some(retry_after),
            // Nobody asked it to stop. Believing it without a charge would let it come back for ever.
            FailureKind::Interrupted => Some(Duration::ZERO),
            FailureKind::InvalidInput => None,
            FailureKind::Fatal => {
                self.due.push_back(case);
                return self.end(Ended::Fatal(failure), turn);
            }
        };
        match retry_after {
            Some(retry_after) if case.record.failures < self.policy.retry.attempts_max => {
                self.retry(case, retry_after, turn);
            }
            Some(_) | None => {
                let evidence = failed_evidence(failure, item);
                let range = case.position..case.position + 1;
                self.ledger.commit(&case.chunk, range, case.attempts, Settled::Failed(evidence), turn);
            }
        }
    }

    fn retry(&mut self, mut case: Case, retry_after: Duration, turn: &mut Turn<'_>) {
        let delay = backoff(&self.policy.retry, case.record.failures, retry_after, &mut self.random);
        self.bound_saved_states(&mut case);
        self.note(&case, turn);
        turn.emit(EventKind::RetryIn(case.index(), delay));
        self.retries.push(turn.now + delay, case);
    }

    /// Tells the store what is known against an item. A lost store gets nothing.
    pub(super) fn note(&self, case: &Case, turn: &mut Turn<'_>) {
        if self.ledger.store != StoreState::Lost {
            let (chunk, position, prior) = (case.chunk.clone(), case.position, case.record.clone());
            turn.push(Command::Note { chunk, position, prior });
        }
    }

    pub(super) fn returned(&mut self, at: usize, id: LeaseId, from: u32, turn: &mut Turn<'_>) {
        let lease_at = match self.address(at, id) {
            Addressed::Live(lease_at) => lease_at,
            Addressed::Fenced => return,
            Addressed::Stranger => return self.violate(at, turn),
        };
        let lease = &mut self.workers[at].leases[lease_at];
        // Whoever gives nothing back may name any offset beyond the lease: it has forgotten how long that was.
        let from = from.min(lease.len);
        if lease.take_back != TakeBack::Asked || !lease.is_untouched_from(from) {
            return self.violate(at, turn);
        }
        lease.take_back = TakeBack::Answered;
        let (chunk, given_up) = (lease.chunk.clone(), lease.give_up(from, &BTreeSet::new()));
        self.take_in(&chunk, given_up, turn);
        self.interrupt_cancelled(at, lease_at, turn);
        self.close_if_settled(at, lease_at);
    }

    pub(super) fn became_ready(&mut self, at: usize, turn: &mut Turn<'_>) {
        let paused = self.phase.paused_since().is_some();
        let worker = &mut self.workers[at];
        match worker.state {
            State::Starting { .. } => {
                worker.state = State::Ready(Duty::Open);
                worker.was_ready = true;
                turn.emit(EventKind::WorkerReady(worker.id));
                if paused {
                    worker.paused = true;
                    turn.push(Command::SetPaused(worker.id, true));
                }
                self.isolation.has_started();
            }
            State::Ready(_) | State::Stopping { .. } => self.violate(at, turn),
            State::Dying { .. } => {}
        }
    }

    pub(super) fn start_failed(&mut self, at: usize, failure: Failure, turn: &mut Turn<'_>) {
        self.isolation.has_started();
        match self.workers[at].state {
            State::Starting { .. } if failure.kind == FailureKind::Fatal => {
                self.end(Ended::Fatal(failure), turn)
            }
            // The exit follows; it costs the restart budget.
            State::Starting { .. } | State::Dying { .. } => {}
            State::Ready(_) | State::Stopping { .. } => self.violate(at, turn),
        }
    }

    /// Whose lease it is. Results of a worker that is dying count: they were read from its socket before the verdict.
    pub(super) fn address(&self, at: usize, id: LeaseId) -> Addressed {
        let worker = &self.workers[at];
        if let State::Dying { killed: Some(kill), .. } = &worker.state
            && kill.reason == KillReason::ProtocolViolation
        {
            return Addressed::Fenced;
        }
        if let Some(lease_at) = worker.lease_position(id) {
            return Addressed::Live(lease_at);
        }
        let someone_elses = self.workers.iter().any(|other| other.lease_position(id).is_some());
        if id.0 == 0 || id.0 > self.last_lease || someone_elses {
            Addressed::Stranger
        } else {
            Addressed::Fenced
        }
    }

    pub(super) fn violate(&mut self, at: usize, turn: &mut Turn<'_>) {
        self.kill(at, KillReason::ProtocolViolation, None, turn);
    }

    fn close_if_settled(&mut self, at: usize, lease_at: usize) {
        let worker = &mut self.workers[at];
        let lease = &worker.leases[lease_at];
        if lease.unsettled() > 0 {
            return;
        }
        self.pace.completed(lease.len);
        worker.leases.remove(lease_at);
        if worker.leases.is_empty() && matches!(worker.state, State::Ready(Duty::Trial)) {
            worker.state = State::Ready(Duty::Open);
            worker.retire_after(self.policy.items_per_worker_max);
        }
    }
}
