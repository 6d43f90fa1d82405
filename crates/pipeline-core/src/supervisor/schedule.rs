//! Who gets what, and how much is asked of the source.

use super::case::Case;
use super::lease::{Lease, TakeBack, UNORDERED_ITEMS_MAX};
use super::pace::Left;
use super::ready::Run;
use super::worker::{Duty, State, Worker};
use super::{Command, Phase, Source, Supervisor, Turn};
use crate::{Assignment, LeaseId, Time};
use std::ops::Range;
use std::sync::Arc;

/// Chunks that are asked for or ready, beyond one a worker.
const CHUNKS_AHEAD: u32 = 2;
/// Wire bytes that are ready; no chunk is asked for beyond it.
const READY_BYTES_MAX: usize = 8 << 20;

/// A lease whose unstarted items an idle worker should have.
pub(super) struct Stranded {
    worker: usize,
    lease: usize,
    /// From when on it pays to ask for them.
    pub(super) from: Time,
}

impl Supervisor {
    pub(super) fn schedule(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        self.dismiss_surplus(turn);
        if self.may_assign() {
            self.hold_trials(turn);
            if !self.is_exclusive() {
                self.assign_work(turn);
                self.level(turn);
            }
        }
        self.hire(turn);
        self.want_items(turn);
    }

    fn may_assign(&self) -> bool {
        self.is_store_open() && self.ledger.uncommitted_bytes() < self.policy.uncommitted_bytes_max
    }

    fn assign_work(&mut self, turn: &mut Turn<'_>) {
        while !(self.due.is_empty() && self.ready.is_empty()) {
            let Some(at) = self.least_loaded() else { return };
            if let Some(case) = self.due.pop_front() {
                self.assign_case(at, case, turn);
                continue;
            }
            let limits = &self.policy.lease;
            let items_max = self.lease_items(&self.workers[at]);
            let Some(Run { chunk, range }) = self.ready.take(items_max, limits.bytes_max) else { return };
            self.assign(at, chunk, range, None, turn);
        }
    }

    /// The worker with the fewest leases that may have one more. (While trials wait there is no fresh one among them:
    /// the trials took it.)
    fn least_loaded(&self) -> Option<usize> {
        let open =
            self.workers.iter().enumerate().filter(|(_, worker)| {
                matches!(worker.state, State::Ready(Duty::Open)) && self.has_room(worker)
            });
        open.min_by_key(|(_, worker)| self.load(worker)).map(|(at, _)| at)
    }

    /// What a worker has to do: leases; of several slots, items, since a lease may hold fewer than there are slots.
    fn load(&self, worker: &Worker) -> u64 {
        if self.has_slots() { worker.unsettled() } else { worker.leases.len() as u64 }
    }

    /// Leases, or items, that a worker may have.
    fn load_max(&self) -> u64 {
        let depth = u64::from(self.policy.lease.depth.max(if self.has_slots() { 2 } else { 1 }));
        depth * u64::from(self.policy.slots_per_worker.get())
    }

    /// Whether a worker is to get more: with slots, when as many results as slots have come, so that leases of several are
    /// worth a message.
    fn has_room(&self, worker: &Worker) -> bool {
        self.load(worker) <= self.load_max() - u64::from(self.policy.slots_per_worker.get())
    }

    /// Whether workers take several items at once and report them in any order.
    pub(super) fn has_slots(&self) -> bool {
        self.policy.slots_per_worker.get() > 1
    }

    /// Items that the next lease of a worker should hold.
    fn lease_items(&self, worker: &Worker) -> u32 {
        let left =
            self.policy.items_per_worker_max.map_or(u64::MAX, |max| max.get().saturating_sub(worker.items));
        let items = self.pace.lease_items(self.left()).min(u32::try_from(left).unwrap_or(u32::MAX));
        if self.has_slots() {
            let room = self.load_max() - self.load(worker);
            items.min(UNORDERED_ITEMS_MAX).min(u32::try_from(room).unwrap_or(u32::MAX))
        } else {
            items
        }
    }

    /// While the source delivers, what is ready goes to those who have nothing; after its end everybody shares the rest.
    fn left(&self) -> Left {
        let shares = if self.source == Source::Open {
            self.workers.iter().filter(|worker| worker.is_idle()).count() as u64
        } else {
            self.places_taken() * u64::from(self.policy.lease.depth.max(1))
        };
        Left { items: self.ready.items(), shares }
    }

    pub(super) fn assign_case(&mut self, at: usize, case: Case, turn: &mut Turn<'_>) {
        self.assign(at, case.chunk.clone(), case.position..case.position + 1, Some(case), turn);
    }

    fn assign(
        &mut self,
        at: usize,
        chunk: Arc<crate::Chunk>,
        positions: Range<u32>,
        case: Option<Case>,
        turn: &mut Turn<'_>,
    ) {
        self.last_lease = self.last_lease.checked_add(1).expect("four billion leases outlive any session");
        let saved_state = case.as_ref().and_then(|case| case.state_to_give(&self.policy));
        let lease = Lease::new(LeaseId(self.last_lease), chunk, &positions, case);
        let assignment = Assignment {
            lease: lease.id,
            attempt: lease.attempt(),
            chunk: lease.chunk.clone(),
            range: positions,
            saved_state,
        };
        let worker = &mut self.workers[at];
        if worker.leases.is_empty() {
            worker.busy_since = turn.now;
        }
        worker.used = true;
        worker.items += u64::from(lease.len);
        worker.retire_after(self.policy.items_per_worker_max);
        worker.leases.push_back(lease);
        turn.push(Command::Assign(worker.id, assignment));
    }

    /// A long item strands nobody: idle workers get the unstarted items behind it.
    fn level(&mut self, turn: &mut Turn<'_>) {
        while let Some(stranded) = self.stranded().filter(|stranded| stranded.from <= turn.now) {
            let worker = &mut self.workers[stranded.worker];
            let lease = &mut worker.leases[stranded.lease];
            lease.take_back = TakeBack::Asked;
            turn.push(Command::TakeBack(worker.id, lease.id));
        }
    }

    /// The lease to take back from: of the worker with the most unstarted items, while workers idle that no earlier
    /// request will feed.
    pub(super) fn stranded(&self) -> Option<Stranded> {
        let leases = self.workers.iter().flat_map(|worker| &worker.leases);
        let asked = leases.filter(|lease| lease.take_back == TakeBack::Asked).count();
        let idle = self.workers.iter().filter(|worker| worker.is_idle()).count();
        if asked >= idle {
            return None;
        }
        let slots = self.policy.slots_per_worker.get();
        let candidates = self.workers.iter().enumerate().filter_map(|(at, worker)| {
            let takeable = |&n: &usize| {
                worker.leases[n].take_back == TakeBack::NotAsked && worker.unstarted(n, slots) > 0
            };
            let lease =
                (0..worker.leases.len()).filter(takeable).max_by_key(|&n| worker.unstarted(n, slots))?;
            let unstarted =
                (0..worker.leases.len()).filter(takeable).map(|n| worker.unstarted(n, slots)).sum::<u32>();
            worker.holds_place().then_some((unstarted, at, lease))
        });
        let (unstarted, worker, lease) = candidates.max_by_key(|(unstarted, ..)| *unstarted)?;
        let busy_since = self.workers[worker].busy_since;
        let from = if self.pace.is_worth_taking_back(unstarted) {
            busy_since
        } else {
            busy_since + self.pace.long_item()
        };
        Some(Stranded { worker, lease, from })
    }

    /// When to look at stranded items again.
    pub(super) fn level_deadline(&self) -> Option<Time> {
        let looks = self.phase == Phase::Running && self.may_assign() && !self.is_exclusive();
        looks.then(|| self.stranded()).flatten().map(|stranded| stranded.from)
    }

    fn want_items(&mut self, turn: &mut Turn<'_>) {
        let chunks_max = self.capacity.saturating_add(CHUNKS_AHEAD) as usize;
        let wants = self.source == Source::Open
            && self.may_assign()
            && self.ready.bytes() < READY_BYTES_MAX
            && self.waiting() < u64::from(self.policy.waiting_items_max.max(1));
        while wants && self.ready.runs() + (self.chunks_asked as usize) < chunks_max {
            self.chunks_asked += 1;
            turn.push(Command::WantItems);
        }
    }
}
