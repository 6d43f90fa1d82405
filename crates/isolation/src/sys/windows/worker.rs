//! What a process does to itself when it becomes a worker.
#![expect(unsafe_code, reason = "TerminateProcess and the environment have no safe interface")]

use std::io;
use std::time::Duration;
use windows_sys::Win32::System::Diagnostics::Debug::IsDebuggerPresent;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

/// A job object of the host's ends this process with it (the host's side); nothing is inherited that must be undone.
#[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
pub(crate) fn become_child_of(_host_pid: u32) -> io::Result<()> {
    Ok(())
}

/// How often a process looks whether a debugger has come.
const DEBUGGER_POLL: Duration = Duration::from_millis(50);

/// Waits until a debugger is attached.
#[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
pub(crate) fn wait_for_debugger() -> io::Result<()> {
    // SAFETY: always allowed.
    while unsafe { IsDebuggerPresent() } == 0 {
        crate::clock::pause(DEBUGGER_POLL);
    }
    Ok(())
}

/// Removes a variable from this process's environment.
pub(crate) fn remove_var(name: &str) {
    // SAFETY: on Windows the environment is guarded by the system's own lock.
    unsafe { std::env::remove_var(name) }
}

/// Ends the process at once: no destructor, no `DllMain`, no other thread gets in between.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: the pseudo handle of this process is always valid.
    unsafe { TerminateProcess(GetCurrentProcess(), code.into()) };
    // Termination is asynchronous; nothing may run meanwhile.
    loop {
        std::thread::park();
    }
}

/// Ends the process as a return from `main` would.
#[expect(clippy::disallowed_methods, reason = "the orderly end of a worker")]
pub(crate) fn exit_orderly(code: u8) -> ! {
    std::process::exit(code.into())
}
