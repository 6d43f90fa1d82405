//! What a process does to itself when it becomes a worker.
#![expect(unsafe_code, reason = "signal dispositions, environment and _exit have no safe interface")]

use crate::sys::{descriptors, parent};
use std::io;

/// Signals whose disposition is not touched: the standard library ignores SIGPIPE before `main`, so that writing to a
/// closed pipe is an error and not a death; native code that we host in a Rust program expects the same.
const KEPT: libc::c_int = libc::SIGPIPE;

/// Undoes what an `exec` inherits and ties this process to the life of its host. Call it on the thread that stays until
/// the end of the process, before there are threads of the user's.
///
/// # Errors
/// When the host is gone already.
pub(crate) fn become_child_of(host_pid: u32) -> io::Result<()> {
    descriptors::close_inherited();
    reset_signals()?;
    parent::die_with_parent()?;
    // The host may have died before the line above; then nobody will tell us.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32);
    if parent != host_pid {
        return Err(io::Error::other(format!("the parent is process {parent}, not the host {host_pid}")));
    }
    Ok(())
}

/// Stops this process until a debugger, or whoever sends SIGCONT, lets it go on.
///
/// # Errors
/// When the system refuses.
pub(crate) fn wait_for_debugger() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?)
}

/// Blocks nothing and ignores nothing that the host blocks or ignores (a host run by `nohup` ignores SIGHUP, one with a
/// signal thread blocks what that thread waits for). Handlers do not survive an `exec`; those of the standard library for
/// stack overflows are this process's own and stay.
fn reset_signals() -> io::Result<()> {
    let mut empty = std::mem::MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the set that it is given, and the mask is only read.
    let failed = unsafe {
        libc::sigemptyset(empty.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, empty.as_ptr(), std::ptr::null_mut())
    };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    for signal in (1..=parent::SIGNAL_MAX).filter(|signal| *signal != KEPT) {
        // SAFETY: an all-zero `sigaction` is a valid value; the calls read and write that local only. Signals that
        // cannot be asked about (SIGKILL, those of the C library) answer with an error and are left alone.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
    }
    Ok(())
}

/// Removes a variable from this process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that changes the environment: a worker's own, before any user code"
)]
pub(crate) fn remove_var(name: &str) {
    // SAFETY: the worker line is the first line of `main`, where there is one thread; in a test executable the
    // harness's main thread waits for ours to end.
    unsafe { std::env::remove_var(name) }
}

/// Ends the process at once: no destructor, no `atexit`, no other thread gets in between.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code.into()) }
}

/// Ends the process as a return from `main` would: buffers are flushed, `atexit` runs.
#[expect(clippy::disallowed_methods, reason = "the orderly end of a worker")]
pub(crate) fn exit_orderly(code: u8) -> ! {
    std::process::exit(code.into())
}
