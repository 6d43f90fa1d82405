//! Which segments the next one replaces whole, and their removal.
//!
//! A segment of a job that is opened often holds little; left alone, they would fill the directory and slow every opening.
//! So a new segment takes in those before it that are not much longer than what it has taken in already: the lengths left
//! then double from one to the next, and each outcome is written again a few times at most.

use super::chain::Link;
use super::lead::Tip;
use super::rewrite::Tail;
use super::scan::Found;
use crate::disk::Disk;
use crate::format::frame::FrameKey;
use crate::format::segment::{FRAMES_START, SegmentHeader, parse_file_name};
use crate::limits::{MERGE_BYTES_MAX, MERGE_BYTES_MIN};
use std::path::Path;

/// Segments of a journal in order, and up to where each counts.
pub(crate) struct Accepted<'a> {
    pub(crate) path: &'a [(&'a Found, &'a SegmentHeader)],
    /// The accepted end of the last one.
    pub(crate) end: u64,
    /// Those before this position stay: a snapshot refers to them.
    pub(crate) kept: usize,
}

impl Accepted<'_> {
    fn end_of(&self, position: usize) -> u64 {
        let sealed = self.path.get(position + 1).map_or(self.end, |(_, successor)| successor.prev.end);
        self.path[position].1.compacted.map_or(sealed, |compacted| compacted.end)
    }

    /// The position of the first segment to replace, `begun` at the latest; `path.len()` for none.
    pub(crate) fn first_to_merge(&self, begun: usize) -> usize {
        let len_of = |position| self.end_of(position) - FRAMES_START;
        let mut first = begun;
        let mut bytes: u64 = (first..self.path.len()).map(len_of).sum();
        while first > self.kept {
            let len = len_of(first - 1);
            if len > MERGE_BYTES_MIN.max(2 * bytes) || bytes + len > MERGE_BYTES_MAX {
                break;
            }
            first -= 1;
            bytes += len;
        }
        first
    }

    /// Everything that counts from `first` on.
    pub(crate) fn tails(&self, first: usize) -> Vec<Tail> {
        let tail = |position: usize| {
            let (found, header) = self.path[position];
            Tail {
                path: found.path.clone(),
                key: FrameKey::new(header.salt, header.epoch, header.seq),
                from: FRAMES_START,
                to: self.end_of(position),
            }
        };
        (first..self.path.len()).map(tail).collect()
    }
}

/// When a segment is full and little of it still counts, because it holds saved states: the next one replaces it.
pub(crate) fn of_full_segment(tip: &Tip) -> Option<Tail> {
    let appender = &tip.appender;
    let counts = appender.offset() - FRAMES_START - tip.passing_bytes;
    (counts <= MERGE_BYTES_MAX).then(|| appender.whole())
}

/// Removes what segments of the journal replace; they are durable. What cannot be removed takes space until the next time.
pub(crate) fn remove_absorbed(disk: &dyn Disk, dir: &Path, links: &[Link]) {
    if links.iter().all(|link| link.absorbs == 0) {
        return;
    }
    let is_absorbed = |seq| links.iter().any(|by| (by.seq - u64::from(by.absorbs)..by.seq).contains(&seq));
    for name in disk.read_dir(dir).unwrap_or_default() {
        if name.to_str().and_then(parse_file_name).is_some_and(is_absorbed) {
            let removed = disk.remove_file(&dir.join(&name));
            tracing::debug!(?name, ?removed, "removed a segment that another one replaces");
        }
    }
}
