//! Copies frames that were not known to be durable from an old segment to the start of a new one.

use super::append::{Appender, FrameKind};
use super::reader::FrameReader;
use crate::StoreError;
use crate::disk::{Disk, OpenMode};
use crate::error::DamageKind;
use crate::format::frame::{FLAG_COMMIT, FrameKey, HEADER_LEN};
use crate::seeded::has_bug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A stretch of intact frames.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) path: PathBuf,
    pub(crate) key: FrameKey,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Appends every frame of `tail`; they keep their lsns, since `appender` continues where the tail begins.
pub(crate) fn rewrite(disk: &dyn Disk, tail: &Tail, appender: &mut Appender) -> Result<(), StoreError> {
    let mut reader = tail.reader(disk)?;
    let mut frame = Vec::new();
    while reader.offset() < tail.to {
        let at = reader.offset();
        let Some(read) = reader.next_frame()? else {
            return Err(damaged(&tail.path, at));
        };
        frame.clear();
        frame.resize(HEADER_LEN, 0);
        frame.extend_from_slice(read.body);
        // Only the frame that completes the new segment may say COMMIT: until then it is not a successor.
        let kept = if has_bug("a rewritten frame keeps its COMMIT") { FLAG_COMMIT } else { 0 };
        let flags = read.header.flags & (!FLAG_COMMIT | kept);
        appender.append(FrameKind { kind: read.header.kind, flags, count: read.header.count }, &mut frame)?;
    }
    Ok(())
}

impl Tail {
    fn reader(&self, disk: &dyn Disk) -> Result<FrameReader, StoreError> {
        let file = disk
            .open(&self.path, OpenMode::Read)
            .map_err(|error| StoreError::io("open", &self.path, error))?;
        Ok(FrameReader::new(Arc::from(file), &self.path, self.key, self.from, self.to))
    }
}

fn damaged(path: &Path, at: u64) -> StoreError {
    StoreError::corrupt(path, at, DamageKind::Frame, 0)
}
