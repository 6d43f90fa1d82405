//! What the store needs of a file system, so that a simulated one can take its place.

use crate::seeded::has_bug;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;

/// A file system. Every method is one step that may fail and at which the machine may stop.
pub trait Disk: Send + Sync + Debug {
    /// Creates one directory; its parent exists.
    ///
    /// # Errors
    /// `AlreadyExists` when there is such an entry.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// Opens a file.
    ///
    /// # Errors
    /// See [`OpenMode`].
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Moves a file or directory within the file system; replaces a file, never a directory that is not empty.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory and everything in it.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a directory durable: creations, renames and removals in it.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What kind of file system `path` lies on.
    fn kind(&self, path: &Path) -> FileSystemKind;
    /// Bytes that may still be written to files in the directory `path`, by whoever asks; `None` where nobody can tell.
    fn free(&self, _path: &Path) -> Option<u64> {
        None
    }
}

/// An open file; the position is an argument, so threads can share it.
#[expect(clippy::len_without_is_empty, reason = "nobody asks an open file whether it is empty")]
pub trait DiskFile: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; fewer at the end, or when it pleases.
    ///
    /// # Errors
    /// Those of the system.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of `buf` at `offset` and says how much.
    ///
    /// # Errors
    /// Those of the system.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes content and length durable. Never called again after it failed.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_data(&self) -> io::Result<()>;
    /// The length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn len(&self) -> io::Result<u64>;
    /// Takes the exclusive lock on the file, held until this handle is dropped; false when another handle has it.
    ///
    /// # Errors
    /// When the file system has no locks.
    fn try_lock(&self) -> io::Result<bool>;
    /// Whether the file still has a name. A system that cannot tell says yes.
    ///
    /// # Errors
    /// Those of the system.
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; `NotFound` when it does not exist.
    Read,
    /// For reading and writing; `NotFound` when it does not exist.
    ReadWrite,
    /// For reading and writing; created when it does not exist.
    Create,
    /// For reading and writing; `AlreadyExists` when it does.
    CreateNew,
}

/// What kind of file system a store lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemKind {
    /// On a disk of this machine, written in place.
    Local,
    /// On a disk of this machine, and never written in place: filling ahead would gain nothing.
    CopyOnWrite,
    /// On another machine: a sync may promise less, and so may a lock.
    Network,
    /// In memory: gone after a power cut.
    Memory,
}

/// Interrupted calls in a row that are tried again; every wait ends.
const INTERRUPTS_MAX: u32 = 1000;

/// Reads exactly `buf.len()` bytes at `offset`.
pub(crate) fn read_exact_at(file: &dyn DiskFile, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    let mut interrupts = 0;
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => {
                interrupts += 1
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `buf` at `offset`. Interrupted and short writes go on; a write of nothing is an error.
pub(crate) fn write_all_at(file: &dyn DiskFile, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    let mut interrupts = 0;
    while !buf.is_empty() {
        match file.write_at(buf, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) if has_bug("a short write is ignored") => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted
                    && has_bug("an interrupted write is dropped") =>
            {
                return Ok(());
            }
            Ok(n) => {
                buf = &buf[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX => {
                interrupts += 1
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a file that is at most `len_max` bytes long.
pub(crate) fn read_whole(disk: &dyn Disk, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len > len_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is longer than it can be"));
    }
    let mut bytes = vec![0; usize::try_from(len).expect("the bound fits in memory")];
    read_exact_at(file.as_ref(), &mut bytes, 0)?;
    Ok(bytes)
}
