//! Unix: one end of a socket pair; the child's end travels as its stdin.

use super::drain::{Drain, SEND_FLAGS};
use crate::deadline::remaining;
use interprocess::os::unix::uds_local_socket::Stream as LocalStream;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A connected stream socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: LocalStream,
    drain: Drain,
}

/// The end that a child gets.
#[derive(Debug)]
pub(crate) struct ChildHandle(OwnedFd);

impl ChildHandle {
    pub(crate) fn into_stdin(self) -> Stdio {
        self.0.into()
    }

    pub(crate) fn into_socket(self) -> io::Result<Socket> {
        Socket::new(self.0)
    }
}

impl Socket {
    pub(crate) fn pair() -> io::Result<(Self, ChildHandle)> {
        let (host, child) = UnixStream::pair()?;
        Ok((Self::new(host.into())?, ChildHandle(child.into())))
    }

    /// Moves the socket that is this process's stdin to a descriptor that children do not inherit; stdin becomes empty.
    pub(crate) fn take_stdin() -> io::Result<Self> {
        const ABOVE_STDIO: i32 = 3;
        let stdin = rustix::stdio::stdin();
        // Fails with ENOTSOCK for a terminal, a file or a pipe, and leaves it alone.
        rustix::net::sockopt::socket_type(stdin)?;
        let socket = rustix::io::fcntl_dupfd_cloexec(stdin, ABOVE_STDIO)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Self::new(socket)
    }

    fn new(fd: OwnedFd) -> io::Result<Self> {
        let drain = Drain::new(fd.as_fd())?;
        Ok(Self { stream: LocalStream::from(fd), drain })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Reads some bytes to the front of `buf`; 0 at the end.
    pub(crate) fn read(&self, buf: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        let wanted = buf.len();
        self.read_with(wanted, deadline, |allowed, flags| {
            rustix::net::recv(self.fd(), &mut buf[..allowed], flags).map(|(read, _)| read)
        })
    }

    /// Appends up to `wanted` bytes to `buf`, whose capacity must have room for them; 0 at the end. The new bytes are not zeroed first.
    pub(crate) fn read_append(
        &self,
        buf: &mut Vec<u8>,
        wanted: usize,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        self.read_with(wanted, deadline, |allowed, flags| recv_append(self.fd(), buf, allowed, flags))
    }

    /// `ECONNRESET` says that the peer died with bytes of ours unread; all of its own have been read by then, so it is the end.
    fn read_with(
        &self,
        wanted: usize,
        deadline: Option<Instant>,
        mut recv: impl FnMut(usize, RecvFlags) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let allowed = self.drain.allowance(self.fd(), wanted)?;
            if allowed == 0 {
                return Ok(0);
            }
            match recv(allowed, self.drain.recv_flags(deadline.is_some())) {
                Ok(read) => {
                    self.drain.count(read);
                    return Ok(read);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(deadline, |timeout| self.drain.wait_readable(self.fd(), timeout))?,
                Err(Errno::CONNRESET) => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes some bytes of `bufs`.
    pub(crate) fn write(&self, bufs: &[IoSlice<'_>], deadline: Option<Instant>) -> io::Result<usize> {
        let wait_in_call = if deadline.is_some() { SendFlags::DONTWAIT } else { SendFlags::empty() };
        let flags = SEND_FLAGS | wait_in_call;
        loop {
            match rustix::net::sendmsg(self.fd(), bufs, &mut SendAncillaryBuffer::default(), flags) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(deadline, |timeout| {
                    rustix::event::poll(&mut [PollFd::from_borrowed_fd(self.fd(), PollFlags::OUT)], timeout)?;
                    Ok(())
                })?,
                // Without a reader every later write fails alike, whatever the first one is called.
                Err(Errno::CONNRESET) => return Err(Errno::PIPE.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The reader gets what is buffered and then the end, even if somebody else still holds the other end.
    pub(crate) fn shutdown_read(&self) -> io::Result<()> {
        self.drain.start(self.fd())
    }

    /// Ends every wait of both directions; what is buffered may be lost.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.drain.start(self.fd())?;
        Ok(rustix::net::shutdown(self.fd(), Shutdown::Both)?)
    }
}

/// Lets `poll` wait until the deadline; an interruption by a signal is a wake-up like any other.
fn wait(deadline: Option<Instant>, poll: impl FnOnce(Option<&Timespec>) -> io::Result<()>) -> io::Result<()> {
    let timeout = remaining(deadline)?.map(timespec);
    match poll(timeout.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}

/// Beyond a century there is no difference.
fn timespec(timeout: Duration) -> Timespec {
    const CENTURY_SECS: i64 = 100 * 365 * 24 * 3600;
    let tv_sec = i64::try_from(timeout.as_secs()).unwrap_or(CENTURY_SECS).min(CENTURY_SECS);
    Timespec { tv_sec, tv_nsec: timeout.subsec_nanos().into() }
}

#[expect(unsafe_code, reason = "reading into memory that nobody zeroed")]
fn recv_append(
    fd: BorrowedFd<'_>,
    buf: &mut Vec<u8>,
    wanted: usize,
    flags: RecvFlags,
) -> rustix::io::Result<usize> {
    let len = buf.len();
    let room: &mut [MaybeUninit<u8>] = &mut buf.spare_capacity_mut()[..wanted];
    let ((read, _), _) = rustix::net::recv(fd, room, flags)?;
    let read = read.len();
    // SAFETY: the first `read` bytes of the spare capacity are now initialised.
    unsafe { buf.set_len(len + read) };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::Socket;
    use std::io::{self, IoSlice};
    use std::process::{Command, Output, Stdio};
    use std::time::{Duration, Instant};

    const ROLE: &str = "COFFERDAM_IPC_TEST_CHILD";

    /// Rust programs ignore SIGPIPE, hosts written in C need not: the child restores the default and would die of it.
    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "the signal would end the test program itself, so a child tries it"
    )]
    fn a_write_to_a_dead_peer_raises_no_signal() {
        if std::env::var_os(ROLE).is_some() {
            return write_to_a_dead_peer();
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["sys::unix::tests::a_write_to_a_dead_peer_raises_no_signal", "--exact", "--nocapture"])
            .env(ROLE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", output.status);
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    }

    fn write_to_a_dead_peer() {
        #[expect(unsafe_code, reason = "std cannot restore a signal's default")]
        // SAFETY: no handler is involved.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        }
        let (socket, peer) = Socket::pair().unwrap();
        drop(peer);
        for parts in [&[IoSlice::new(b"one")][..], &[IoSlice::new(b"several"), IoSlice::new(b"parts")]] {
            let error = socket.write(parts, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    /// A grandchild that inherited the stream keeps it open, as processors that start programs of their own can.
    #[test]
    fn a_stream_that_a_grandchild_keeps_open_ends_for_a_reader_that_is_told_to_stop() {
        let (host, child) = Socket::pair().unwrap();
        let script =
            r#"exec 3<&0; sleep 60 <&3 >/dev/null 2>&1 & echo $!; printf 'last words' >&0; kill -9 $$"#;
        let output = shell(script, child.into_stdin());
        assert!(!output.status.success());
        let grandchild = String::from_utf8(output.stdout).unwrap();

        let mut buf = [0; 64];
        let read = host.read(&mut buf, None).unwrap();
        assert_eq!(&buf[..read], b"last words");
        // The grandchild lives: there is no end yet.
        let long_enough = Duration::from_millis(20);
        #[allow(clippy::disallowed_methods, reason = "tests wait by the real clock")]
        let error = host.read(&mut buf, Some(Instant::now() + long_enough)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        host.shutdown_read().unwrap();
        assert_eq!(host.read(&mut buf, None).unwrap(), 0);
        assert!(shell(&format!("kill -9 {grandchild}"), Stdio::null()).status.success());
    }

    #[allow(clippy::disallowed_methods, reason = "a shell makes grandchildren with the least words")]
    fn shell(script: &str, stdin: Stdio) -> Output {
        Command::new("sh").args(["-c", script]).stdin(stdin).stderr(Stdio::inherit()).output().unwrap()
    }
}
