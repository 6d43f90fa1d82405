//! Ending a reader: on Linux `shutdown(SHUT_RD)` of a Unix socket keeps what is buffered, wakes the reader and then reads as
//! the end, even while others hold the peer's end.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::io;
use std::os::fd::BorrowedFd;

/// Nothing to keep: the kernel does it all.
#[derive(Debug)]
pub(super) struct Drain;

/// Writes must not raise SIGPIPE.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;

impl Drain {
    pub(super) fn new(_: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn start(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::net::shutdown(socket, Shutdown::Read)?)
    }

    /// How many of `wanted` bytes may still be read.
    pub(super) fn allowance(&self, _: BorrowedFd<'_>, wanted: usize) -> io::Result<usize> {
        Ok(wanted)
    }

    pub(super) fn count(&self, _read: usize) {}

    /// A blocking read is woken by `start`, so without a deadline one system call does.
    pub(super) fn recv_flags(&self, has_deadline: bool) -> RecvFlags {
        if has_deadline { RecvFlags::DONTWAIT } else { RecvFlags::empty() }
    }

    /// Waits until the socket can be read (or is at its end) or the time is up.
    pub(super) fn wait_readable(&self, socket: BorrowedFd<'_>, timeout: Option<&Timespec>) -> io::Result<()> {
        rustix::event::poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::IN)], timeout)?;
        Ok(())
    }
}
