//! Which stretches of which segments make up the journal, for those who read it while it is written.

use crate::format::frame::FrameKey;
use crate::format::segment::{Compacted, FRAMES_START, SegmentHeader};
use std::ops::Range;

/// The segments of a journal in order. Every one but the last ends where the next one takes over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    /// Rises whenever links are added or replaced.
    pub(crate) version: u64,
    pub(crate) links: Vec<Link>,
    /// How far the last segment is durable.
    pub(crate) durable_end: u64,
    pub(crate) durable_lsn: u64,
}

/// A segment's part of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) key: FrameKey,
    pub(crate) first_lsn: u64,
    /// The accepted end, unless it is the last one.
    pub(crate) end: u64,
    /// So many numbers before `seq` are of segments that this one replaces.
    pub(crate) absorbs: u32,
    pub(crate) compacted: Option<Compacted>,
}

impl Link {
    pub(super) fn new(header: &SegmentHeader) -> Self {
        Self {
            seq: header.seq,
            key: FrameKey::new(header.salt, header.epoch, header.seq),
            first_lsn: header.prev.next_lsn,
            end: header.compacted.map_or(FRAMES_START, |compacted| compacted.end),
            absorbs: header.absorbs,
            compacted: header.compacted,
        }
    }
}

impl Chain {
    /// Adds a segment behind those that it follows, and drops those that it absorbs.
    pub(crate) fn push(&mut self, header: &SegmentHeader) {
        while self.links.last().is_some_and(|last| last.seq != header.prev.seq) {
            self.links.pop();
        }
        if let Some(last) = self.links.last_mut().filter(|last| last.compacted.is_none()) {
            last.end = header.prev.end;
        }
        self.links.push(Link::new(header));
        self.version += 1;
        self.durable_end = FRAMES_START;
    }

    /// Puts a compacted segment in the place of those that it holds; `replaced` are sealed and in the chain.
    pub(crate) fn replace(&mut self, replaced: Range<usize>, header: &SegmentHeader) {
        self.links.splice(replaced, [Link::new(header)]);
        self.version += 1;
    }

    /// The position in `links` of the segment `seq`.
    pub(crate) fn position_of_seq(&self, seq: u64) -> Option<usize> {
        self.links.iter().position(|link| link.seq == seq)
    }

    /// The position in `links` of the segment that holds `lsn`, or would.
    pub(crate) fn position_of(&self, lsn: u64) -> usize {
        self.links.partition_point(|link| link.first_lsn <= lsn).saturating_sub(1)
    }

    /// Up to where the link may be read.
    pub(crate) fn readable_end(&self, position: usize) -> u64 {
        if position + 1 == self.links.len() { self.durable_end } else { self.links[position].end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::Pin;

    fn header(seq: u64, prev_seq: u64, prev_end: u64, next_lsn: u64) -> SegmentHeader {
        SegmentHeader {
            store: [1; 16],
            job: [2; 16],
            seq,
            epoch: 1,
            salt: seq,
            prev: Pin { seq: prev_seq, end: prev_end, chain: 0, next_lsn },
            absorbs: 0,
            compacted: None,
        }
    }

    #[test]
    fn a_chain_ends_each_link_where_the_next_takes_over_and_says_when_it_changed() {
        let mut chain = Chain::default();
        chain.push(&header(1, 0, 0, 1));
        chain.push(&header(2, 1, 9000, 11));
        chain.durable_end = 8500;
        assert_eq!(chain.version, 2);
        assert_eq!([0, 1, 10, 11, 99].map(|lsn| chain.position_of(lsn)), [0, 0, 0, 1, 1]);
        assert_eq!([0, 1].map(|position| chain.readable_end(position)), [9000, 8500]);
        // The third one takes in the second.
        chain.push(&header(3, 1, 9000, 11));
        assert_eq!(chain.links.iter().map(|link| link.seq).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((chain.version, chain.readable_end(1)), (3, FRAMES_START));
        // Both become one.
        chain.replace(0..2, &header(3, 0, 0, 1));
        assert_eq!(chain.links.iter().map(|link| link.seq).collect::<Vec<_>>(), [3]);
        assert_eq!(chain.version, 4, "each change has a number of its own");
    }
}
