//! The OWNER file: who has a job open, and who had.

use crate::disk::{Disk, DiskFile, OpenMode, read_whole, write_all_at};
use crate::format::owner::{SLOTS, decode, encode};
use crate::format::slot::Best;
use crate::{OwnerInfo, StoreError, WorkerEntry, random, sys};
use std::path::{Path, PathBuf};

/// The name of the file. The lock is on another one: where locks are mandatory, a locked file cannot be read.
pub(crate) const NAME: &str = "OWNER";

/// An owner record that can be written. It is never synced: after a power cut there is no process left to wait for.
#[derive(Debug)]
pub(crate) struct OwnerFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    generation: u64,
    info: OwnerInfo,
}

/// Reads the record; `None` when there is none or it is damaged, which costs an explanation and nothing else.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Option<(u64, OwnerInfo)> {
    let bytes = read_whole(disk, &dir.join(NAME), 2 * SLOTS.room as u64).ok()?;
    match SLOTS.best(&bytes) {
        Best::Found(slot) => Some((slot.generation, decode(slot.payload).ok()?)),
        Best::Newer(_) | Best::None => None,
    }
}

impl OwnerFile {
    /// Takes the job over, in the name of this process. The caller holds the lock.
    pub(crate) fn take_over(
        disk: &dyn Disk,
        dir: &Path,
        generation: u64,
        epoch: u64,
    ) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let file =
            disk.open(&path, OpenMode::Create).map_err(|error| StoreError::io("open", &path, error))?;
        let pid = std::process::id();
        let info = OwnerInfo {
            machine: sys::machine_id().unwrap_or_default(),
            boot: sys::boot_id().unwrap_or_default(),
            pid,
            start_time: sys::process_start_time(pid).unwrap_or(0),
            nonce: random::number()?,
            epoch,
            workers: Vec::new(),
        };
        let mut owner = Self { file, path, generation, info };
        owner.write()?;
        Ok(owner)
    }

    pub(crate) fn set_workers(&mut self, workers: &[WorkerEntry]) -> Result<(), StoreError> {
        self.info.workers = workers.to_vec();
        self.write()
    }

    pub(crate) fn set_epoch(&mut self, epoch: u64) -> Result<(), StoreError> {
        self.info.epoch = epoch;
        self.write()
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let payload = encode(&self.info);
        if payload.len() > SLOTS.payload_len_max() {
            return Err(StoreError::TooLong {
                what: "the owner record",
                len: payload.len(),
                max: SLOTS.payload_len_max(),
            });
        }
        self.generation += 1;
        write_all_at(
            self.file.as_ref(),
            &SLOTS.encode(self.generation, &payload),
            SLOTS.offset(self.generation),
        )
        .map_err(|error| StoreError::io("write to", &self.path, error))
    }
}
