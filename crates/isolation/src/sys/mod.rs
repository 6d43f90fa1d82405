//! Everything that differs between operating systems.

#[cfg(unix)]
#[path = "unix/files.rs"]
pub(crate) mod files;
#[cfg(windows)]
#[path = "windows/files.rs"]
pub(crate) mod files;
