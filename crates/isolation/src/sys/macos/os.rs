//! What Linux does with pidfds and `/proc`, for the other Unix systems.

pub(crate) use crate::sys::processes::{is_zombie, kill_marked, resident_bytes, start_time};
use rustix::process::Pid;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The running executable's path; the handshake notices when another file was put there.
pub(crate) fn current_exe() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Whether the process began with this thread.
#[expect(unsafe_code, reason = "no safe wrapper")]
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: always allowed.
    unsafe { libc::pthread_main_np() != 0 }
}

/// What `ps` shows.
pub(crate) fn set_name(command: &mut Command, name: &OsStr) {
    command.arg0(name);
}

/// There are none here.
pub(crate) fn pidfd(_pid: Pid) -> Option<OwnedFd> {
    None::<Infallible>.map(|never| match never {})
}

/// Never called, since there are none.
pub(crate) fn kill_by_pidfd(_pidfd: &OwnedFd) {}

/// Nobody can tell cheaply: the caller waits until the group is gone.
pub(crate) fn is_group_alive(_group: Pid) -> bool {
    true
}

pub(crate) fn signal_name(number: i32) -> &'static str {
    match number {
        7 => "SIGEMT",
        23 => "SIGIO",
        29 => "SIGINFO",
        _ => "unknown signal",
    }
}
