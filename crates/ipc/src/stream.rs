//! A byte stream between a host and its child.

use crate::sys;
use std::io::{self, IoSlice};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

/// One end of a two-way byte stream between two processes. Reads and writes block the calling thread, at most until their deadline;
/// the two directions never wait for each other. Writes to a dead peer are errors and never signals.
#[derive(Debug)]
pub struct Stream(Arc<sys::Socket>);

/// The end of a pair that a child process gets as its standard input.
#[derive(Debug)]
pub struct ChildEnd(sys::ChildHandle);

impl ChildEnd {
    /// What [`std::process::Command::stdin`] takes. The command keeps it open until it is dropped: drop the command
    /// after the spawn, or the host will not see the child's death as the end of the stream.
    #[must_use]
    pub fn into_stdin(self) -> Stdio {
        self.0.into_stdin()
    }

    /// The stream itself, for a peer that is a thread of this process.
    ///
    /// # Errors
    /// When the operating system has no descriptors left.
    pub fn into_stream(self) -> io::Result<Stream> {
        Ok(Stream(Arc::new(self.0.into_socket()?)))
    }
}

impl Stream {
    /// A fresh stream that nobody else can connect to.
    ///
    /// # Errors
    /// When the operating system has no descriptors left.
    pub fn pair() -> io::Result<(Self, ChildEnd)> {
        let (host, child) = sys::Socket::pair()?;
        Ok((Self(Arc::new(host)), ChildEnd(child)))
    }

    /// In the child: takes the stream out of standard input, which is empty from then on and not inherited by
    /// the child's own children. Call it once, before any other thread runs.
    ///
    /// # Errors
    /// When standard input is not such a stream; it is left alone then.
    pub fn take_stdin() -> io::Result<Self> {
        Ok(Self(Arc::new(sys::Socket::take_stdin()?)))
    }

    /// The two directions. The stream closes when both halves and every control are dropped.
    #[must_use]
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf(self.0.clone()), WriteHalf(self.0))
    }

    /// A handle that ends waits from other threads.
    #[must_use]
    pub fn control(&self) -> StreamControl {
        StreamControl(self.0.clone())
    }
}

/// Ends the waits of a stream's two halves, from any thread. Holding one keeps the stream open.
#[derive(Clone, Debug)]
pub struct StreamControl(Arc<sys::Socket>);

impl StreamControl {
    /// The reader gets what has arrived so far and then the end of the stream, even while a process other than the peer holds the
    /// peer's end open. For the moment after the peer's death.
    ///
    /// # Errors
    /// What the operating system says; none is expected.
    pub fn shutdown_read(&self) -> io::Result<()> {
        self.0.shutdown_read()
    }

    /// Ends every wait of both directions, now and later: reads are at the end, writes fail. What is buffered may be
    /// lost. The peer sees the end too, on Windows perhaps not before this side is dropped.
    ///
    /// # Errors
    /// What the operating system says; none is expected.
    pub fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown()
    }
}

/// The reading direction of a stream.
#[derive(Debug)]
pub struct ReadHalf(Arc<sys::Socket>);

impl ReadHalf {
    /// Reads at least one byte to the front of `buf`; 0 at the end of the stream (also when the peer died).
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at the deadline.
    pub fn read(&mut self, buf: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        self.0.read(buf, deadline)
    }

    /// Fills `buf`.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at the deadline, [`io::ErrorKind::UnexpectedEof`] when the stream ends before that.
    pub fn read_exact(&mut self, mut buf: &mut [u8], deadline: Option<Instant>) -> io::Result<()> {
        while !buf.is_empty() {
            match self.0.read(buf, deadline)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => buf = &mut buf[read..],
            }
        }
        Ok(())
    }

    /// Appends up to `wanted` bytes to `buf` within its capacity.
    pub(crate) fn read_append(
        &mut self,
        buf: &mut Vec<u8>,
        wanted: usize,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        self.0.read_append(buf, wanted, deadline)
    }

    /// A handle that ends waits from other threads.
    #[must_use]
    pub fn control(&self) -> StreamControl {
        StreamControl(self.0.clone())
    }
}

/// The writing direction of a stream.
#[derive(Debug)]
pub struct WriteHalf(Arc<sys::Socket>);

impl WriteHalf {
    /// Writes all of `bufs`, with one system call where the peer has room.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] at the deadline, [`io::ErrorKind::BrokenPipe`] when the peer is gone; an unknown part may have been written.
    pub fn write_all(&mut self, mut bufs: &mut [IoSlice<'_>], deadline: Option<Instant>) -> io::Result<()> {
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match self.0.write(bufs, deadline)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut bufs, written),
            }
        }
        Ok(())
    }

    /// A handle that ends waits from other threads.
    #[must_use]
    pub fn control(&self) -> StreamControl {
        StreamControl(self.0.clone())
    }
}
