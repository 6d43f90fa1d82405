//! Windows: reads and writes that end at a deadline or when they are told to stop.
#![expect(unsafe_code, reason = "overlapped I/O has no safe wrapper with deadlines")]

use crate::deadline::remaining;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::time::Instant;
use windows_sys::Win32::Foundation::{
    ERROR_IO_PENDING, ERROR_OPERATION_ABORTED, HANDLE, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::Storage::FileSystem::{ReadFile, WriteFile};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

/// One direction of a pipe: at most one operation at a time.
#[derive(Debug)]
pub(super) struct Lane {
    /// Signalled when the operation is over.
    done: OwnedHandle,
    /// Signalled for good by [`Lane::stop`].
    stop: OwnedHandle,
}

/// How an operation ended, other than with an error.
pub(super) enum Finished {
    /// It moved this many bytes.
    Moved(usize),
    /// [`Lane::stop`] ended it before it moved any.
    Stopped,
}

impl Lane {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { done: manual_event()?, stop: manual_event()? })
    }

    /// Ends the operation that waits and all that would have to wait.
    pub(super) fn stop(&self) -> io::Result<()> {
        // SAFETY: the event is ours and open.
        checked(unsafe { SetEvent(self.stop.as_raw_handle()) })
    }

    /// Reads up to `len` bytes to `target`.
    ///
    /// # Safety
    /// `target` must be valid for writes of `len` bytes. No other thread may use this lane meanwhile.
    pub(super) unsafe fn read(
        &self,
        pipe: BorrowedHandle<'_>,
        target: *mut u8,
        len: usize,
        deadline: Option<Instant>,
    ) -> io::Result<Finished> {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.run(pipe, deadline, |pipe, overlapped| {
            // SAFETY: `target` is valid by contract, and `run` returns only when the operation is over.
            unsafe { ReadFile(pipe, target, len, ptr::null_mut(), overlapped) }
        })
    }

    /// Writes some of `bytes`. The lane must not be in use by another thread.
    pub(super) fn write(
        &self,
        pipe: BorrowedHandle<'_>,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> io::Result<Finished> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.run(pipe, deadline, |pipe, overlapped| {
            // SAFETY: `bytes` outlives the operation: `run` returns only when it is over.
            unsafe { WriteFile(pipe, bytes.as_ptr(), len, ptr::null_mut(), overlapped) }
        })
    }

    fn run(
        &self,
        pipe: BorrowedHandle<'_>,
        deadline: Option<Instant>,
        start: impl FnOnce(HANDLE, *mut OVERLAPPED) -> i32,
    ) -> io::Result<Finished> {
        // SAFETY: the event is ours and open.
        checked(unsafe { ResetEvent(self.done.as_raw_handle()) })?;
        let mut overlapped = OVERLAPPED { hEvent: self.done.as_raw_handle(), ..OVERLAPPED::default() };
        if start(pipe.as_raw_handle(), &mut overlapped) == 0 {
            let error = io::Error::last_os_error();
            if !is(&error, ERROR_IO_PENDING) {
                return Err(error);
            }
        }
        let waited = self.wait(deadline);
        if !matches!(waited, Ok(Waited::Done)) {
            // SAFETY: both are alive; an operation that is over already makes this fail, which is as good.
            unsafe { CancelIoEx(pipe.as_raw_handle(), &overlapped) };
        }
        let mut moved = 0;
        // SAFETY: all pointers are alive. This waits until the kernel has let go of `overlapped` and the buffer.
        let ended = checked(unsafe { GetOverlappedResult(pipe.as_raw_handle(), &overlapped, &mut moved, 1) });
        match (ended, waited?) {
            (Ok(()), _) => Ok(Finished::Moved(moved as usize)),
            (Err(error), Waited::Stopped) if is(&error, ERROR_OPERATION_ABORTED) => Ok(Finished::Stopped),
            (Err(error), Waited::TimedOut) if is(&error, ERROR_OPERATION_ABORTED) => {
                Err(io::ErrorKind::TimedOut.into())
            }
            (Err(error), Waited::Done | Waited::Stopped | Waited::TimedOut) => Err(error),
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> io::Result<Waited> {
        let timeout_ms = match remaining(deadline) {
            Ok(None) => INFINITE,
            // Rounded up: to wake before the deadline would only mean to wait again.
            Ok(Some(left)) => u32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(INFINITE - 1),
            Err(_) => 0,
        };
        let events = [self.done.as_raw_handle(), self.stop.as_raw_handle()];
        const STOPPED: u32 = WAIT_OBJECT_0 + 1;
        // SAFETY: both events are ours and open.
        match unsafe { WaitForMultipleObjects(2, events.as_ptr(), 0, timeout_ms) } {
            WAIT_OBJECT_0 => Ok(Waited::Done),
            STOPPED => Ok(Waited::Stopped),
            WAIT_TIMEOUT => Ok(Waited::TimedOut),
            WAIT_FAILED => Err(io::Error::last_os_error()),
            other => Err(io::Error::other(format!("WaitForMultipleObjects returned {other}"))),
        }
    }
}

enum Waited {
    Done,
    Stopped,
    TimedOut,
}

fn manual_event() -> io::Result<OwnedHandle> {
    // SAFETY: no pointers; a fresh handle is ours alone.
    unsafe {
        let event = CreateEventW(ptr::null(), 1, 0, ptr::null());
        if event.is_null() {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedHandle::from_raw_handle(event))
        }
    }
}

/// A `BOOL` as a result.
pub(super) fn checked(ok: i32) -> io::Result<()> {
    if ok == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether `error` is the system's error `code`.
pub(super) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == i32::try_from(code).ok()
}
