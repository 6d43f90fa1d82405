//! Common to all Unix systems.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

pub(crate) fn write_at(file: &File, buf: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(buf, offset)
}

/// A removed file can still be written to and synced, and is gone with the last handle.
pub(crate) fn is_linked(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

/// A directory is synced like a file: its entries are its content.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    super::os::sync_all(&File::open(path)?)
}
