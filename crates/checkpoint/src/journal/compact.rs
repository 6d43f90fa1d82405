//! Sealed segments are written again without what does not count any more, beside commits.
//!
//! The new file is complete, synced and read back before it takes the name of the last segment that it holds, in one rename: a
//! crash leaves the old files or the new one. The others that it holds go when the directory is synced, and the blobs of outcomes that
//! went after them.

use super::append::{Appender, FrameKind};
use super::chain::Link;
use super::create::append_mark;
use super::fill::{Filler, STEP_MIN};
use super::garbage::{Effort, worst_stretch};
use super::lead::{Journal, lock};
use super::merge;
use super::reader::{Frame, FrameReader};
use super::rewrite::{Known, Tail};
use super::room::Room;
use super::scan;
use crate::blob::path_of;
use crate::disk::{DiskFile, OpenMode, write_all_at};
use crate::error::DamageKind;
use crate::format::frame::{FLAG_COMMIT, FrameKey, HEADER_LEN, TYPE_MARK, TYPE_RECORDS};
use crate::format::record::{LeaseItems, Record, put_dropped, spans};
use crate::format::segment::{COPY_OFFSETS, Compacted, FRAMES_START, SegmentHeader, file_name};
use crate::limits::GROUP_BYTES_CUT;
use crate::seeded::has_bug;
use crate::{CompactionReport, KeyRef, RecoveryReport, StoreError, random};
use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a compacted segment is called until it is complete.
const UNFINISHED: &str = "seg-unfinished";

/// What compaction shares with those it must not disturb.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Held by whoever compacts, and by whoever needs the files to stay as they are.
    pub(crate) turn: Mutex<()>,
    /// Files of the blobs that were put in this session: their outcomes may be yet to come.
    pub(crate) fresh_blobs: Mutex<HashSet<String>>,
}

/// Writes the frames of a compacted segment.
struct Writer<'a> {
    journal: &'a Journal,
    /// What a later outcome supersedes only counts as superseded if that one has at most this lsn: it cannot be lost then.
    bound: u64,
    leases_epoch: u64,
    alive: HashSet<u64>,
    appender: Appender,
    frame: Vec<u8>,
    count: u32,
    /// Outcomes at the end of `frame` that are left out and not yet written as such.
    pending: u32,
    dropped: u64,
    drops_blobs: bool,
    /// Records without an lsn that were looked at.
    number: u64,
}

impl Journal {
    /// Compacts what is worth it; nothing when somebody else needs the files as they are.
    pub(crate) fn compact(&self, effort: Effort) -> Result<CompactionReport, StoreError> {
        let mut gone = CompactionReport::default();
        let _turn = match (effort, self.compaction.turn.try_lock()) {
            (_, Ok(turn)) => turn,
            (Effort::Worthwhile, Err(_)) => return Ok(gone),
            (Effort::All, Err(_)) => lock(&self.compaction.turn),
        };
        let mut drops_blobs = effort == Effort::All;
        while let Some((range, bound)) = self.find_stretch(effort)? {
            let before = lock(&self.chain).clone();
            let written = self.write_compacted(&before.links[range.start..=range.end], bound);
            // What stays of it is removed by the next attempt.
            let (header, drops) =
                written.inspect_err(|_| drop(self.disk.remove_file(&self.dir.join(UNFINISHED))))?;
            let compacted = header.compacted.expect("it says what it was made from");
            drops_blobs |= drops;
            let old = &before.links[range.clone()];
            let dropped_before: u64 = old.iter().filter_map(|link| link.compacted).map(|c| c.dropped).sum();
            let outcomes = compacted.dropped - dropped_before;
            if outcomes == 0 && old.len() == 1 {
                break;
            }
            self.take_place(&header, old.first().map_or(0, |first| first.seq))?;
            gone.segments += old.len() as u64 - 1;
            gone.outcomes += outcomes;
            gone.bytes += old.iter().map(|link| link.end).sum::<u64>().saturating_sub(compacted.end);
        }
        if drops_blobs {
            gone.blobs = self.sweep_blobs()?;
        }
        Ok(gone)
    }

    /// The segments to compact next, by their places in the chain, and up to which lsn outcomes cannot be lost.
    fn find_stretch(&self, effort: Effort) -> Result<Option<(Range<usize>, u64)>, StoreError> {
        let bound = lock(&self.head).head.snapshot_lsn;
        let links = lock(&self.chain).links.clone();
        if bound == 0 || links.len() < 2 {
            return Ok(None);
        }
        let count = self.behind_snapshots(&links, bound)?;
        if count == 0 {
            return Ok(None);
        }
        let held = self.held(&links[..=count], count)?;
        Ok(worst_stretch(&held, effort).map(|range| (range, bound)))
    }

    /// Writes what counts of all links but the last, which follows them, and syncs it; whether outcomes with blobs were left out.
    pub(super) fn write_compacted(
        &self,
        links: &[Link],
        bound: u64,
    ) -> Result<(SegmentHeader, bool), StoreError> {
        let (next, old) = links.split_last().expect("what is sealed has a successor");
        let (first, last) = (self.header_of(old[0].seq)?, self.header_of(old[old.len() - 1].seq)?);
        let sealed = self.header_of(next.seq)?.prev;
        let absorbs = last.seq - first.seq + u64::from(first.absorbs);
        let mut header = SegmentHeader {
            salt: random::number()?,
            prev: first.prev,
            absorbs: u32::try_from(absorbs).expect("a job is not opened four billion times"),
            compacted: None,
            ..last
        };
        let path = self.dir.join(UNFINISHED);
        let failed = |op, error| StoreError::io(op, &path, error);
        // If it is there and cannot be removed, creating it fails.
        let _ = self.disk.remove_file(&path);
        let file: Arc<dyn DiskFile> =
            Arc::from(self.disk.open(&path, OpenMode::CreateNew).map_err(|error| failed("create", error))?);
        let mut writer = self.writer(header, &path, &file, bound)?;
        let tails: Vec<_> = old.iter().map(|link| self.tail_of(link, link.end)).collect();
        writer.write(&tails)?;
        let place = writer.appender.place();
        header.compacted = Some(Compacted {
            end: place.end,
            chain: place.chain,
            dropped: writer.dropped,
            sealed_end: sealed.end,
            sealed_chain: sealed.chain,
        });
        for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
            write_all_at(file.as_ref(), &header.encode(copy as u16), offset)
                .map_err(|error| failed("write to", error))?;
        }
        if !has_bug("a compacted segment takes its name before it is synced") {
            file.sync_data().map_err(|error| failed("sync", error))?;
        }
        let is_whole = place.next_lsn == sealed.next_lsn && reads_back(&file, &path, &header)?;
        if is_whole { Ok((header, writer.drops_blobs)) } else { Err(damaged(&path, place.end)) }
    }

    fn writer(
        &self,
        header: SegmentHeader,
        path: &Path,
        file: &Arc<dyn DiskFile>,
        bound: u64,
    ) -> Result<Writer<'_>, StoreError> {
        let filler = Filler::new(file.clone(), Room::new(&self.disk, &self.dir), FRAMES_START, STEP_MIN);
        let mut appender = Appender::new(header, path.to_owned(), file.clone(), filler);
        append_mark(&mut appender)?;
        Ok(Writer {
            journal: self,
            bound,
            leases_epoch: lock(&self.state).index.leases_epoch(),
            alive: HashSet::new(),
            appender,
            frame: vec![0; HEADER_LEN],
            count: 0,
            pending: 0,
            dropped: 0,
            drops_blobs: false,
            number: 0,
        })
    }

    /// Gives the finished file its name, beside readers and commits, and removes what it holds.
    pub(super) fn take_place(&self, header: &SegmentHeader, first_seq: u64) -> Result<(), StoreError> {
        let path = self.dir.join(file_name(header.seq));
        if has_bug("segments go before the compacted one that holds them is there") {
            merge::remove_absorbed(self.disk.as_ref(), &self.dir, &[Link::new(header)]);
        }
        {
            // Whoever reads by the chain as it was finds that it has changed, and looks again.
            let mut chain = lock(&self.chain);
            let ends = (chain.position_of_seq(first_seq), chain.position_of_seq(header.seq));
            let (Some(first), Some(last)) = ends else { return Ok(()) };
            self.disk
                .rename(&self.dir.join(UNFINISHED), &path)
                .map_err(|error| StoreError::io("rename to", &path, error))?;
            chain.replace(first..last + 1, header);
        }
        // What is on the disk now is whole, old or new; but nothing may rest on which of them it is.
        let synced = self.disk.sync_dir(&self.dir).map_err(|error| StoreError::io("sync", &self.dir, error));
        synced.inspect_err(|error| self.fail(error.clone()))?;
        merge::remove_absorbed(self.disk.as_ref(), &self.dir, &lock(&self.chain).links.clone());
        Ok(())
    }

    fn header_of(&self, seq: u64) -> Result<SegmentHeader, StoreError> {
        let found = scan::load(self.disk.as_ref(), &self.dir, seq, &mut RecoveryReport::default())?;
        found.header.map_err(|_| StoreError::corrupt(&found.path, 0, DamageKind::SegmentHeader, 1))
    }

    pub(super) fn tail_of(&self, link: &Link, to: u64) -> Tail {
        Tail { path: self.dir.join(file_name(link.seq)), key: link.key, from: FRAMES_START, to }
    }
}

impl Writer<'_> {
    fn write(&mut self, tails: &[Tail]) -> Result<(), StoreError> {
        let journal = self.journal;
        let disk = journal.disk.as_ref();
        let mut known = Known::default();
        for tail in tails {
            tail.each(disk, |frame| known.take_in(frame).ok_or_else(|| tail.damaged(frame.offset)))?;
        }
        self.alive = known.alive();
        for tail in tails {
            tail.each(disk, |frame| match frame.header.kind {
                // It said what was durable in the old segment.
                TYPE_MARK => Ok(()),
                TYPE_RECORDS => self.take(frame),
                kind => {
                    self.flush()?;
                    self.frame.extend_from_slice(frame.body);
                    self.append(FrameKind { kind, flags: frame.header.flags & !FLAG_COMMIT, count: 0 })
                }
            })?;
        }
        self.flush()
    }

    /// Takes the records of a frame that still count.
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        let mut lsn = frame.header.first_lsn;
        let mut found = Vec::new();
        // They were read once: see `write`.
        for (record, bytes) in spans(frame.body).map_while(Result::ok) {
            let outcomes = record.outcomes();
            found.push((record, bytes, lsn));
            lsn += u64::from(outcomes);
        }
        let counts: Vec<bool> = {
            let state = lock(&self.journal.state);
            found.iter().map(|(record, _, lsn)| self.still_counts(record, *lsn, &state.index)).collect()
        };
        for ((record, bytes, _), counts) in found.iter().zip(counts) {
            let is_alive = record.outcomes() > 0 || self.alive.contains(&self.number);
            self.number += 1;
            if u64::from(self.count) + u64::from(self.pending) + u64::from(record.outcomes())
                > u32::MAX.into()
            {
                self.flush()?;
            }
            if counts && is_alive {
                self.keep(bytes, record.outcomes());
            } else {
                self.leave_out(record);
            }
            if self.frame.len() >= GROUP_BYTES_CUT {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, record: &Record<'_>) {
        self.pending += record.outcomes();
        for blob in record.blobs() {
            self.drops_blobs = true;
            if has_bug("blobs go before the compaction that drops their outcomes") {
                let _ = self.journal.disk.remove_file(&path_of(&self.journal.dir, blob));
            }
        }
    }

    /// Whether nothing durable behind a record, whose lsn or next lsn this is, makes it void.
    fn still_counts(&self, record: &Record<'_>, lsn: u64, index: &crate::index::Index) -> bool {
        let is_settled = |key: KeyRef<'_>, from: u64| {
            index.outcome_lsn(key).is_some_and(|newest| newest >= from && newest <= self.bound)
        };
        match record {
            Record::CompletedRun { .. } | Record::Added { .. } | Record::Other => true,
            Record::Dropped { .. } => false,
            Record::Completed { item, .. }
            | Record::CompletedBlob { item, .. }
            | Record::CompletedFiles { item, .. }
            | Record::SetAside { item, .. } => {
                let later = if has_bug("compaction drops the newest outcome") { lsn } else { lsn + 1 };
                !is_settled(item.key, later)
            }
            Record::Note { .. } | Record::SavedState { .. }
                if has_bug("compaction drops what is known of unsettled items") =>
            {
                false
            }
            Record::Note { key, .. } => !is_settled(*key, lsn),
            Record::SavedState { item, .. } => !is_settled(item.key, lsn),
            Record::LeaseStarted { epoch, items, .. } => {
                let is_open = |items: &LeaseItems<'_>| match items {
                    LeaseItems::Ordinals { .. } => true,
                    LeaseItems::Key(key) => !is_settled(KeyRef::Bytes(key), lsn),
                };
                *epoch >= self.leases_epoch && items.iter().any(is_open)
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], outcomes: u32) {
        self.put_pending();
        self.frame.extend_from_slice(bytes);
        self.count += outcomes;
    }

    fn put_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending > 0 {
            put_dropped(&mut self.frame, pending);
            self.count += pending;
            self.dropped += u64::from(pending);
        }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.put_pending();
        if self.frame.len() == HEADER_LEN {
            return Ok(());
        }
        let count = std::mem::take(&mut self.count);
        self.append(FrameKind { kind: TYPE_RECORDS, flags: 0, count })
    }

    fn append(&mut self, kind: FrameKind) -> Result<(), StoreError> {
        self.appender.append(kind, &mut self.frame)?;
        self.frame.truncate(HEADER_LEN);
        Ok(())
    }
}

/// Whether the file holds what its header says.
fn reads_back(file: &Arc<dyn DiskFile>, path: &Path, header: &SegmentHeader) -> Result<bool, StoreError> {
    let Some(compacted) = &header.compacted else { return Ok(false) };
    let key = FrameKey::new(header.salt, header.epoch, header.seq);
    let mut reader = FrameReader::new(file.clone(), path, key, FRAMES_START, compacted.end);
    let mut chain = 0;
    while let Some(frame) = reader.next_frame()? {
        chain = frame.header.chain(chain, frame.body_crc);
    }
    Ok(reader.offset() == compacted.end && chain == compacted.chain)
}

fn damaged(path: &Path, at: u64) -> StoreError {
    StoreError::io(
        "write to",
        path,
        std::io::Error::other(format!("what was written does not read back up to {at}")),
    )
}

#[cfg(test)]
#[path = "compact_test.rs"]
mod tests;
