//! Whether there is room for what is about to be written, and a reserve beyond it.
//!
//! A full disk is better found by asking than by writing: a write that does not fit leaves half a frame, and some file systems
//! notice only at the sync. Where the file system does not tell (or a quota binds that it does not tell of), the write does.

use crate::StoreError;
use crate::disk::Disk;
use crate::limits::{RESERVE_BYTES, ROOM_GRANT};
use crate::seeded::has_bug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The room around one directory.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// Whether a write has to leave the reserve alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    Kept,
    /// For the few bytes of an orderly end.
    Used,
}

impl Room {
    pub(crate) fn new(disk: &Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk: disk.clone(), dir: dir.to_owned() }
    }

    /// How many bytes may be written before this is asked again, `len` at least.
    ///
    /// # Errors
    /// `StorageFull`; nothing was written.
    pub(crate) fn grant(&self, len: u64, reserve: Reserve) -> io::Result<u64> {
        let reserved = match reserve {
            Reserve::Kept => RESERVE_BYTES,
            Reserve::Used => 0,
        };
        let most = len.max(ROOM_GRANT);
        let Some(free) = free(self.disk.as_ref(), &self.dir) else { return Ok(most) };
        free.checked_sub(reserved)
            .filter(|left| *left >= len)
            .map(|left| left.min(most))
            .ok_or_else(|| io::ErrorKind::StorageFull.into())
    }
}

/// Fails with [`StoreError::NoSpace`] where less than `len` bytes and the reserve are left beside `path`.
pub(crate) fn check(disk: &dyn Disk, path: &Path, len: u64) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    match free(disk, dir) {
        Some(free) if free < len.saturating_add(RESERVE_BYTES) => {
            Err(StoreError::NoSpace { path: path.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

/// After a full disk there must be more than just room again: whoever goes on at the edge stops at the next commit.
pub(crate) fn check_again(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    check(disk, path, RESERVE_BYTES)
}

fn free(disk: &dyn Disk, dir: &Path) -> Option<u64> {
    if has_bug("the reserve is not looked at") { None } else { disk.free(dir) }
}
