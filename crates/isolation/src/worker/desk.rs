//! What lies on a worker's desk: leases to do, the item in hand, replies to send. Plain data under the session's lock.

use super::Lease;
use crate::protocol::Replies;
use crate::recorder::SLOTS_MAX;
use cofferdam_pipeline_core::{LeaseId, push_entry_len};
use std::collections::VecDeque;

/// Leases that may wait; a host that sends more breaks the protocol. It keeps two on their way, and of a worker of many items at once
/// two for each of them: they may hold one item each, and all wait while the processor's thread is kept busy by the first.
pub(crate) const LEASES_WAITING_MAX: usize = 2 * SLOTS_MAX as usize;

/// The host sent more leases than it may.
#[derive(Debug, thiserror::Error)]
#[error("more than {LEASES_WAITING_MAX} leases wait")]
pub(crate) struct TooManyLeases;

/// What the processor's thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The next item of the lease in hand is its own.
    Item,
    /// The lease in hand has no more items.
    LeaseDone,
    /// The worker was asked to leave.
    Stop,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    waiting: VecDeque<Lease>,
    in_hand: Option<InHand>,
    pending: Pending,
    /// Items under way that are no longer of the lease in hand, perhaps.
    open: u32,
    stopping: bool,
}

/// The part of the current lease that others ask about.
#[derive(Debug)]
struct InHand {
    lease: LeaseId,
    /// Items that were claimed: the next one's offset.
    claimed: u32,
    /// One past the last item that may be claimed; taking items back lowers it.
    end: u32,
}

/// Finished replies of consecutive items of one lease.
#[derive(Debug, Default)]
struct Pending {
    lease: LeaseId,
    offset: u32,
    count: u32,
    bytes: Vec<u8>,
}

impl Desk {
    /// Adds a lease behind the others.
    pub(crate) fn put(&mut self, lease: Lease) -> Result<(), TooManyLeases> {
        if self.waiting.len() >= LEASES_WAITING_MAX {
            return Err(TooManyLeases);
        }
        self.waiting.push_back(lease);
        Ok(())
    }

    /// Takes the next lease in hand.
    pub(crate) fn take_lease(&mut self) -> Option<Lease> {
        debug_assert!(self.in_hand.is_none(), "one lease at a time");
        let lease = self.waiting.pop_front()?;
        self.in_hand = Some(InHand { lease: lease.id, claimed: 0, end: lease.count });
        Some(lease)
    }

    /// Claims the next item of the lease in hand; from then on nobody can take it back.
    pub(crate) fn claim(&mut self) -> Claim {
        if self.stopping {
            self.in_hand = None;
            return Claim::Stop;
        }
        match &mut self.in_hand {
            Some(lease) if lease.claimed < lease.end => {
                lease.claimed += 1;
                Claim::Item
            }
            Some(_) | None => {
                self.in_hand = None;
                Claim::LeaseDone
            }
        }
    }

    /// Takes the unclaimed items of a lease back: the offset from which on they will not be processed, `None` when the
    /// lease is not here (any more).
    pub(crate) fn take_back(&mut self, lease: LeaseId) -> Option<u32> {
        if let Some(in_hand) = self.in_hand.as_mut().filter(|in_hand| in_hand.lease == lease) {
            in_hand.end = in_hand.claimed;
            return Some(in_hand.end);
        }
        let at = self.waiting.iter().position(|waiting| waiting.id == lease)?;
        self.waiting.remove(at);
        Some(0)
    }

    /// Keeps a finished reply; the length of all that are kept.
    pub(crate) fn push(&mut self, lease: LeaseId, offset: u32, output: &[u8]) -> usize {
        let pending = &mut self.pending;
        if pending.count == 0 {
            (pending.lease, pending.offset) = (lease, offset);
        }
        debug_assert!(pending.lease == lease && pending.offset + pending.count == offset, "sent in between");
        pending.count += 1;
        push_entry_len(&mut pending.bytes, output.len());
        pending.bytes.extend_from_slice(output);
        pending.bytes.len()
    }

    /// Moves the finished replies into `bytes`, which must be empty.
    pub(crate) fn take_pending(&mut self, slot: u32, bytes: &mut Vec<u8>) -> Option<Replies> {
        debug_assert!(bytes.is_empty(), "sent and cleared");
        let pending = &mut self.pending;
        let count = std::mem::take(&mut pending.count);
        if count == 0 {
            return None;
        }
        std::mem::swap(bytes, &mut pending.bytes);
        Some(Replies { lease: pending.lease.0, slot, offset: pending.offset, count })
    }

    /// Whether the reply to this item can be kept behind those that are.
    pub(crate) fn follows(&self, lease: LeaseId, offset: u32) -> bool {
        let pending = &self.pending;
        pending.count == 0 || (pending.lease == lease && pending.offset + pending.count == offset)
    }

    /// One of many items is under way.
    pub(crate) fn opened(&mut self) {
        self.open += 1;
    }

    /// It has ended.
    pub(crate) fn closed(&mut self) {
        self.open -= 1;
    }

    /// Whether an item might be claimed.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.in_hand.as_ref().is_some_and(|lease| lease.claimed < lease.end)
    }

    /// No item is claimed any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the worker was asked to leave.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether there is anything to do or to send.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_hand.is_some() || !self.waiting.is_empty() || self.pending.count > 0 || self.open > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{Items, Saved};

    fn lease(number: u32) -> Lease {
        let items = Items::Received(vec![1, 7].into());
        Lease { id: LeaseId(number), attempt: 1, count: 1, items, saved_state: Saved::Nothing, staged: None }
    }

    #[test]
    fn two_leases_of_one_item_may_wait_for_each_that_is_open_at_once_while_none_is_taken() {
        let mut desk = Desk::default();
        for number in 1..=2 * SLOTS_MAX {
            desk.put(lease(number)).unwrap();
        }
        assert!(desk.put(lease(0)).is_err());
    }
}
