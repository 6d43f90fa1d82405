//! Which segment files there are, and which of them ever became part of the journal.

use super::reader::FrameReader;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::error::DamageKind;
use crate::format::frame::FrameKey;
use crate::format::head::Head;
use crate::format::segment::{
    COPY_OFFSETS, FRAMES_START, HEADER_LEN, HeaderFault, SegmentHeader, VERSION, parse_file_name,
};
use crate::seeded::has_bug;
use crate::{RecoveryReport, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: Result<SegmentHeader, HeaderFault>,
}

/// Opens every segment of the job whose number is below `end`, and reads its header.
pub(crate) fn load_segments(
    disk: &dyn Disk,
    dir: &Path,
    head: &Head,
    end: u64,
    report: &mut RecoveryReport,
) -> Result<BTreeMap<u64, Found>, StoreError> {
    let names = disk.read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    let mut segments = BTreeMap::new();
    let seqs = names.iter().filter_map(|name| parse_file_name(name.to_str()?));
    for seq in seqs.filter(|seq| *seq < end) {
        let found = load(disk, dir, seq, report)?;
        match found.header {
            Err(HeaderFault::Newer(version)) => {
                return Err(StoreError::NewerVersion {
                    path: found.path,
                    found: version,
                    known: VERSION.into(),
                });
            }
            Err(HeaderFault::Damaged) if seq == head.seq => {
                return Err(StoreError::corrupt(&found.path, 0, DamageKind::SegmentHeader, 1));
            }
            Ok(header)
                if !has_bug("a segment of another job is accepted")
                    && (header.seq != seq || header.job != head.job || header.store != head.store) =>
            {
                return Err(StoreError::corrupt(&found.path, 0, DamageKind::ForeignSegment, 1));
            }
            Ok(_) | Err(HeaderFault::Damaged) => {}
        }
        segments.insert(seq, found);
    }
    Ok(segments)
}

pub(crate) fn load(
    disk: &dyn Disk,
    dir: &Path,
    seq: u64,
    report: &mut RecoveryReport,
) -> Result<Found, StoreError> {
    let path = dir.join(crate::format::segment::file_name(seq));
    let failed = |op, error| StoreError::io(op, &path, error);
    let file: Arc<dyn DiskFile> =
        Arc::from(disk.open(&path, OpenMode::Read).map_err(|error| failed("open", error))?);
    let len = file.len().map_err(|error| failed("read", error))?;
    let mut copies = Vec::new();
    for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
        let mut bytes = vec![0; len.saturating_sub(offset).min(HEADER_LEN as u64) as usize];
        read_exact_at(file.as_ref(), &mut bytes, offset).map_err(|error| failed("read", error))?;
        copies.push(SegmentHeader::decode(&bytes, copy as u16));
    }
    let header = copies.iter().find(|copy| **copy != Err(HeaderFault::Damaged)).copied();
    let damaged = copies.iter().filter(|copy| copy.is_err()).count() as u32;
    if header.is_some() {
        report.header_copies_damaged += damaged;
    }
    Ok(Found { seq, path, len, file, header: header.unwrap_or(Err(HeaderFault::Damaged)) })
}

impl Found {
    /// The segment's frames, up to `end`.
    pub(crate) fn reader(&self, header: &SegmentHeader, end: u64) -> FrameReader {
        self.reader_from(header, FRAMES_START, end)
    }

    pub(crate) fn reader_from(&self, header: &SegmentHeader, from: u64, end: u64) -> FrameReader {
        let key = FrameKey::new(header.salt, header.epoch, header.seq);
        FrameReader::new(self.file.clone(), &self.path, key, from, end)
    }

    /// Whether intact frames lead up to a COMMIT. If not, the segment's creation never ended, and nothing in it counts;
    /// unless something says that it once was durable.
    pub(crate) fn is_committed(&self, header: &SegmentHeader, head_seq: u64) -> Result<bool, StoreError> {
        let mut reader = self.reader(header, self.len);
        while let Some(frame) = reader.next_frame()? {
            if frame.header.is_commit() || has_bug("a segment counts before its COMMIT") {
                return Ok(true);
            }
        }
        let at = reader.offset();
        if head_seq == self.seq || reader.judge_rest()?.claimed_end > at {
            return Err(StoreError::corrupt(&self.path, at, DamageKind::Frame, header.prev.next_lsn));
        }
        Ok(false)
    }
}
