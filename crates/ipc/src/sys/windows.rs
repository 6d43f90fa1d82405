//! Windows: one duplex named pipe whose two ends are both opened here; the child's end travels as its stdin.
//!
//! Both ends are overlapped: a synchronous duplex pipe lets a read and a write wait for each other.

use super::allowance::Allowance;
use super::overlapped::{Finished, Lane, checked, is};
use interprocess::ConnectWaitMode;
use interprocess::os::windows::named_pipe::{DuplexPipeStream, PipeListenerOptions, pipe_mode};
use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::num::NonZeroU8;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, IntoRawHandle, OwnedHandle};
use std::process::Stdio;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED, HANDLE_FLAG_INHERIT, SetHandleInformation,
};
use windows_sys::Win32::System::Console::{STD_INPUT_HANDLE, SetStdHandle};
use windows_sys::Win32::System::Pipes::{GetNamedPipeInfo, PeekNamedPipe};

/// What fits into the pipe without a reader, so that a writer of small frames need not wait.
const PIPE_BUFFER_BYTES: u32 = 64 << 10;
/// A pipe has no vectored write: frames up to this size are copied together for a single one.
const COALESCE_BYTES_MAX: usize = 64 << 10;

type Pipe = DuplexPipeStream<pipe_mode::Bytes>;

/// One end of a named pipe.
#[derive(Debug)]
pub(crate) struct Socket {
    pipe: OwnedHandle,
    reads: Lane,
    allowance: Allowance,
    writes: Lane,
    coalesced: Mutex<Vec<u8>>,
}

/// The end that a child gets.
#[derive(Debug)]
pub(crate) struct ChildHandle(OwnedHandle);

impl ChildHandle {
    pub(crate) fn into_stdin(self) -> Stdio {
        self.0.into()
    }

    pub(crate) fn into_socket(self) -> io::Result<Socket> {
        Socket::new(self.0)
    }
}

impl Socket {
    /// The name is fresh and unguessable, and the first and only client is this process itself.
    pub(crate) fn pair() -> io::Result<(Self, ChildHandle)> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let name = format!(r"\\.\pipe\cofferdam-{:032x}", u128::from_ne_bytes(nonce));
        let listener = PipeListenerOptions::new()
            .path(name.as_str())
            // One for the connection and one that `accept` makes in advance; it goes with the listener.
            .instance_limit(NonZeroU8::new(2))
            .input_buffer_size_hint(PIPE_BUFFER_BYTES)
            .output_buffer_size_hint(PIPE_BUFFER_BYTES)
            .create_duplex::<pipe_mode::Bytes>()?;
        let client =
            Pipe::connect_by_path_with_wait_mode(name.as_str(), ConnectWaitMode::Timeout(Duration::ZERO))?;
        let server = listener.accept()?;
        if server.client_process_id()? != std::process::id() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a stranger connected to the pipe"));
        }
        Ok((Self::new(owned(server)?)?, ChildHandle(owned(client)?)))
    }

    /// Takes a duplicate of the pipe that is this process's stdin; stdin becomes empty. The C runtime's descriptor 0 keeps the
    /// original, which children no longer inherit: to close it would let its number be used again.
    pub(crate) fn take_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        let stdin = stdin.as_handle();
        is_pipe(stdin)?;
        let socket = Self::new(stdin.try_clone_to_owned()?)?;
        replace_stdin(stdin)?;
        Ok(socket)
    }

    fn new(pipe: OwnedHandle) -> io::Result<Self> {
        Ok(Self {
            pipe,
            reads: Lane::new()?,
            allowance: Allowance::default(),
            writes: Lane::new()?,
            coalesced: Mutex::new(Vec::new()),
        })
    }

    /// Reads some bytes to the front of `buf`; 0 at the end. One reader at a time.
    pub(crate) fn read(&self, buf: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        #[expect(unsafe_code, reason = "the kernel fills the buffer")]
        // SAFETY: `buf` is exclusively borrowed.
        unsafe {
            self.read_to(buf.as_mut_ptr(), buf.len(), deadline)
        }
    }

    /// Appends up to `wanted` bytes to `buf`, whose capacity must have room for them; 0 at the end. The new bytes are not zeroed first.
    pub(crate) fn read_append(
        &self,
        buf: &mut Vec<u8>,
        wanted: usize,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        let len = buf.len();
        let room = &mut buf.spare_capacity_mut()[..wanted];
        #[expect(unsafe_code, reason = "reading into memory that nobody zeroed")]
        // SAFETY: `room` is exclusively borrowed, and the first `read` bytes of it are initialised afterwards.
        unsafe {
            let read = self.read_to(room.as_mut_ptr().cast(), wanted, deadline)?;
            buf.set_len(len + read);
            Ok(read)
        }
    }

    /// # Safety
    /// `target` must be valid for writes of `wanted` bytes.
    #[expect(unsafe_code, reason = "the kernel fills the buffer")]
    unsafe fn read_to(&self, target: *mut u8, wanted: usize, deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            let allowed = self.allowance.of(wanted, || buffered(self.pipe.as_handle()))?;
            if allowed == 0 {
                return Ok(0);
            }
            // SAFETY: by contract.
            match unsafe { self.reads.read(self.pipe.as_handle(), target, allowed, deadline) } {
                Ok(Finished::Moved(read)) => {
                    self.allowance.count(read);
                    return Ok(read);
                }
                // Now the allowance knows.
                Ok(Finished::Stopped) => {}
                Err(error) if is_gone(&error) => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes some bytes of `bufs`. One writer at a time.
    pub(crate) fn write(&self, bufs: &[IoSlice<'_>], deadline: Option<Instant>) -> io::Result<usize> {
        let mut coalesced = self.coalesced.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match bufs {
            [] => return Ok(0),
            [only] => only,
            [first, ..] if bufs.iter().map(|buf| buf.len()).sum::<usize>() > COALESCE_BYTES_MAX => first,
            several => {
                coalesced.clear();
                several.iter().for_each(|buf| coalesced.extend_from_slice(buf));
                coalesced.as_slice()
            }
        };
        match self.writes.write(self.pipe.as_handle(), bytes, deadline) {
            Ok(Finished::Moved(written)) => Ok(written),
            Ok(Finished::Stopped) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) if is_gone(&error) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => Err(error),
        }
    }

    /// The reader gets what is buffered and then the end, even if somebody else still holds the other end.
    pub(crate) fn shutdown_read(&self) -> io::Result<()> {
        self.allowance.stop();
        self.reads.stop()
    }

    /// Ends every wait of both directions. The peer sees the end when this side is dropped.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.shutdown_read()?;
        self.writes.stop()
    }
}

fn owned(pipe: Pipe) -> io::Result<OwnedHandle> {
    OwnedHandle::try_from(pipe).map_err(|_| io::Error::other("a fresh pipe has one owner"))
}

fn is_gone(error: &io::Error) -> bool {
    [ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED].iter().any(|code| is(error, *code))
}

#[expect(unsafe_code, reason = "no safe wrapper")]
fn is_pipe(handle: BorrowedHandle<'_>) -> io::Result<()> {
    let none = ptr::null_mut;
    // SAFETY: the handle is borrowed, and the pointers may be null.
    checked(unsafe { GetNamedPipeInfo(handle.as_raw_handle(), none(), none(), none(), none()) })
}

/// How many bytes can be read at once.
#[expect(unsafe_code, reason = "no safe wrapper")]
fn buffered(pipe: BorrowedHandle<'_>) -> io::Result<u64> {
    let mut available = 0;
    let none = ptr::null_mut;
    // SAFETY: the handle is borrowed, `available` is alive, and the other pointers may be null.
    let peeked = checked(unsafe {
        PeekNamedPipe(pipe.as_raw_handle(), ptr::null_mut(), 0, none(), &mut available, none())
    });
    match peeked {
        Ok(()) => Ok(available.into()),
        Err(error) if is_gone(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

#[expect(unsafe_code, reason = "no safe wrapper")]
fn replace_stdin(original: BorrowedHandle<'_>) -> io::Result<()> {
    let nul = OpenOptions::new().read(true).open("NUL")?;
    // SAFETY: the handle is borrowed; the new one stays open for the life of the process.
    unsafe {
        checked(SetHandleInformation(original.as_raw_handle(), HANDLE_FLAG_INHERIT, 0))?;
        checked(SetStdHandle(STD_INPUT_HANDLE, nul.into_raw_handle()))
    }
}
