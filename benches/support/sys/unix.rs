//! Processor time by getrusage, and a clock that all processes share.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// User and system time of this process.
pub fn cpu_of_this_process() -> Option<Duration> {
    getrusage(UsageWho::RUSAGE_SELF).ok().map(cpu)
}

/// User and system time of the children that are gone.
pub fn cpu_of_children() -> Option<Duration> {
    getrusage(UsageWho::RUSAGE_CHILDREN).ok().map(cpu)
}

/// Nanoseconds on the monotonic clock, which is the same in every process.
pub fn monotonic_nanos() -> Option<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    u64::try_from(now.num_nanoseconds()).ok()
}

/// One `pread`.
pub fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(buf, offset)
}

/// SIGKILL.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
    Ok(nix::sys::signal::kill(pid, Signal::SIGKILL)?)
}

fn cpu(usage: Usage) -> Duration {
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
