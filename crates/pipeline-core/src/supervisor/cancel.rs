//! Cancelling one item: wherever it is, its outcome is `Cancelled` unless it has one before that takes effect.

use super::case::Case;
use super::lease::TakeBack;
use super::worker::State;
use super::{Command, Settled, Source, Supervisor, Turn};
use crate::{Chunk, EventKind, Evidence, Key, KillReason, OutcomeKind};
use std::sync::Arc;

/// Cancelled items that the source has not delivered; later ones have no effect, which is an event.
const CANCELLED_AHEAD_MAX: usize = 1 << 16;

impl Supervisor {
    /// Idempotent: an item that is settled or cancelled already stays as it is.
    pub(super) fn cancel_item(&mut self, key: Key, turn: &mut Turn<'_>) {
        if let Some((chunk, position)) = self.ready.remove(&key) {
            return self.settle_cancelled(&Case::new(chunk, position), turn);
        }
        if let Some(case) = self.take_waiting(&key) {
            return self.settle_cancelled(&case, turn);
        }
        if self.cancel_held(&key, turn) || self.source != Source::Open {
            return;
        }
        // It may come; if it was settled already, it will not.
        if self.cancelled_ahead.len() < CANCELLED_AHEAD_MAX {
            self.cancelled_ahead.insert(key);
        } else {
            turn.emit(EventKind::Degraded(format!("too many cancelled items are awaited: {key} will run")));
        }
    }

    /// A case that no worker holds.
    fn take_waiting(&mut self, key: &Key) -> Option<Case> {
        let is_it = |case: &Case| case.is(key);
        for cases in [&mut self.due, &mut self.trials, &mut self.parked] {
            if let Some(at) = cases.iter().position(is_it) {
                return cases.remove(at);
            }
        }
        let case = self.retries.remove(is_it)?;
        if case.must_go_last() {
            self.last_trials -= 1;
        }
        Some(case)
    }

    /// An item in the hands of a worker is interrupted, or given back if it has not begun. Whether a worker has it.
    fn cancel_held(&mut self, key: &Key, turn: &mut Turn<'_>) -> bool {
        let held = self.workers.iter().enumerate().find_map(|(at, worker)| {
            worker.leases.iter().enumerate().find_map(|(lease_at, lease)| {
                let unsettled = lease.positions(lease.done, lease.len);
                let offset = lease.chunk.identities().find(key, unsettled)? - lease.start;
                lease.holds(offset).then_some((at, lease_at, offset))
            })
        });
        let Some((at, lease_at, offset)) = held else { return false };
        let worker = &mut self.workers[at];
        let lease = &mut worker.leases[lease_at];
        let case = lease.case_mut(offset);
        if std::mem::replace(&mut case.cancelled, true) {
            return true;
        }
        match worker.state {
            State::Ready(_) => {
                turn.push(Command::CancelItem(worker.id, lease.id, offset));
                if lease.take_back == TakeBack::NotAsked {
                    lease.take_back = TakeBack::Asked;
                    turn.push(Command::TakeBack(worker.id, lease.id));
                }
                worker.cancel_deadline.get_or_insert(turn.now + self.policy.stop_grace);
            }
            // It leaves, or is gone: the item comes back with its end.
            State::Stopping { .. } | State::Dying { .. } => {}
            State::Starting { .. } => unreachable!("a worker that starts holds nothing"),
        }
        true
    }

    /// What was not given back has begun: now it is there to be interrupted.
    pub(super) fn interrupt_cancelled(&mut self, at: usize, lease_at: usize, turn: &mut Turn<'_>) {
        let worker = &self.workers[at];
        let lease = &worker.leases[lease_at];
        for case in lease.cases.iter().filter(|case| case.cancelled) {
            turn.push(Command::CancelItem(worker.id, lease.id, case.position - lease.start));
        }
    }

    /// The grace is over.
    pub(super) fn expire_cancelled(&mut self, at: usize, turn: &mut Turn<'_>) {
        let worker = &mut self.workers[at];
        if worker.cancel_deadline.is_some_and(|deadline| deadline <= turn.now) {
            worker.cancel_deadline = None;
            let holds = worker.leases.iter().flat_map(|lease| &lease.cases).any(|case| case.cancelled);
            if holds && matches!(worker.state, State::Ready(_)) {
                self.kill(at, KillReason::ItemCancelled, None, turn);
            }
        }
    }

    /// Items that were cancelled before they came.
    pub(super) fn cancel_arrived(&mut self, chunk: &Arc<Chunk>, turn: &mut Turn<'_>) {
        if self.cancelled_ahead.is_empty() {
            return;
        }
        for position in 0..chunk.len() {
            if let Some(key) = self.cancelled_ahead.take(&chunk.identities().key(position)) {
                self.cancel_item(key, turn);
            }
        }
    }

    pub(super) fn settle_cancelled(&mut self, case: &Case, turn: &mut Turn<'_>) {
        let range = case.position..case.position + 1;
        let evidence = Evidence { kind: OutcomeKind::Cancelled.name().into(), ..Evidence::default() };
        self.ledger.commit(&case.chunk, range, case.attempts, Settled::Cancelled(evidence), turn);
    }
}

impl Case {
    fn is(&self, key: &Key) -> bool {
        self.chunk.identities().find(key, self.position..self.position + 1).is_some()
    }
}
