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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::Pin;
    use crate::journal::test_file::TestFile;
    use std::sync::Arc;

    /// Where merging begins when segments of these lengths are there and the last `begun` of them go anyway.
    fn first(lens: &[u64], begun: usize, kept: usize) -> usize {
        let header = |seq: u64, prev_len: u64| SegmentHeader {
            store: [1; 16],
            job: [2; 16],
            seq,
            epoch: seq,
            salt: seq,
            prev: Pin { seq: seq - 1, end: FRAMES_START + prev_len, chain: 0, next_lsn: 1 },
            absorbs: 0,
            compacted: None,
        };
        let found: Vec<_> = (0..lens.len())
            .map(|at| Found {
                seq: at as u64 + 1,
                path: "seg".into(),
                len: 0,
                file: Arc::new(TestFile::default()),
                header: Ok(header(at as u64 + 1, if at == 0 { 0 } else { lens[at - 1] })),
            })
            .collect();
        let path: Vec<_> = found.iter().map(|found| (found, found.header.as_ref().unwrap())).collect();
        let end = FRAMES_START + lens.last().unwrap();
        Accepted { path: &path, end, kept }.first_to_merge(begun)
    }

    #[test]
    fn segments_that_are_not_much_longer_than_what_is_taken_in_are_taken_in_too() {
        const MIN: u64 = MERGE_BYTES_MIN;
        assert_eq!(first(&[MIN], 1, 0), 0);
        assert_eq!(first(&[MIN + 1], 1, 0), 1);
        assert_eq!(first(&[MIN, MIN], 2, 0), 0);
        assert_eq!(first(&[MIN, MIN], 2, 1), 1, "a snapshot refers to the first");
        assert_eq!(first(&[6 * MIN, 2 * MIN, MIN], 3, 0), 0, "twice what is taken in, then twice that");
        assert_eq!(first(&[6 * MIN + 1, 2 * MIN, MIN], 3, 0), 1);
        assert_eq!(first(&[10 * MIN, 5 * MIN], 1, 0), 0, "the last one goes anyway and counts");
        assert_eq!(first(&[10 * MIN + 1, 5 * MIN], 1, 0), 1);
        assert_eq!(first(&[MERGE_BYTES_MAX / 2, MERGE_BYTES_MAX / 2], 1, 0), 0);
        assert_eq!(first(&[MERGE_BYTES_MAX / 2 + 1, MERGE_BYTES_MAX / 2], 1, 0), 1);
    }
}
