//! Waits for the end of any of several processes, or for a wake-up.

use super::process::Process;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// How often processes without an exit descriptor are looked at (their closing socket wakes the waiter much earlier).
const TICK: Duration = Duration::from_millis(20);

/// Waits; see [`Waker`].
#[derive(Debug)]
pub(crate) struct Waiter {
    wakes: UnixStream,
}

/// Ends a wait, the current one or the next.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<UnixStream>);

/// A connected pair.
pub(crate) fn waiter() -> io::Result<(Waiter, Waker)> {
    let (wakes, waker) = UnixStream::pair()?;
    wakes.set_nonblocking(true)?;
    waker.set_nonblocking(true)?;
    Ok((Waiter { wakes }, Waker(Arc::new(waker))))
}

impl Waker {
    pub(crate) fn wake(&self) {
        // A full buffer means that a wake-up is already on its way.
        let _ = (&*self.0).write(&[1]);
    }
}

impl Waiter {
    /// Returns when one of the processes has ended, after a wake-up, or when `timeout` has passed; sometimes earlier.
    pub(crate) fn wait<'a>(
        &mut self,
        processes: impl Iterator<Item = &'a Process>,
        timeout: Option<Duration>,
    ) {
        let mut timeout = timeout;
        let mut fds = vec![PollFd::new(&self.wakes, PollFlags::IN)];
        for process in processes {
            match process.exit_fd() {
                Some(fd) => fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN)),
                None => timeout = Some(timeout.map_or(TICK, |t| t.min(TICK))),
            }
        }
        poll(&mut fds, timeout);
        drop(fds);
        self.drain();
    }

    /// Returns when one of `fds` can be read or has no writer left; with its place among them.
    pub(crate) fn wait_readable<'a>(&mut self, fds: impl Iterator<Item = BorrowedFd<'a>>) -> Vec<bool> {
        let mut polled = vec![PollFd::new(&self.wakes, PollFlags::IN)];
        polled.extend(fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        poll(&mut polled, None);
        let ready = polled[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(polled);
        self.drain();
        ready
    }

    fn drain(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.wakes.read(&mut bytes), Ok(n) if n > 0) {}
    }
}

fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) {
    // Round up: a wait that ends a little early would spin.
    let timeout = timeout.map(|t| t + Duration::from_nanos(999_999));
    let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
    // EINTR and ENOMEM look like a wake-up: the caller looks at everything anyway.
    let _ = rustix::event::poll(fds, timeout.as_ref());
}

/// Reads without waiting whatever is there.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}
