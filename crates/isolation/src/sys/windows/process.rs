//! One child process and its job object.
#![expect(unsafe_code, reason = "job objects have no safe interface")]

use crate::sys::leader::Leader;
use crate::sys::processes;
use crate::sys::status::RawExit;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};
use sysinfo::ProcessRefreshKind;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW};

/// What a kill of ours looks like: no program of sound mind exits with it.
pub(crate) const KILL_EXIT_CODE: i32 = 0x0C0F_FE4D;

/// No console window flashes up, and Ctrl-C in the host's console is the host's business.
pub(crate) fn prepare(command: &mut Command) {
    command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
}

/// A child of this process in a job of its own: the system ends the whole job when its last handle closes, so also
/// when the host dies.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    job: OwnedHandle,
    start_time: u64,
}

impl Process {
    /// Takes charge of a child whose [`Command`] went through [`prepare`]. It joins its job before the handshake lets
    /// user code run, so no descendant is outside.
    pub(crate) fn adopt(mut child: Child) -> io::Result<Self> {
        match enclose(&child) {
            Ok(job) => {
                let start_time = processes::start_time(child.id()).unwrap_or(0);
                Ok(Self { child, job, start_time })
            }
            Err(error) => {
                // An error means that it has ended.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// With the pid it identifies the process across reuse of pids; 0 when unknown.
    pub(crate) fn start_time(&self) -> u64 {
        self.start_time
    }

    /// The pipes, once.
    pub(crate) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// How it ended; `None` while it runs. Its handle keeps the pid from being used again.
    pub(crate) fn poll_exit(&mut self) -> Option<RawExit> {
        match self.child.try_wait() {
            Ok(status) => status.map(raw_exit),
            Err(_) => Some(RawExit::Unknown),
        }
    }

    /// Kills the process and all others in its job.
    pub(crate) fn kill_tree(&self, _exit: Option<&RawExit>) {
        // SAFETY: the handle is ours and open. An error means that nobody is left.
        unsafe { TerminateJobObject(self.job.as_raw_handle(), KILL_EXIT_CODE as u32) };
    }

    /// Nothing is left to free: dropping the handles does it.
    pub(crate) fn reap(&mut self) {}
}

fn enclose(child: &Child) -> io::Result<OwnedHandle> {
    // SAFETY: no attributes, no name.
    let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was created a moment ago and has no other owner.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the pointer and the length describe that local; both handles are open.
    let enclosed = unsafe {
        let (data, len) = ((&raw const limits).cast(), size_of_val(&limits) as u32);
        SetInformationJobObject(job.as_raw_handle(), JobObjectExtendedLimitInformation, data, len) != 0
            && AssignProcessToJobObject(job.as_raw_handle(), child.as_raw_handle()) != 0
    };
    if enclosed { Ok(job) } else { Err(io::Error::last_os_error()) }
}

/// The job has ended them already.
pub(crate) fn end_descendants(_leader: Leader, _mark: &str, _bound: Duration) -> usize {
    0
}

/// Kills the worker of a dead host; false when no such process runs any more. The job has normally done it.
pub(crate) fn kill_orphan(pid: u32, start_time: u64) -> bool {
    let is_it = start_time != 0 && processes::start_time(pid) == Some(start_time);
    if is_it {
        // An error means that it has ended.
        let _ = processes::look_at(pid, ProcessRefreshKind::nothing(), sysinfo::Process::kill);
    }
    is_it
}

/// Waits until this very process is gone; false when it was still there at the deadline.
pub(crate) fn wait_gone(pid: u32, start_time: u64, deadline: Instant) -> bool {
    while processes::start_time(pid) == Some(start_time) && !processes::is_zombie(pid) {
        if crate::clock::now() >= deadline {
            return false;
        }
        crate::clock::pause(Duration::from_millis(10));
    }
    true
}

/// Exceptions that end a process show as its exit code, an NTSTATUS.
fn raw_exit(status: ExitStatus) -> RawExit {
    let Some(code) = status.code() else { return RawExit::Unknown };
    let name = match code as u32 {
        0x8000_0003 => "BREAKPOINT",
        0xC000_0005 => "ACCESS_VIOLATION",
        0xC000_0006 => "IN_PAGE_ERROR",
        0xC000_0017 => "NO_MEMORY",
        0xC000_001D => "ILLEGAL_INSTRUCTION",
        0xC000_0025 => "NONCONTINUABLE_EXCEPTION",
        0xC000_008C => "ARRAY_BOUNDS_EXCEEDED",
        0xC000_008E => "FLOAT_DIVIDE_BY_ZERO",
        0xC000_0094 => "INTEGER_DIVIDE_BY_ZERO",
        0xC000_0095 => "INTEGER_OVERFLOW",
        0xC000_0096 => "PRIVILEGED_INSTRUCTION",
        0xC000_00FD => "STACK_OVERFLOW",
        0xC000_0135 => "DLL_NOT_FOUND",
        0xC000_0139 => "ENTRYPOINT_NOT_FOUND",
        0xC000_013A => "CONTROL_C_EXIT",
        0xC000_0374 => "HEAP_CORRUPTION",
        0xC000_0409 => "FAIL_FAST",
        0xE06D_7363 => "CPP_EXCEPTION",
        _ => return RawExit::Code(code),
    };
    RawExit::Signal { number: code, name }
}
