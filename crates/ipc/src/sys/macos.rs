//! Ending a reader where `shutdown(SHUT_RD)` throws away what is buffered (macOS, the BSDs): the reader polls a pipe
//! beside the socket, and reads no more than what was buffered when it was told.

use super::allowance::Allowance;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// `SO_NOSIGPIPE` is set on the socket instead.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Tells the reader to stop after what is buffered.
#[derive(Debug)]
pub(super) struct Drain {
    allowance: Allowance,
    /// At its end, hence ready, once `wake_writer` is gone.
    wake_reader: OwnedFd,
    wake_writer: Mutex<Option<OwnedFd>>,
}

impl Drain {
    pub(super) fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        #[cfg(target_vendor = "apple")]
        rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
        #[cfg(not(target_vendor = "apple"))]
        let _ = socket;
        let (wake_reader, wake_writer) = io::pipe()?;
        Ok(Self {
            allowance: Allowance::default(),
            wake_reader: wake_reader.into(),
            wake_writer: Mutex::new(Some(wake_writer.into())),
        })
    }

    pub(super) fn start(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        self.allowance.stop();
        *self.wake_writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// How many of `wanted` bytes may still be read; 0 at the end.
    pub(super) fn allowance(&self, socket: BorrowedFd<'_>, wanted: usize) -> io::Result<usize> {
        self.allowance.of(wanted, || Ok(rustix::io::ioctl_fionread(socket)?))
    }

    pub(super) fn count(&self, read: usize) {
        self.allowance.count(read);
    }

    pub(super) fn recv_flags(&self, _has_deadline: bool) -> RecvFlags {
        RecvFlags::DONTWAIT
    }

    /// Waits until the socket can be read, a drain starts or the time is up.
    pub(super) fn wait_readable(&self, socket: BorrowedFd<'_>, timeout: Option<&Timespec>) -> io::Result<()> {
        let wake = self.wake_reader.as_fd();
        let mut fds =
            [PollFd::from_borrowed_fd(socket, PollFlags::IN), PollFd::from_borrowed_fd(wake, PollFlags::IN)];
        rustix::event::poll(&mut fds, timeout)?;
        Ok(())
    }
}
