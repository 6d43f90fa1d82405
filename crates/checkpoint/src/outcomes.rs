//! Reads outcomes back, in order of their lsn, also while more are written.

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DamageKind;
use crate::format::evidence;
use crate::format::frame::TYPE_RECORDS;
use crate::format::record::{Item, Record, records};
use crate::format::segment::{FRAMES_START, file_name};
use crate::index::Standing;
use crate::journal::chain::Chain;
use crate::journal::reader::{Frame, FrameReader};
use crate::{KeyRef, OutcomeBody, OutcomeRecord, StoreError};
use cofferdam_pipeline_core::{Fingerprint, Key, OutcomeKind, entries};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a reader learns what is durable and what still counts.
pub(crate) trait View: Send + Sync {
    fn chain(&self) -> Chain;
    /// The version of the chain and how far it is durable, cheaply.
    fn progress(&self) -> (u64, u64, u64);
    /// The file of a segment, when the view holds it open.
    fn file(&self, _seq: u64) -> Option<Arc<dyn DiskFile>> {
        None
    }
    /// Whether each of these outcomes still counts.
    fn standing(&self, outcomes: &[(KeyRef<'_>, u64)]) -> Vec<Standing>;
}

/// Durable outcomes in order of their lsn, without those that a later one supersedes.
///
/// Not fused: `None` means that there are no more *yet*. Asked again after more commits, it goes on.
pub struct Outcomes {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    view: Arc<dyn View>,
    skip_gone: bool,
    /// Outcomes up to and including this one are not wanted any more.
    after: u64,
    chain: Chain,
    cursor: Option<Cursor>,
    ready: VecDeque<OutcomeRecord>,
    has_failed: bool,
}

struct Cursor {
    position: usize,
    reader: FrameReader,
}

impl Outcomes {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, view: Arc<dyn View>, after: u64) -> Self {
        let chain = view.chain();
        Self {
            disk,
            dir: dir.to_owned(),
            view,
            skip_gone: false,
            after,
            chain,
            cursor: None,
            ready: VecDeque::new(),
            has_failed: false,
        }
    }

    /// Leaves out outcomes of keys that the source no longer has, by the pass that [`crate::JobStore::begin_pass`] began.
    #[must_use]
    pub fn without_gone(mut self) -> Self {
        self.skip_gone = true;
        self
    }

    /// The lsn of the last outcome that was given, or passed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.ready.front().map_or(self.after, |next| next.lsn - 1)
    }

    fn advance(&mut self) -> Result<Option<OutcomeRecord>, StoreError> {
        loop {
            if let Some(outcome) = self.ready.pop_front() {
                return Ok(Some(outcome));
            }
            if !self.read_frame()? {
                return Ok(None);
            }
        }
    }

    /// Reads the next frame that holds something wanted; false at the durable end.
    fn read_frame(&mut self) -> Result<bool, StoreError> {
        loop {
            match self.read_frame_of_chain() {
                // The segment was replaced by one that holds the same.
                Err(error) if error.is_missing_file() && self.view.progress().0 != self.chain.version => {
                    self.cursor = None;
                }
                result => return result,
            }
        }
    }

    fn read_frame_of_chain(&mut self) -> Result<bool, StoreError> {
        let (version, durable_end, durable_lsn) = self.view.progress();
        if version != self.chain.version {
            self.chain = self.view.chain();
            self.cursor = None;
        }
        if version == self.chain.version {
            self.chain.durable_end = durable_end;
            self.chain.durable_lsn = durable_lsn;
        }
        loop {
            if self.after >= self.chain.durable_lsn {
                return Ok(false);
            }
            let mut cursor = match self.cursor.take() {
                Some(cursor) => cursor,
                None => self.open(self.chain.position_of(self.after + 1), FRAMES_START)?,
            };
            cursor.reader.set_end(self.chain.readable_end(cursor.position));
            let done = self.read_from(&mut cursor)?;
            let is_sealed = cursor.position + 1 < self.chain.links.len();
            match done {
                Step::Outcomes => {
                    self.cursor = Some(cursor);
                    return Ok(true);
                }
                Step::End if is_sealed => self.cursor = Some(self.open(cursor.position + 1, FRAMES_START)?),
                Step::End => {
                    self.cursor = Some(cursor);
                    return Ok(false);
                }
            }
        }
    }

    fn read_from(&mut self, cursor: &mut Cursor) -> Result<Step, StoreError> {
        loop {
            let at = cursor.reader.offset();
            let end = self.chain.readable_end(cursor.position);
            if at >= end {
                return Ok(Step::End);
            }
            let damaged = StoreError::corrupt(cursor.reader.path(), at, DamageKind::Frame, self.after + 1);
            let header = cursor.reader.peek_header()?.ok_or_else(|| damaged.clone())?;
            let last = header.first_lsn + u64::from(header.count) - 1;
            if header.kind != TYPE_RECORDS || header.count == 0 || last <= self.after {
                cursor.reader.skip(&header);
                continue;
            }
            let frame = cursor.reader.next_frame()?.ok_or(damaged)?;
            let ready = self.decode(&frame)?;
            self.after = last;
            if !ready.is_empty() {
                self.ready = ready;
                return Ok(Step::Outcomes);
            }
        }
    }

    fn decode(&self, frame: &Frame<'_>) -> Result<VecDeque<OutcomeRecord>, StoreError> {
        let malformed = || StoreError::corrupt(&self.dir, frame.offset, DamageKind::Records, self.after + 1);
        let mut lsn = frame.header.first_lsn;
        let mut found = Vec::new();
        for record in records(frame.body) {
            let record = record.map_err(|_| malformed())?;
            push(&record, lsn, self.after, &mut found).ok_or_else(malformed)?;
            lsn += u64::from(record.outcomes());
        }
        let keyed: Vec<_> = found
            .iter()
            .filter_map(|outcome| match &outcome.key {
                Key::Ordinal(_) => None,
                Key::Bytes(bytes) => Some((KeyRef::Bytes(bytes), outcome.lsn)),
            })
            .collect();
        if keyed.is_empty() {
            return Ok(found.into());
        }
        let mut standing = self.view.standing(&keyed).into_iter();
        drop(keyed);
        found.retain(|outcome| match outcome.key {
            Key::Ordinal(_) => true,
            Key::Bytes(_) => match standing.next().expect("one for each outcome with a key") {
                Standing::Current => true,
                Standing::Superseded => false,
                Standing::Gone => !self.skip_gone,
            },
        });
        Ok(found.into())
    }

    fn open(&self, position: usize, offset: u64) -> Result<Cursor, StoreError> {
        let link = &self.chain.links[position];
        let path = self.dir.join(file_name(link.seq));
        let file = match self.view.file(link.seq) {
            Some(file) => file,
            None => Arc::from(
                self.disk
                    .open(&path, OpenMode::Read)
                    .map_err(|error| StoreError::io("open", &path, error))?,
            ),
        };
        let end = self.chain.readable_end(position);
        Ok(Cursor { position, reader: FrameReader::new(file, &path, link.key, offset, end) })
    }
}

enum Step {
    Outcomes,
    End,
}

impl Iterator for Outcomes {
    type Item = Result<OutcomeRecord, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.advance();
        self.has_failed = next.is_err();
        next.transpose()
    }
}

/// Adds the outcomes of a record that come after `after`; `None` when it is malformed.
fn push(record: &Record<'_>, lsn: u64, after: u64, out: &mut Vec<OutcomeRecord>) -> Option<()> {
    let mut one = |item: &Item<'_>, kind, attempts, step, body| {
        if lsn > after {
            let (key, fingerprint): (Key, Option<Fingerprint>) = (item.key.to_key(), item.fingerprint);
            out.push(OutcomeRecord { lsn, key, fingerprint, kind, attempts, step, body });
        }
    };
    match *record {
        Record::CompletedRun { first, count, attempts, step, entries: bytes } => {
            let mut outputs = entries(bytes);
            for i in 0..u64::from(count) {
                let output = outputs.next()?.ok()?;
                if lsn + i > after {
                    out.push(OutcomeRecord {
                        lsn: lsn + i,
                        key: Key::Ordinal(first + i),
                        fingerprint: None,
                        kind: OutcomeKind::Completed,
                        attempts,
                        step,
                        body: OutcomeBody::Output(output.to_vec()),
                    });
                }
            }
            return outputs.next().is_none().then_some(());
        }
        Record::Completed { ref item, attempts, step, output } => {
            one(item, OutcomeKind::Completed, attempts, step, OutcomeBody::Output(output.to_vec()));
        }
        Record::CompletedBlob { ref item, attempts, step, blob } => {
            one(item, OutcomeKind::Completed, attempts, step, OutcomeBody::Blob(blob));
        }
        Record::SetAside { ref item, kind, attempts, step, evidence: bytes } => {
            let evidence = evidence::decode(bytes).ok()?;
            one(item, kind, attempts, step, OutcomeBody::Evidence(evidence));
        }
        Record::Note { .. } | Record::LeaseStarted { .. } => {}
        Record::SavedState { .. } | Record::Added { .. } | Record::Other => {}
    }
    Some(())
}
