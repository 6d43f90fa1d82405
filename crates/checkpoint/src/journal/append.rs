//! Appends frames to the segment that is open for writing.

use super::fill::Filler;
use super::rewrite::Tail;
use super::room::Reserve;
use crate::StoreError;
use crate::disk::{DiskFile, write_all_at};
use crate::format::frame::{FrameHeader, FrameKey, HEADER_LEN, TRAILER_LEN, TYPE_MARK};
use crate::format::segment::{FRAMES_START, Pin, SegmentHeader};
use crate::format::snapshot::SnapshotPlace;
use crate::seeded::has_bug;
use crate::store::parent_of;
use std::path::PathBuf;
use std::sync::Arc;

/// The end of a journal.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    file: Arc<dyn DiskFile>,
    key: FrameKey,
    filler: Arc<Filler>,
    /// Where the next frame goes.
    offset: u64,
    chain: u32,
    next_lsn: u64,
    /// Up to where a sync has succeeded.
    durable_end: u64,
}

/// What kind of frame to append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameKind {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// Outcomes in it.
    pub(crate) count: u32,
}

impl Appender {
    /// Appends at the start of a new segment.
    pub(crate) fn new(
        header: SegmentHeader,
        path: PathBuf,
        file: Arc<dyn DiskFile>,
        filler: Arc<Filler>,
    ) -> Self {
        Self {
            key: FrameKey::new(header.salt, header.epoch, header.seq),
            next_lsn: header.prev.next_lsn,
            header,
            path,
            file,
            filler,
            offset: FRAMES_START,
            chain: 0,
            durable_end: FRAMES_START,
        }
    }

    /// Writes one frame whose body lies at `frame[HEADER_LEN..]`. After an error the segment must not be written to again.
    pub(crate) fn append(&mut self, kind: FrameKind, frame: &mut Vec<u8>) -> Result<(), StoreError> {
        debug_assert!(frame.len() >= HEADER_LEN, "space for the header is reserved");
        let mut undurable = self.offset - self.durable_end;
        if has_bug("a frame claims durability before its sync") {
            undurable = 0;
        }
        let header = FrameHeader {
            body_len: 0,
            first_lsn: self.next_lsn,
            count: kind.count,
            undurable: u32::try_from(undurable).expect("segments stay far below 4 GiB"),
            kind: kind.kind,
            flags: kind.flags,
            header_crc: 0,
        };
        let mut header = header.seal(&self.key, self.offset, frame);
        if let Err(error) = self.write(kind, frame) {
            if !(has_bug("a partial write before a full disk is left in the way") && error.is_no_space()) {
                return Err(error);
            }
            self.offset += frame.len() as u64 / 2;
            frame.truncate(frame.len() - TRAILER_LEN);
            header = header.seal(&self.key, self.offset, frame);
            self.write(kind, frame)?;
        }
        let body_crc =
            frame.last_chunk().map(|bytes| u32::from_le_bytes(*bytes)).expect("a frame has a trailer");
        self.chain = header.chain(self.chain, body_crc);
        self.offset += frame.len() as u64;
        self.next_lsn += u64::from(kind.count);
        Ok(())
    }

    fn write(&self, kind: FrameKind, frame: &[u8]) -> Result<(), StoreError> {
        let reserve = if kind.kind == TYPE_MARK { Reserve::Used } else { Reserve::Kept };
        self.filler
            .before_append(self.offset + frame.len() as u64, reserve)
            .and_then(|()| write_all_at(self.file.as_ref(), frame, self.offset))
            .map_err(|error| StoreError::io("write to", &self.path, error))
    }

    /// What a sync has to cover: call it on the file without holding the appender.
    pub(crate) fn sync_target(&self) -> SyncTarget {
        SyncTarget { file: self.file.clone(), path: self.path.clone(), end: self.offset }
    }

    pub(crate) fn synced(&mut self, end: u64) {
        self.durable_end = self.durable_end.max(end);
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn durable_end(&self) -> u64 {
        self.durable_end
    }

    /// All frames of the segment.
    pub(crate) fn whole(&self) -> Tail {
        Tail { path: self.path.clone(), key: self.key, from: FRAMES_START, to: self.offset }
    }

    /// Where a reader that knows all before can go on.
    pub(crate) fn place(&self) -> SnapshotPlace {
        SnapshotPlace {
            seq: self.header.seq,
            salt: self.header.salt,
            end: self.offset,
            chain: self.chain,
            next_lsn: self.next_lsn,
        }
    }

    /// Where a successor takes over; everything is durable.
    pub(crate) fn pin(&self) -> Pin {
        debug_assert_eq!(self.offset, self.durable_end, "a successor takes over durable frames only");
        Pin { seq: self.header.seq, end: self.offset, chain: self.chain, next_lsn: self.next_lsn }
    }
}

/// A file to sync, and how far it was written when the sync began.
#[derive(Debug)]
pub(crate) struct SyncTarget {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    pub(crate) end: u64,
}

impl SyncTarget {
    /// Makes what was written durable. Never called again on the same segment after an error.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut synced = self.file.sync_data();
        if synced.is_err() && has_bug("a failed sync is tried again") {
            synced = self.file.sync_data();
        }
        synced.map_err(|error| StoreError::io("sync", &self.path, error))?;
        self.still_there()
    }

    /// A removed file takes writes and syncs as before, and all of it is gone when it is closed: nothing in it may be acknowledged.
    pub(crate) fn still_there(&self) -> Result<(), StoreError> {
        let is_linked =
            self.file.is_linked().map_err(|error| StoreError::io("look at", &self.path, error))?;
        if is_linked || has_bug("a removed segment is not noticed") {
            return Ok(());
        }
        Err(StoreError::Removed { path: parent_of(&self.path).to_owned() })
    }
}
