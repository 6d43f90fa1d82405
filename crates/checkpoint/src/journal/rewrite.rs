//! Copies what counts of old segments to the start of a new one: what was not known to be durable, and short segments whole.

use super::append::{Appender, FrameKind};
use super::reader::FrameReader;
use crate::StoreError;
use crate::disk::{Disk, OpenMode};
use crate::error::DamageKind;
use crate::format::frame::{FLAG_COMMIT, FrameKey, HEADER_LEN, TYPE_MARK, TYPE_RECORDS};
use crate::format::record::{Record, spans};
use crate::limits::LEASES_PER_WORKER_MAX;
use crate::seeded::has_bug;
use cofferdam_pipeline_core::Key;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// A stretch of intact frames.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    pub(crate) key: FrameKey,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Appends what counts of `tails`. Outcomes keep their lsns, since `appender` continues where the first one begins.
pub(crate) fn rewrite(disk: &dyn Disk, tails: &[Tail], appender: &mut Appender) -> Result<(), StoreError> {
    let mut known = Known::default();
    for tail in tails {
        tail.each(disk, |frame| known.take_in(frame).ok_or_else(|| tail.damaged(frame.offset)))?;
    }
    let alive = known.alive();
    let mut number = 0;
    let mut out = Vec::new();
    let newest = known.outcomes;
    for tail in tails {
        tail.each(disk, |frame| {
            let header = &frame.header;
            let records = number;
            number += if header.kind == TYPE_RECORDS { spans(frame.body).count() as u64 } else { 0 };
            out.clear();
            out.resize(HEADER_LEN, 0);
            match header.kind {
                // It said what was durable in the old segment.
                TYPE_MARK => return Ok(()),
                // Records without lsns are there for what comes after them, and much of that has come.
                TYPE_RECORDS if header.count == 0 => {
                    for (number, span) in (records..).zip(spans(frame.body)) {
                        let (_, bytes) = span.map_err(|_| tail.damaged(frame.offset))?;
                        if alive.contains(&number)
                            && !has_bug("rewriting drops what is known of unsettled items")
                        {
                            out.extend_from_slice(bytes);
                        }
                    }
                    if out.len() == HEADER_LEN {
                        return Ok(());
                    }
                }
                _ => out.extend_from_slice(frame.body),
            }
            let is_newest = header.count > 0 && header.first_lsn + u64::from(header.count) == newest;
            if is_newest && has_bug("rewriting drops the newest outcomes") {
                return Ok(());
            }
            // Only the frame that completes the new segment may say COMMIT: until then it is not a successor.
            let kept = if has_bug("a rewritten frame keeps its COMMIT") { FLAG_COMMIT } else { 0 };
            let flags = header.flags & (!FLAG_COMMIT | kept);
            appender.append(FrameKind { kind: header.kind, flags, count: header.count }, &mut out)
        })?;
    }
    Ok(())
}

/// Which of the records without an lsn still say something that nothing behind them says, or makes void. They are numbered as
/// they come.
#[derive(Debug, Default)]
pub(super) struct Known {
    records: u64,
    /// The lsn behind the last outcome.
    outcomes: u64,
    notes: HashMap<Key, u64>,
    states: HashMap<Key, u64>,
    lease_epoch: u64,
    leases: BTreeMap<u32, VecDeque<u64>>,
    /// Of whose later outcome it says that its item was added, or kinds that this version does not know.
    others: Vec<u64>,
}

impl Known {
    /// `None` when the records make no sense.
    pub(super) fn take_in(&mut self, frame: &super::reader::Frame<'_>) -> Option<()> {
        if frame.header.kind != TYPE_RECORDS {
            return Some(());
        }
        for span in spans(frame.body) {
            let (record, _) = span.ok()?;
            self.take_in_record(&record);
            self.records += 1;
        }
        if frame.header.count > 0 {
            self.outcomes = frame.header.first_lsn + u64::from(frame.header.count);
        }
        Some(())
    }

    fn take_in_record(&mut self, record: &Record<'_>) {
        let number = self.records;
        match record {
            Record::CompletedRun { first, count, .. } => {
                let is_of_run = |key: &Key| matches!(key, Key::Ordinal(n) if (*first..*first + u64::from(*count)).contains(n));
                self.notes.retain(|key, _| !is_of_run(key));
                self.states.retain(|key, _| !is_of_run(key));
            }
            Record::Completed { item, .. }
            | Record::CompletedBlob { item, .. }
            | Record::CompletedFiles { item, .. }
            | Record::SetAside { item, .. } => {
                let key = item.key.to_key();
                self.notes.remove(&key);
                self.states.remove(&key);
            }
            Record::Note { key, .. } => drop(self.notes.insert(key.to_key(), number)),
            Record::SavedState { item, .. } => drop(self.states.insert(item.key.to_key(), number)),
            Record::LeaseStarted { epoch, worker, .. } => {
                if *epoch > self.lease_epoch {
                    self.leases.clear();
                    self.lease_epoch = *epoch;
                }
                let leases = self.leases.entry(*worker).or_default();
                if leases.len() == LEASES_PER_WORKER_MAX {
                    leases.pop_front();
                }
                leases.push_back(number);
            }
            Record::Dropped { .. } => {}
            Record::Added { .. } | Record::Other => self.others.push(number),
        }
    }

    pub(super) fn alive(&self) -> HashSet<u64> {
        let leases = self.leases.values().flatten();
        let all = self.notes.values().chain(self.states.values()).chain(leases).chain(&self.others);
        all.copied().collect()
    }
}

impl Tail {
    pub(crate) fn len(&self) -> u64 {
        self.to - self.from
    }

    pub(super) fn each(
        &self,
        disk: &dyn Disk,
        mut take: impl FnMut(&super::reader::Frame<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let file = disk
            .open(&self.path, OpenMode::Read)
            .map_err(|error| StoreError::io("open", &self.path, error))?;
        let mut reader = FrameReader::new(Arc::from(file), &self.path, self.key, self.from, self.to);
        while reader.offset() < self.to {
            let at = reader.offset();
            let frame = reader.next_frame()?.ok_or_else(|| self.damaged(at))?;
            take(&frame)?;
        }
        Ok(())
    }

    pub(super) fn damaged(&self, at: u64) -> StoreError {
        StoreError::corrupt(&self.path, at, DamageKind::Frame, 0)
    }
}

#[cfg(test)]
#[path = "rewrite_test.rs"]
mod tests;
