//! Reads outcomes back, in order of their lsn, also while more are written.

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::DamageKind;
use crate::format::bytes::Malformed;
use crate::format::frame::TYPE_RECORDS;
use crate::format::segment::{FRAMES_START, file_name};
use crate::index::Standing;
use crate::journal::chain::Chain;
use crate::journal::reader::FrameReader;
use crate::lent_frame::LentFrame;
use crate::{KeyRef, OutcomeRecord, OutcomeRef, StoreError};
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
/// [`Self::lend_next`] lends each from the frame that was read, whose checksum was right; as an iterator it copies each.
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
    /// What is left of the cursor's last frame.
    lent: LentFrame,
    has_failed: bool,
}

struct Cursor {
    position: usize,
    reader: FrameReader,
}

impl Cursor {
    fn corrupt(&self, at: u64, what: DamageKind, after: u64) -> StoreError {
        StoreError::corrupt(self.reader.path(), at, what, after + 1)
    }
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
            lent: LentFrame::default(),
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
        self.after
    }

    /// The next outcome, lent from the frame that was read, whose checksum was right. After an error there is none.
    ///
    /// # Errors
    /// Those of reading, and [`StoreError::Corrupt`].
    pub fn lend_next(&mut self) -> Option<Result<OutcomeRef<'_>, StoreError>> {
        if self.has_failed {
            return None;
        }
        match self.find() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.has_failed = true;
                return Some(Err(error));
            }
        }
        let cursor = self.cursor.as_ref().expect("what was found is in its frame");
        let Ok(outcome) = self.lent.lend(cursor.reader.body()) else {
            self.has_failed = true;
            return Some(Err(cursor.corrupt(self.lent.at(), DamageKind::Records, self.after)));
        };
        self.after = outcome.lsn;
        Some(Ok(outcome))
    }

    /// Whether there is an outcome to lend.
    fn find(&mut self) -> Result<bool, StoreError> {
        while !self.lent.has_next() {
            self.after = self.after.max(self.lent.last());
            if !self.read_frame()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the next frame that holds something wanted; false at the durable end.
    #[inline(never)] // once in many outcomes
    fn read_frame(&mut self) -> Result<bool, StoreError> {
        loop {
            match self.read_frame_of_chain() {
                // The segment was replaced by one that holds the same, perhaps under its name.
                Err(_) if self.view.progress().0 != self.chain.version => self.cursor = None,
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
            let Some(header) = cursor.reader.peek_header()? else {
                return Err(cursor.corrupt(at, DamageKind::Frame, self.after));
            };
            let last = header.first_lsn + u64::from(header.count) - 1;
            if header.kind != TYPE_RECORDS || header.count == 0 || last <= self.after {
                cursor.reader.skip(&header);
                continue;
            }
            let Some(frame) = cursor.reader.next_frame()? else {
                return Err(cursor.corrupt(at, DamageKind::Frame, self.after));
            };
            let (view, skip_gone) = (&self.view, self.skip_gone);
            let wanted = |keyed: &[(KeyRef<'_>, u64)]| {
                let standing = view.standing(keyed).into_iter();
                standing
                    .map(|standing| {
                        standing == Standing::Current || (standing == Standing::Gone && !skip_gone)
                    })
                    .collect()
            };
            if let Err(Malformed) = self.lent.begin(&frame, self.after, wanted) {
                return Err(cursor.corrupt(at, DamageKind::Records, self.after));
            }
            if self.lent.has_next() {
                return Ok(Step::Outcomes);
            }
            self.after = last;
        }
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
        self.lend_next().map(|outcome| outcome.map(OutcomeRef::into_record))
    }
}
