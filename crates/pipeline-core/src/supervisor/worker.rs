//! One worker's life as the supervisor sees it.

use super::case::Case;
use super::lease::Lease;
use super::signs::Signs;
use crate::{KillReason, LeaseId, SlotNumber, Time, WorkerId};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

/// `Starting → Ready → Stopping → Dying`, each may be skipped; the verdict removes the worker.
#[derive(Debug)]
pub(super) enum State {
    /// Spawned; the handshake and `Processor::start` run.
    Starting {
        /// When `start` has taken too long.
        deadline: Time,
    },
    /// Takes leases.
    Ready(Duty),
    /// Asked to leave.
    Stopping {
        /// When it is killed.
        deadline: Time,
    },
    /// Gone or killed; a replacement may start; the verdict follows.
    Dying {
        /// Our own kill, if there was one.
        killed: Option<Kill>,
        /// When to kill it (again), or to give it up if that was done.
        deadline: Time,
    },
}

/// What a ready worker may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Any work.
    Open,
    /// Nothing while its only item is tried.
    Trial,
    /// Nothing more: it leaves when its leases are done.
    Retiring,
}

/// A kill of ours, remembered so that it is never mistaken for somebody else's.
#[derive(Debug)]
pub(super) struct Kill {
    pub(super) reason: KillReason,
    /// The item whose time was up, and whether the worker itself has said that it gave the item up because of the kill.
    pub(super) overdue: Option<Overdue>,
    /// It was lost before, so that the kill does not explain its death.
    pub(super) lost_before: bool,
}

/// An item whose time was up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overdue {
    pub(super) lease: LeaseId,
    pub(super) offset: u32,
    pub(super) gave_up: bool,
}

/// A worker that was spawned and whose verdict is not in.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) slot: SlotNumber,
    pub(super) state: State,
    /// In the order in which they were handed out.
    pub(super) leases: VecDeque<Lease>,
    /// Whether it was ever ready.
    pub(super) was_ready: bool,
    /// Whether it ever got a lease: trials need a fresh worker.
    pub(super) used: bool,
    /// Whether we asked it to leave, by a request or by a kill that blames nobody.
    pub(super) told_to_leave: bool,
    /// Whether it was told to hold its items.
    pub(super) paused: bool,
    /// Since when it has been working on what it works on now.
    pub(super) busy_since: Time,
    /// What its recorder showed.
    pub(super) signs: Signs,
    /// When it is killed because cancelled items have not ended.
    pub(super) cancel_deadline: Option<Time>,
    /// Items that it was given so far.
    pub(super) items: u64,
}

impl Worker {
    pub(super) fn new(id: WorkerId, slot: SlotNumber, now: Time, start_wall_max: Duration) -> Self {
        Self {
            id,
            slot,
            state: State::Starting { deadline: now + start_wall_max },
            leases: VecDeque::new(),
            was_ready: false,
            used: false,
            told_to_leave: false,
            paused: false,
            busy_since: now,
            signs: Signs::default(),
            cancel_deadline: None,
            items: 0,
        }
    }

    /// Whether it holds its place: no replacement yet.
    pub(super) fn holds_place(&self) -> bool {
        !matches!(self.state, State::Dying { .. })
    }

    /// When it was given so many items, it gets nothing more and leaves when its leases are done.
    pub(super) fn retire_after(&mut self, items_max: Option<NonZeroU64>) {
        let is_used_up = items_max.is_some_and(|max| self.items >= max.get());
        if is_used_up && matches!(self.state, State::Ready(Duty::Open)) {
            self.state = State::Ready(Duty::Retiring);
        }
    }

    /// Whether it is waiting for work of any kind.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready(Duty::Open)) && self.leases.is_empty()
    }

    /// Whether it takes leases.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Whether nothing was ever assigned to it.
    pub(super) fn is_fresh(&self) -> bool {
        !self.used && matches!(self.state, State::Starting { .. } | State::Ready(Duty::Open))
    }

    pub(super) fn unsettled(&self) -> u64 {
        self.leases.iter().map(|lease| u64::from(lease.unsettled())).sum()
    }

    pub(super) fn lease_position(&self, id: LeaseId) -> Option<usize> {
        self.leases.iter().position(|lease| lease.id == id)
    }

    /// Whether it still owes a result for this item.
    pub(super) fn holds(&self, lease: LeaseId, offset: u32) -> bool {
        self.leases.iter().any(|l| l.id == lease && l.holds(offset))
    }

    /// The case of an item that it holds.
    pub(super) fn take_case(&mut self, lease: LeaseId, offset: u32) -> Case {
        let at = self.lease_position(lease).expect("the caller has checked that the worker holds the item");
        self.leases[at].take_case(offset)
    }

    /// Items of the lease at `position` that it cannot have started: all but as many of the first unsettled ones as it
    /// has slots.
    pub(super) fn unstarted(&self, position: usize, slots: u32) -> u32 {
        let before = self.leases.range(..position).map(Lease::unsettled).fold(0, u32::saturating_add);
        self.leases[position].unsettled().saturating_sub(slots.saturating_sub(before))
    }

    /// Deadline of the state itself.
    pub(super) fn state_deadline(&self) -> Option<Time> {
        match self.state {
            State::Starting { deadline } | State::Stopping { deadline } | State::Dying { deadline, .. } => {
                Some(deadline)
            }
            State::Ready(_) => None,
        }
    }

    /// The clock stood still for `gap`.
    pub(super) fn extend(&mut self, gap: Duration) {
        match &mut self.state {
            State::Starting { deadline } | State::Stopping { deadline } | State::Dying { deadline, .. } => {
                *deadline = *deadline + gap;
            }
            State::Ready(_) => {}
        }
        self.busy_since = self.busy_since + gap;
        self.cancel_deadline = self.cancel_deadline.map(|deadline| deadline + gap);
        self.signs.extend(gap);
    }
}
