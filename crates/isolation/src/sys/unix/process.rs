//! One child process and its group.

use crate::sys::leader::Leader;
use crate::sys::os;
use crate::sys::status::RawExit;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command};
use std::time::{Duration, Instant};

/// A signal ends what we kill; no exit code stands for it.
pub(crate) const KILL_EXIT_CODE: i32 = i32::MIN;

/// Puts the child into a process group of its own. Std still takes its `posix_spawn` path, whose cost does not grow
/// with the host's memory; a `pre_exec` would force `fork`.
pub(crate) fn prepare(command: &mut Command) {
    command.process_group(0);
}

/// A child of this process: its pid stays taken until [`Process::reap`].
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    start_time: u64,
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Process {
    /// Takes charge of a child whose [`Command`] went through [`prepare`].
    pub(crate) fn adopt(child: Child) -> io::Result<Self> {
        let pid = Pid::from_child(&child);
        let start_time = os::start_time(child.id()).unwrap_or(0);
        Ok(Self { child, pid, start_time, pidfd: os::pidfd(pid), reaped: false })
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

    /// Readable once the process has ended, where the system has such a thing.
    pub(crate) fn exit_fd(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// How it ended, without reaping it: the pid and the group stay ours. `None` while it runs.
    pub(crate) fn poll_exit(&mut self) -> Option<RawExit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::Pid(self.pid), options) {
            Ok(Some(status)) => Some(raw_exit(&status)),
            Ok(None) | Err(Errno::INTR) => None,
            // No such child: it ended and SIGCHLD is ignored, or the host waits for children that are not its own.
            Err(_) => Some(RawExit::Unknown),
        }
    }

    /// Kills the process and its group. Safe after it has ended and before it is reaped.
    pub(crate) fn kill_tree(&self, exit: Option<&RawExit>) {
        if self.reaped {
            return;
        }
        // When somebody else reaped it, its number may already name another process: only the pidfd is safe, and the
        // group's number only as long as it is not in use by a new process.
        if matches!(exit, Some(RawExit::Unknown))
            && os::start_time(self.pid()).is_some_and(|t| t != self.start_time)
        {
            return;
        }
        // Errors mean that there is nobody left to kill.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        if exit.is_none() {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }

    /// Frees the pid. Call it when [`Process::poll_exit`] has said how it ended.
    pub(crate) fn reap(&mut self) {
        self.reaped = true;
        // An error means that somebody else was faster.
        let _ = self.child.try_wait();
    }
}

/// Whether some member of the group is left. Members that ended and were not reaped by their parents count, so a lazy
/// init would be waited for: [`os::is_group_alive`] looks closer.
fn group_exists(pid: Pid) -> bool {
    // EPERM: somebody is there.
    rustix::process::test_kill_process_group(pid) != Err(Errno::SRCH)
}

/// Kills what left the process group of a dead worker (found by its mark, where the system shows it), and waits until
/// the group is empty or `bound` has passed; the number of processes that had to be found by their mark.
pub(crate) fn end_descendants(leader: Leader, mark: &str, bound: Duration) -> usize {
    let found = os::kill_marked(mark, Some(leader));
    let Some(pid) = i32::try_from(leader.pid).ok().and_then(Pid::from_raw) else { return found };
    let deadline = crate::clock::now() + bound;
    let mut pause = Duration::from_micros(50);
    while group_exists(pid) && os::is_group_alive(pid) && crate::clock::now() < deadline {
        crate::clock::pause(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    found
}

/// Kills the worker of a dead host and its group; false when no such process runs any more.
pub(crate) fn kill_orphan(pid: u32, start_time: u64) -> bool {
    if start_time == 0 || !is_alive(pid, start_time) {
        return false;
    }
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // A descriptor pins the process: after the second look the signal can reach nobody else.
    let pidfd = os::pidfd(raw);
    if !is_alive(pid, start_time) {
        return false;
    }
    // Errors mean that there is nobody left to kill.
    let _ = rustix::process::kill_process_group(raw, Signal::KILL);
    match &pidfd {
        Some(fd) => os::kill_by_pidfd(fd),
        None => drop(rustix::process::kill_process(raw, Signal::KILL)),
    }
    true
}

/// Waits until this very process is gone; false when it was still there at the deadline.
pub(crate) fn wait_gone(pid: u32, start_time: u64, deadline: Instant) -> bool {
    let mut pause = Duration::from_micros(200);
    while is_alive(pid, start_time) {
        if crate::clock::now() >= deadline {
            return false;
        }
        crate::clock::pause(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    true
}

/// Whether this very process still runs (one that ended and waits to be reaped does not).
fn is_alive(pid: u32, start_time: u64) -> bool {
    os::start_time(pid) == Some(start_time) && !os::is_zombie(pid)
}

fn raw_exit(status: &WaitIdStatus) -> RawExit {
    if let Some(number) = status.terminating_signal() {
        return RawExit::Signal { number, name: signal_name(number) };
    }
    status.exit_status().map_or(RawExit::Unknown, RawExit::Code)
}

/// The name of a signal; real-time signals share one.
fn signal_name(number: i32) -> &'static str {
    const NAMES: &[(Signal, &str)] = &[
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::VTALARM, "SIGVTALRM"),
        (Signal::PROF, "SIGPROF"),
        (Signal::SYS, "SIGSYS"),
    ];
    NAMES
        .iter()
        .find(|(signal, _)| signal.as_raw() == number)
        .map_or_else(|| os::signal_name(number), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Signal;

    #[test]
    fn signals_are_known_by_name() {
        assert_eq!(signal_name(Signal::SEGV.as_raw()), "SIGSEGV");
        assert_eq!(signal_name(Signal::BUS.as_raw()), "SIGBUS");
        assert_eq!(signal_name(9999), "unknown signal");
    }

    #[test]
    fn a_pid_whose_start_time_differs_is_no_orphan() {
        let me = std::process::id();
        let start_time = os::start_time(me).unwrap();
        assert!(!kill_orphan(me, start_time + 1), "this test would be dead");
    }
}
