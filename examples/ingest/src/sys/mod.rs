//! What differs between systems, behind one surface; the only place of the application with `unsafe`.
#![expect(unsafe_code, reason = "crashes on purpose, and calls that have no safe wrapper")]

use std::path::Path;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

/// Opens a regular file for reading; never blocks, even when somebody has put a FIFO in its place.
///
/// # Errors
/// What the system says, and `InvalidInput` when it is no regular file.
pub fn open_regular(path: &Path) -> std::io::Result<std::fs::File> {
    let file = system::open_without_blocking(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(std::io::Error::from(std::io::ErrorKind::IsADirectory))
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// A path as bytes that [`path_from_bytes`] turns back, on the same system.
pub fn path_to_bytes(path: &Path) -> Vec<u8> {
    system::path_to_bytes(path)
}

/// The path that these bytes were made from.
pub fn path_from_bytes(bytes: &[u8]) -> std::path::PathBuf {
    system::path_from_bytes(bytes)
}

/// A file name as key bytes: on Unix the very bytes, on Windows UTF-8 with lone surrogates as they come (WTF-8).
pub fn name_bytes(name: &std::ffi::OsStr) -> &[u8] {
    name.as_encoded_bytes()
}

/// The most memory that this process had resident so far; `None` where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    system::peak_resident_bytes()
}

/// Dies of a real access violation.
pub fn segfault() {
    // SAFETY: deliberately invalid: the write must fault. The address is in the first page, which no system maps, and
    // is aligned; volatile keeps the compiler from reasoning about it. The process does not survive to see more.
    unsafe { std::ptr::write_volatile(std::ptr::without_provenance_mut::<u32>(16), 1) };
}

/// Ends the process that started this one, as `kill -9` would.
///
/// # Errors
/// When it is gone already, or where the system has no way to do it.
pub fn kill_parent() -> std::io::Result<()> {
    system::kill_parent()
}

/// Writes junk into every descriptor of this process above the standard ones.
///
/// # Errors
/// Where the system has no way to do it.
pub fn write_garbage() -> std::io::Result<()> {
    system::write_garbage()
}
