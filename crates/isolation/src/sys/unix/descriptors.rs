//! Descriptors that came through `exec`.
#![expect(unsafe_code, reason = "closing what nobody here owns")]

use rustix::io::FdFlags;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Where the system lists a process's own descriptors.
const LIST: &str = "/dev/fd";

/// Closes every descriptor above 2 that the host let slip through `exec`: exactly those that are not close-on-exec, as
/// everything that Rust opens in this process is. Call it before there are threads or user code.
pub(crate) fn close_inherited() {
    let Ok(entries) = std::fs::read_dir(LIST) else { return };
    let fds: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in fds.into_iter().filter(|fd| *fd > 2) {
        // SAFETY: only asked about; the one that listed the others is closed by now and gives an error.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        if rustix::io::fcntl_getfd(borrowed).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC)) {
            // SAFETY: it came through `exec`, so no object of this process owns it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}
