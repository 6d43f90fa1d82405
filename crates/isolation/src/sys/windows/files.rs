//! Positioned reads and writes, and where small files live best.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::FileExt;
use std::path::{Path, PathBuf};

/// Reads from an offset on until `bytes` is full or the file ends; the number of bytes read.
pub(crate) fn read_full_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.seek_read(&mut bytes[len..], at + len as u64) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Writes all of `bytes` at an offset.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut len = 0;
    while len < bytes.len() {
        match file.seek_write(&bytes[len..], at + len as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a file; its directory admits nobody else.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Windows has none; a file that is mapped and never flushed stays in its cache.
pub(crate) fn memory_directory() -> Option<&'static Path> {
    None
}

/// A path as it travels: UTF-16, little-endian, so that no name is refused.
pub(crate) fn path_to_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect()
}

/// A path that travelled.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    let wide: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    PathBuf::from(OsString::from_wide(&wide))
}
