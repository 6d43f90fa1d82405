//! Ending a reader where `shutdown(SHUT_RD)` throws away what is buffered (macOS, the BSDs): the reader polls a pipe
//! beside the socket, and reads no more than what was buffered when it was told.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// `allowance` before a drain starts.
const UNLIMITED: u64 = u64::MAX;

/// `SO_NOSIGPIPE` is set on the socket instead.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::empty();

/// Tells the reader to stop after what is buffered.
#[derive(Debug)]
pub(super) struct Drain {
    /// Bytes that may still be read.
    allowance: AtomicU64,
    /// Reads as the end of the pipe, hence ready, once `wake_writer` is gone.
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
            allowance: AtomicU64::new(UNLIMITED),
            wake_reader: wake_reader.into(),
            wake_writer: Mutex::new(Some(wake_writer.into())),
        })
    }

    pub(super) fn start(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut writer = self.wake_writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_some() {
            // A read that runs at the same moment only makes the allowance too large by what it takes: still finite.
            self.allowance.store(rustix::io::ioctl_fionread(socket)?, Ordering::Release);
            *writer = None;
        }
        Ok(())
    }

    /// How many of `wanted` bytes may still be read; `None` at the end. Must be asked **before** each read: bytes that arrive between a read
    /// that finds nothing and the start of the drain would otherwise be lost.
    pub(super) fn allowance(&self, wanted: usize) -> Option<usize> {
        match self.allowance.load(Ordering::Acquire) {
            0 => None,
            left => Some(wanted.min(usize::try_from(left).unwrap_or(usize::MAX))),
        }
    }

    pub(super) fn count(&self, read: usize) {
        let lower = |left| (left != UNLIMITED).then(|| left.saturating_sub(read as u64));
        // An error means that no drain has started.
        let _ = self.allowance.fetch_update(Ordering::AcqRel, Ordering::Acquire, lower);
    }

    pub(super) fn recv_flags(&self, _has_deadline: bool) -> RecvFlags {
        RecvFlags::DONTWAIT
    }

    /// Waits until the socket can be read, a drain starts or the time is up.
    pub(super) fn wait_readable(&self, socket: BorrowedFd<'_>, timeout: Option<&Timespec>) -> io::Result<()> {
        let wake = self.wake_reader.as_fd();
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(wake, PollFlags::IN),
        ];
        rustix::event::poll(&mut fds, timeout)?;
        Ok(())
    }
}
