//! A worker's exclusive right to consecutive items.

use super::case::Case;
use crate::{Chunk, LeaseId};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// The largest lease whose items may end in any order: their results are bits of one word.
pub(super) const UNORDERED_ITEMS_MAX: u32 = u64::BITS;

/// Items `0..len` of the lease are positions `start..start + len` of the chunk; items before `done` are settled.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) chunk: Arc<Chunk>,
    pub(super) start: u32,
    /// Shrinks when unstarted items come back.
    pub(super) len: u32,
    pub(super) done: u32,
    /// Settled items behind one that is not, by offset; only where items may end in any order.
    ahead: u64,
    /// Histories of items that have one: that of the only item, or what came up while the worker had the lease.
    pub(super) cases: Vec<Case>,
    pub(super) take_back: TakeBack,
}

/// Whether the unstarted items of a lease were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeBack {
    NotAsked,
    /// The answer is on its way.
    Asked,
    /// What is left was started: asking again would be pointless, for ever.
    Answered,
}

/// What a lease gives up: items without a history, as positions in order, and those with one.
pub(super) struct GivenUp {
    pub(super) runs: Vec<Range<u32>>,
    pub(super) cases: Vec<Case>,
}

impl Lease {
    pub(super) fn new(id: LeaseId, chunk: Arc<Chunk>, positions: &Range<u32>, case: Option<Case>) -> Self {
        Self {
            id,
            chunk,
            start: positions.start,
            len: positions.end - positions.start,
            done: 0,
            ahead: 0,
            cases: case.into_iter().collect(),
            take_back: TakeBack::NotAsked,
        }
    }

    pub(super) fn unsettled(&self) -> u32 {
        self.len - self.done - self.ahead.count_ones()
    }

    /// Which try this is, counting from 1. (Items of a lease of several have not been tried.)
    pub(super) fn attempt(&self) -> u32 {
        self.cases.first().map_or(0, |case| case.attempts).saturating_add(1)
    }

    /// Whether the item at `offset` has no result yet and is still the worker's.
    pub(super) fn holds(&self, offset: u32) -> bool {
        (self.done..self.len).contains(&offset) && !self.is_ahead(offset)
    }

    /// Whether it holds `count` items from `offset` on, at least one.
    pub(super) fn holds_run(&self, offset: u32, count: u32) -> bool {
        let Some(end) = offset.checked_add(count) else { return false };
        count > 0
            && offset >= self.done
            && end <= self.len
            && (self.ahead == 0 || (offset..end).all(|o| self.holds(o)))
    }

    /// The items at `offset..offset + count`, which it holds, have results.
    pub(super) fn settle(&mut self, offset: u32, count: u32) {
        if offset == self.done {
            self.done += count;
        } else {
            (offset..offset + count).for_each(|o| self.ahead |= 1 << o);
        }
        while self.is_ahead(self.done) {
            self.ahead &= !(1 << self.done);
            self.done += 1;
        }
    }

    /// Positions in the chunk of the items `from..to` of the lease.
    pub(super) fn positions(&self, from: u32, to: u32) -> Range<u32> {
        self.start + from..self.start + to
    }

    /// The case of the item at `offset`, a new one if nothing was known about it.
    pub(super) fn take_case(&mut self, offset: u32) -> Case {
        let position = self.start + offset;
        match self.cases.iter().position(|case| case.position == position) {
            Some(at) => self.cases.remove(at),
            None => Case::new(self.chunk.clone(), position),
        }
    }

    /// Whether anything is known about the item at `offset`.
    pub(super) fn has_case(&self, offset: u32) -> bool {
        self.cases.iter().any(|case| case.position == self.start + offset)
    }

    /// The case of the item at `offset`, kept here.
    pub(super) fn case_mut(&mut self, offset: u32) -> &mut Case {
        let case = self.take_case(offset);
        self.cases.push(case);
        self.cases.last_mut().expect("just pushed")
    }

    /// Takes the unsettled items from `from` on out of the lease; those in `charged` are dealt with already.
    pub(super) fn give_up(&mut self, from: u32, charged: &BTreeSet<u32>) -> GivenUp {
        let from = from.max(self.done);
        let first = self.start + from;
        let cases: Vec<_> = self.cases.extract_if(.., |case| case.position >= first).collect();
        let ahead = (from..self.len.min(UNORDERED_ITEMS_MAX)).filter(|&offset| self.is_ahead(offset));
        let mut apart: BTreeSet<u32> =
            cases.iter().map(|case| case.position - self.start).chain(ahead).collect();
        apart.extend(charged.range(from..));
        let mut runs = Vec::new();
        let mut begin = from;
        for end in apart.into_iter().filter(|&offset| offset < self.len).chain([self.len]) {
            if begin < end {
                runs.push(self.positions(begin, end));
            }
            begin = end + 1;
        }
        self.len = from;
        self.ahead &= 1u64.checked_shl(from).map_or(u64::MAX, |bit| bit - 1);
        GivenUp { runs, cases }
    }

    /// Whether no item from `from` on has a result.
    pub(super) fn is_untouched_from(&self, from: u32) -> bool {
        from >= self.done && self.ahead.checked_shr(from).is_none_or(|bits| bits == 0)
    }

    fn is_ahead(&self, offset: u32) -> bool {
        self.ahead.checked_shr(offset).is_some_and(|bits| bits & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::test_chunk::chunk;

    /// Items 10 to 13 of a chunk.
    fn lease_of_four() -> Lease {
        Lease::new(LeaseId(1), chunk(20), &(10..14), None)
    }

    #[test]
    fn what_ended_ahead_of_others_is_settled() {
        let mut lease = lease_of_four();
        lease.settle(2, 1);
        assert_eq!((lease.done, lease.unsettled()), (0, 3));
        lease.settle(0, 2);
        assert_eq!((lease.done, lease.unsettled()), (3, 1));
    }

    #[test]
    fn only_the_items_that_something_is_known_about_have_a_case() {
        let mut lease = lease_of_four();
        lease.case_mut(2);
        assert_eq!([0, 1, 2, 3].map(|offset| lease.has_case(offset)), [false, false, true, false]);
    }

    #[test]
    fn what_ended_before_the_items_that_are_given_up_stays_settled() {
        let mut lease = lease_of_four();
        lease.settle(1, 1);
        let given_up = lease.give_up(3, &BTreeSet::new());
        assert!(given_up.runs.iter().eq([&(13..14)]) && given_up.cases.is_empty());
        assert_eq!([0, 1, 2, 3].map(|offset| lease.holds(offset)), [true, false, true, false]);
        assert_eq!(lease.unsettled(), 2);
    }
}
