//! The executable and other processes.

pub(crate) use crate::sys::processes::{kill_marked, resident_bytes};
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// The running executable's path; the system does not let a running executable be overwritten, only be moved away, and
/// the handshake notices when another file was put in its place.
pub(crate) fn current_exe() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The system does not tell: whoever has the worker line is taken for it.
pub(crate) fn is_main_thread() -> bool {
    true
}

/// The path is shown in any case.
pub(crate) fn set_name(_command: &mut Command, _name: &OsStr) {}
