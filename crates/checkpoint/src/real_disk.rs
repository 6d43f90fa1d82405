//! The file system of this machine.

use crate::disk::{Disk, DiskFile, FileSystemKind, OpenMode};
use crate::sys;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file system of this machine. Syncs reach the medium (`fdatasync`, `F_FULLFSYNC`, `FlushFileBuffers`).
#[derive(Debug)]
pub struct RealDisk;

impl RealDisk {
    /// The disk, ready for [`crate::StoreOptions`].
    #[must_use]
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match mode {
            OpenMode::Read => options.read(true),
            OpenMode::ReadWrite => options.read(true).write(true),
            OpenMode::Create => options.read(true).write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.read(true).write(true).create_new(true),
        };
        Ok(Box::new(RealFile::new(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[allow(
            clippy::disallowed_methods,
            reason = "the one place that renames; callers sync the directories"
        )]
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sys::sync_dir(path)
    }

    fn kind(&self, path: &Path) -> FileSystemKind {
        sys::file_system_kind(path)
    }

    fn free(&self, path: &Path) -> Option<u64> {
        sys::free_bytes(path)
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    is_locked: AtomicBool,
}

impl RealFile {
    fn new(file: File) -> Self {
        Self { file, is_locked: AtomicBool::new(false) }
    }
}

/// A child process that another thread is about to start holds a copy of the descriptor until it executes its program, and
/// the lock with it: closing ours would leave the job locked for a moment.
impl Drop for RealFile {
    fn drop(&mut self) {
        if self.is_locked.load(Ordering::Relaxed) {
            // An error leaves it to the close that follows.
            let _ = self.file.unlock();
        }
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::read_at(&self.file, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        sys::write_at(&self.file, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        sys::sync_data(&self.file)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => {
                self.is_locked.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_linked(&self) -> io::Result<bool> {
        sys::is_linked(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_handle_though_a_child_still_has_the_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let open =
            || RealFile::new(File::options().create(true).truncate(false).write(true).open(&path).unwrap());
        let (first, second) = (open(), open());
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        let of_a_child = first.file.try_clone().unwrap();

        drop(first);

        assert!(second.try_lock().unwrap());
        drop(of_a_child);
    }
}
