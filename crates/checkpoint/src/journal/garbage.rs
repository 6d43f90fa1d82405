//! How much of the sealed segments still counts, and which of them are worth writing again.

use super::chain::Link;
use super::lead::{Journal, lock};
use super::restore;
use crate::StoreError;
use crate::disk::OpenMode;
use crate::format::segment::FRAMES_START;
use crate::format::snapshot::{file_name, parse_file_name};
use crate::limits::{COMPACT_BYTES_MAX, SEGMENT_LEN_MAX};
use std::ops::Range;

/// How much has to be garbage before segments are written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// More than half of their bytes: each byte is written again once at most for each byte that goes.
    Worthwhile,
    /// Anything at all: the host has asked.
    All,
}

/// What a sealed segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Bytes of its frames.
    bytes: u64,
    /// Outcomes in them, and how many of those still count.
    outcomes: u64,
    live: u64,
}

impl Held {
    /// Bytes that stay, if outcomes are of one length.
    fn live_bytes(&self) -> u64 {
        if self.outcomes == 0 {
            return 0;
        }
        (u128::from(self.bytes) * u128::from(self.live) / u128::from(self.outcomes)) as u64
    }
}

/// The segments in a row whose compaction gains most; `None` when it is not worth it anywhere.
pub(crate) fn worst_stretch(sealed: &[Held], effort: Effort) -> Option<Range<usize>> {
    let factor = match effort {
        Effort::Worthwhile => 2,
        Effort::All => 1,
    };
    // What the segment that takes their place costs whatever is in it.
    let fixed = -factor * FRAMES_START as i64;
    let mut best = (0, None);
    let (mut first, mut gain, mut bytes, mut kept) = (0, fixed, 0, 0);
    for (position, held) in sealed.iter().enumerate() {
        let live = held.live_bytes();
        let is_too_long = kept + live > SEGMENT_LEN_MAX || bytes + held.bytes > COMPACT_BYTES_MAX;
        if gain <= fixed || is_too_long {
            (first, gain, bytes, kept) = (position, fixed, 0, 0);
        }
        gain += (FRAMES_START + held.bytes) as i64 - factor * live as i64;
        bytes += held.bytes;
        kept += live;
        let is_progress = first < position || held.live < held.outcomes;
        if gain > best.0 && is_progress {
            best = (gain, Some(first..position + 1));
        }
    }
    best.1
}

impl Journal {
    /// What the first `count` segments hold. Blocks nobody for longer than it takes to look at one part in 256 of the keys.
    pub(crate) fn held(&self, links: &[Link], count: usize) -> Result<Vec<Held>, StoreError> {
        let mut live = vec![0; count];
        let end_lsn = links[count].first_lsn;
        let mut part = 0;
        let has_ordinals = loop {
            let state = lock(&self.state);
            state.check_failure()?;
            let Some(lsns) = state.index.lsns_of_part(part) else {
                break !state.index.done_ordinals().is_empty();
            };
            for lsn in lsns.filter(|lsn| *lsn < end_lsn) {
                let position = links[..count].partition_point(|link| link.first_lsn <= lsn);
                if let Some(live) = position.checked_sub(1).and_then(|position| live.get_mut(position)) {
                    *live += 1;
                }
            }
            drop(state);
            part += 1;
        };
        let held = links.windows(2).zip(live).map(|(pair, live)| {
            let dropped = pair[0].compacted.map_or(0, |compacted| compacted.dropped);
            let outcomes = pair[1].first_lsn - pair[0].first_lsn - dropped;
            // An ordinal has one outcome for ever.
            let live = if has_ordinals { outcomes } else { live };
            Held { bytes: pair[0].end - FRAMES_START, outcomes, live }
        });
        Ok(held.collect())
    }

    /// How many of the first segments no snapshot continues in, neither the newest nor the one that is kept behind it.
    pub(crate) fn behind_snapshots(&self, links: &[Link], snapshot_lsn: u64) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut is_found = false;
        let names =
            self.disk.read_dir(&self.dir).map_err(|error| StoreError::io("list", &self.dir, error))?;
        let lsns = names.iter().filter_map(|name| parse_file_name(name.to_str()?));
        for lsn in lsns.filter(|lsn| *lsn <= snapshot_lsn) {
            let path = self.dir.join(file_name(lsn));
            let failed = |error| StoreError::io("read", &path, error);
            let file = self.disk.open(&path, OpenMode::Read).map_err(failed)?;
            let len = file.len().map_err(failed)?;
            let Some(footer) = restore::footer(file.as_ref(), len).map_err(failed)? else { continue };
            if let Some(position) = links.iter().position(|link| link.seq == footer.place.seq) {
                count = if is_found { position.min(count) } else { position };
                is_found = true;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::inside_test::{commit_key, fill_keys, keyed_job, rotate};

    fn held(bytes: u64, outcomes: u64, live: u64) -> Held {
        Held { bytes, outcomes, live }
    }

    #[test]
    fn what_is_mostly_garbage_is_chosen_and_what_counts_beside_it_is_left_alone() {
        let sealed =
            [held(1 << 20, 10, 10), held(1 << 20, 10, 1), held(1 << 20, 10, 2), held(1 << 20, 10, 9)];
        assert_eq!(worst_stretch(&sealed, Effort::Worthwhile), Some(1..3));
        assert_eq!(worst_stretch(&sealed, Effort::All), Some(0..4));
        assert_eq!(worst_stretch(&sealed[..1], Effort::All), None);
        assert_eq!(worst_stretch(&[held(1 << 20, 10, 6)], Effort::Worthwhile), None);
        assert_eq!(worst_stretch(&[held(1 << 20, 10, 4)], Effort::Worthwhile), Some(0..1));
    }

    #[test]
    fn what_is_left_of_many_becomes_one_and_one_alone_stays() {
        let empty = held(60, 0, 0);
        assert_eq!(worst_stretch(&[empty], Effort::Worthwhile), None);
        assert_eq!(worst_stretch(&[empty; 5], Effort::Worthwhile), Some(0..5));
    }

    #[test]
    fn no_segment_becomes_longer_than_segments_are() {
        let full = held(SEGMENT_LEN_MAX, 10, 4);
        assert_eq!(worst_stretch(&[full; 9], Effort::Worthwhile), Some(0..2));
        assert_eq!(worst_stretch(&[], Effort::All), None);
    }

    #[test]
    fn a_segment_that_takes_the_place_of_others_is_not_for_nothing() {
        const FIXED: u64 = FRAMES_START;
        assert_eq!(worst_stretch(&[held(FIXED, 10, 0)], Effort::Worthwhile), None);
        assert_eq!(worst_stretch(&[held(FIXED + 1, 10, 0)], Effort::Worthwhile), Some(0..1));
        assert_eq!(worst_stretch(&[held(60, 0, 0)], Effort::All), None, "no outcome would go");
    }

    #[test]
    fn a_stretch_may_be_as_long_as_its_bounds_and_no_longer() {
        let half = held(SEGMENT_LEN_MAX, 2, 1);
        assert_eq!(worst_stretch(&[half; 3], Effort::All), Some(0..2), "one whole segment stays");
        let garbage = held(COMPACT_BYTES_MAX / 2, 2, 0);
        assert_eq!(worst_stretch(&[garbage; 3], Effort::All), Some(0..2));
    }

    #[test]
    fn what_sealed_segments_hold_is_counted() {
        let (_dir, job) = keyed_job();
        fill_keys(&job, 1);
        rotate(&job);
        fill_keys(&job, 2);
        commit_key(&job, "a", 1, b"output");
        rotate(&job);
        commit_key(&job, "a", 2, b"output");
        let journal = &job.journal;
        let links = || lock(&journal.chain).links.clone();
        let bytes = |position: usize| links()[position].end - FRAMES_START;
        assert_eq!(journal.held(&links(), 2).unwrap(), [held(bytes(0), 5, 0), held(bytes(1), 6, 5)]);

        let (header, _) = journal.write_compacted(&links(), u64::MAX).unwrap();
        assert_eq!((header.seq, header.absorbs), (2, 1));
        journal.take_place(&header, 1).unwrap();
        assert_eq!(links().iter().map(|link| link.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(journal.held(&links(), 1).unwrap(), [held(bytes(0), 5, 5)], "six were left out");
    }
}
