//! A store that is made as a whole: until it is complete it has another name.

use crate::StoreError;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at, write_all_at};
use crate::journal::room;
use crate::seeded::has_bug;
use crate::store::{parent_of, temporary_name};
use std::io;
use std::path::{Path, PathBuf};

const COPY_CHUNK: usize = 1 << 20;

/// A directory under a temporary name beside its target. Dropping it before its end removes it; a crash leaves a name that begins
/// with `.tmp-`.
#[derive(Debug)]
pub(crate) struct Building<'a> {
    disk: &'a dyn Disk,
    pub(crate) path: PathBuf,
    target: PathBuf,
    is_complete: bool,
}

impl<'a> Building<'a> {
    /// # Errors
    /// When there is something at `target` already; those of the disk.
    pub(crate) fn begin(disk: &'a dyn Disk, target: &Path) -> Result<Self, StoreError> {
        match disk.read_dir(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) => return Err(exists(target)),
            Err(error) => return Err(StoreError::io("list", target, error)),
        }
        let path = parent_of(target).join(temporary_name()?);
        disk.create_dir(&path).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(Self { disk, path, target: target.to_owned(), is_complete: false })
    }

    /// Everything in it is durable: gives it its name.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        // Not over an empty directory either: some systems would, and what another one made meanwhile must not vanish.
        if self.disk.read_dir(&self.target).is_ok() {
            return Err(exists(&self.target));
        }
        self.disk
            .rename(&self.path, &self.target)
            .map_err(|error| StoreError::io("rename to", &self.target, error))?;
        self.is_complete = true;
        let parent = parent_of(&self.target);
        self.disk.sync_dir(parent).map_err(|error| StoreError::io("sync", parent, error))
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            // What stays is under a temporary name.
            let _ = self.disk.remove_dir_all(&self.path);
        }
    }
}

fn exists(target: &Path) -> StoreError {
    StoreError::io("create", target, io::ErrorKind::AlreadyExists.into())
}

/// Copies the first `len` bytes into a new file and syncs that.
pub(crate) fn copy_file(disk: &dyn Disk, from: &dyn DiskFile, len: u64, to: &Path) -> Result<(), StoreError> {
    let failed = |op, error| StoreError::io(op, to, error);
    let file = disk.open(to, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    let mut chunk = vec![0; COPY_CHUNK.min(len as usize)];
    let mut at = 0;
    while at < len {
        let part = &mut chunk[..(len - at).min(COPY_CHUNK as u64) as usize];
        read_exact_at(from, part, at).map_err(|error| failed("read what goes into", error))?;
        room::check(disk, to, part.len() as u64)?;
        write_all_at(file.as_ref(), part, at).map_err(|error| failed("write to", error))?;
        at += part.len() as u64;
    }
    file.sync_data().map_err(|error| failed("sync", error))
}

/// Writes a new file and syncs it.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, parts: &[(u64, &[u8])]) -> Result<(), StoreError> {
    let failed = |op, error| StoreError::io(op, path, error);
    let file = disk.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    for (offset, bytes) in parts {
        write_all_at(file.as_ref(), bytes, *offset).map_err(|error| failed("write to", error))?;
    }
    if has_bug("a job is renamed before it is synced") {
        return Ok(());
    }
    file.sync_data().map_err(|error| failed("sync", error))
}
