//! Items without a history that no worker holds, in source order.

use crate::{Chunk, Key};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Consecutive items of one chunk.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) chunk: Arc<Chunk>,
    pub(super) range: Range<u32>,
}

/// Runs in the order in which they are handed out. Bounded by the credit that the source gets.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    runs: VecDeque<Run>,
    items: u64,
    bytes: usize,
}

impl ReadyQueue {
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn push_back(&mut self, chunk: Arc<Chunk>, range: Range<u32>) {
        if !range.is_empty() {
            self.count_in(&chunk, &range);
            self.runs.push_back(Run { chunk, range });
        }
    }

    /// Gives items back: they are the next to be handed out.
    pub(super) fn push_front(&mut self, chunk: &Arc<Chunk>, range: Range<u32>) {
        if range.is_empty() {
            return;
        }
        self.count_in(chunk, &range);
        match self.runs.front_mut() {
            Some(front) if front.range.start == range.end && Arc::ptr_eq(&front.chunk, chunk) => {
                front.range.start = range.start;
            }
            _ => self.runs.push_front(Run { chunk: chunk.clone(), range }),
        }
    }

    /// Takes consecutive items from the front: at most `items_max` items and `bytes_max` bytes, at least one item.
    pub(super) fn take(&mut self, items_max: u32, bytes_max: usize) -> Option<Run> {
        let front = self.runs.front_mut()?;
        let end = front.chunk.take(front.range.start, front.range.end, items_max, bytes_max);
        let taken = Run { chunk: front.chunk.clone(), range: front.range.start..end };
        front.range.start = end;
        if front.range.is_empty() {
            self.runs.pop_front();
        }
        self.items -= u64::from(taken.range.end - taken.range.start);
        self.bytes -= taken.chunk.slice_len(&taken.range);
        Some(taken)
    }

    /// Takes out the item with this key.
    pub(super) fn remove(&mut self, key: &Key) -> Option<(Arc<Chunk>, u32)> {
        let found = self.runs.iter().enumerate().find_map(|(at, run)| {
            let position = run.chunk.identities().find(key, run.range.clone())?;
            Some((at, position))
        });
        let (at, position) = found?;
        let run = &mut self.runs[at];
        let chunk = run.chunk.clone();
        let behind = position + 1..run.range.end;
        run.range.end = position;
        if !behind.is_empty() {
            self.runs.insert(at + 1, Run { chunk: chunk.clone(), range: behind });
        }
        if self.runs[at].range.is_empty() {
            self.runs.remove(at);
        }
        self.items -= 1;
        self.bytes -= chunk.slice_len(&(position..position + 1));
        Some((chunk, position))
    }

    fn count_in(&mut self, chunk: &Chunk, range: &Range<u32>) {
        self.items += u64::from(range.end - range.start);
        self.bytes += chunk.slice_len(range);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::test_chunk::chunk;

    #[test]
    fn what_is_taken_out_no_longer_counts() {
        let mut queue = ReadyQueue::default();
        let chunk = chunk(3);
        queue.push_back(chunk.clone(), 0..3);
        let bytes = queue.bytes();
        queue.remove(&Key::Ordinal(1)).expect("it is there");
        assert_eq!((queue.items(), queue.bytes()), (2, bytes - chunk.slice_len(&(1..2))));
        queue.remove(&Key::Ordinal(0)).expect("it is there");
        queue.remove(&Key::Ordinal(2)).expect("it is there");
        assert_eq!((queue.items(), queue.bytes(), queue.runs()), (0, 0, 0));
    }
}
