//! The HEAD file of a job, open for alternate writes to its two slots.

use crate::StoreError;
use crate::disk::{Disk, DiskFile, OpenMode, read_whole, write_all_at};
use crate::error::DamageKind;
use crate::format::checksum::crc;
use crate::format::description::Description;
use crate::format::head::{FILE_LEN_MAX, Head, HeadFault, SLOTS};
use crate::format::slot::Best;
use crate::seeded::has_bug;
use std::path::{Path, PathBuf};

/// The name of the file.
pub(crate) const NAME: &str = "HEAD";

/// What a HEAD file says.
#[derive(Clone, Debug)]
pub(crate) struct HeadContent {
    pub(crate) generation: u64,
    pub(crate) head: Head,
    pub(crate) description: Description,
}

/// A HEAD file that can be written.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    generation: u64,
    pub(crate) head: Head,
}

/// Reads and checks a HEAD file; `NoSuchJob` when there is none.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<HeadContent, StoreError> {
    let path = dir.join(NAME);
    let bytes = match read_whole(disk, &path, FILE_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::NoSuchJob),
        Err(error) => return Err(StoreError::io("read", &path, error)),
    };
    let newer = |found| StoreError::NewerVersion { path: path.clone(), found, known: SLOTS.version };
    let damaged = |at, kind| StoreError::corrupt(&path, at, kind, 1);
    let slot = match SLOTS.best(&bytes) {
        Best::Found(slot) => slot,
        Best::Newer(version) => return Err(newer(version)),
        Best::None => return Err(damaged(0, DamageKind::NoIntactSlot)),
    };
    let head = Head::decode(slot.payload).map_err(|fault| match fault {
        HeadFault::Newer(flags) => newer(flags),
        HeadFault::Malformed => damaged(SLOTS.offset(slot.generation), DamageKind::NoIntactSlot),
    })?;
    let at = head.description.offset;
    let description = usize::try_from(at)
        .ok()
        .and_then(|start| bytes.get(start..)?.get(..head.description.len as usize))
        .filter(|bytes| crc(bytes) == head.description.crc)
        .and_then(|bytes| Description::decode(bytes).ok())
        .ok_or_else(|| damaged(at, DamageKind::Description))?;
    Ok(HeadContent { generation: slot.generation, head, description })
}

impl HeadFile {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, content: &HeadContent) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let file =
            disk.open(&path, OpenMode::ReadWrite).map_err(|error| StoreError::io("open", &path, error))?;
        Ok(Self { file, path, generation: content.generation, head: content.head.clone() })
    }

    /// Writes what `change` makes of the head into the other slot, and syncs.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Head)) -> Result<(), StoreError> {
        change(&mut self.head);
        self.generation += if has_bug("HEAD is always written into the same slot") { 2 } else { 1 };
        let slot = SLOTS.encode(self.generation, &self.head.encode());
        write_all_at(self.file.as_ref(), &slot, SLOTS.offset(self.generation))
            .map_err(|error| StoreError::io("write to", &self.path, error))?;
        if has_bug("both slots of HEAD in one go") {
            let _ = write_all_at(self.file.as_ref(), &slot, SLOTS.offset(self.generation + 1));
        }
        if has_bug("HEAD is not synced") {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| StoreError::io("sync", &self.path, error))
    }
}
