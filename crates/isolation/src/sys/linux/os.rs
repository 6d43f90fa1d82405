//! What only Linux has: pidfds and `/proc`.

use crate::sys::leader::Leader;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Passes over the process table: a process that forks while we look is found in the next.
const MARKED_PASSES_MAX: usize = 4;

/// More forks a second than any machine makes; large ones make some hundred thousand.
const FORKS_PER_SECOND_MAX: f64 = 1_000_000.0;

/// Process ids that are not given out again after the first round (`RESERVED_PIDS` of the kernel), and a few more.
const RESERVED_PIDS: f64 = 1_000.0;

/// The running executable. The link names the file that was executed, also after another was put in its place.
pub(crate) fn current_exe() -> io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    match fs::metadata(link) {
        Ok(_) => Ok(link.to_owned()),
        Err(_) => std::env::current_exe(),
    }
}

/// Whether the process began with this thread.
pub(crate) fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// What `ps` shows instead of `/proc/self/exe`.
pub(crate) fn set_name(command: &mut Command, name: &OsStr) {
    command.arg0(name);
}

/// A descriptor for a child that was not reaped; `None` on kernels before 5.3 and under filters that forbid it.
pub(crate) fn pidfd(pid: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
}

pub(crate) fn kill_by_pidfd(pidfd: &OwnedFd) {
    // An error means that it has ended.
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
}

/// Clock ticks from boot to the start of this process; `None` when there is none (or no `/proc`).
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// Whether it has ended and waits to be reaped.
pub(crate) fn is_zombie(pid: u32) -> bool {
    stat_field(pid, 3).is_some_and(|state| state == "Z" || state == "X")
}

/// Field `number` (from 1, at least 3) of `/proc/PID/stat`. The second, the command in parentheses, may hold anything.
fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_command = stat.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(&stat[after_command..]).ok()?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Whether the group has a member that has not ended.
pub(crate) fn is_group_alive(group: Pid) -> bool {
    let group = group.as_raw_nonzero().to_string();
    let is_living_member = |pid: u32| stat_field(pid, 5).is_some_and(|of| of == group) && !is_zombie(pid);
    pids().any(is_living_member)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| parse_pid(entry.ok()?.file_name().as_bytes()))
}

/// Kills every process of ours whose first environment carries `mark` as the value of [`crate::environment::TREE_VAR`]:
/// descendants of a worker that left its process group. One that also cleared its environment escapes. Whoever cannot
/// descend from `leader`, if that is known, is not looked at.
pub(crate) fn kill_marked(mark: &str, leader: Option<Leader>) -> usize {
    let wanted = format!("{}={mark}", crate::environment::TREE_VAR).into_bytes();
    let mut killed = 0;
    for _ in 0..MARKED_PASSES_MAX {
        let found = marked_processes(&wanted, leader);
        if found == 0 {
            break;
        }
        killed += found;
    }
    killed
}

fn marked_processes(wanted: &[u8], leader: Option<Leader>) -> usize {
    let me = std::process::id();
    let may_descend = descendants_of(leader);
    pids().filter(|pid| *pid != me && may_descend(*pid) && kill_if_marked(*pid, wanted)).count()
}

/// Process ids are given out in a circle, so descendants lie between their ancestor and the latest one, unless the circle was
/// closed meanwhile. On a machine with a thousand processes this saves several milliseconds between a death and its verdict.
fn descendants_of(leader: Option<Leader>) -> impl Fn(u32) -> bool {
    let span = leader.filter(|leader| !may_have_come_round(leader.age)).zip(latest_pid());
    move |pid| match span {
        None => true,
        Some((leader, latest)) if latest >= leader.pid => leader.pid < pid && pid <= latest,
        Some((leader, latest)) => leader.pid < pid || pid <= latest,
    }
}

/// Whether all process ids could have been given out within `age`; without `/proc` nobody knows.
fn may_have_come_round(age: Duration) -> bool {
    let pids =
        fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|max| max.trim().parse::<f64>().ok());
    pids.is_none_or(|pids| age.as_secs_f64() * FORKS_PER_SECOND_MAX >= pids - RESERVED_PIDS)
}

/// The process or thread that was started last on this machine; later ones are of no concern to a dead worker.
fn latest_pid() -> Option<u32> {
    fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

fn parse_pid(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn kill_if_marked(pid: u32, wanted: &[u8]) -> bool {
    let is_marked = || {
        // Zombies have no environment; other users' processes cannot be read.
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|b| *b == 0).any(|var| var == wanted))
    };
    if !is_marked() {
        return false;
    }
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    match pidfd(raw) {
        // The descriptor pins the process; the second look makes sure that it pins the right one.
        Some(fd) if is_marked() => kill_by_pidfd(&fd),
        Some(_) => return false,
        None => drop(rustix::process::kill_process(raw, Signal::KILL)),
    }
    true
}

pub(crate) fn signal_name(number: i32) -> &'static str {
    match number {
        16 => "SIGSTKFLT",
        29 => "SIGIO",
        30 => "SIGPWR",
        32..=64 => "SIGRT",
        _ => "unknown signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_lies_behind_its_parent_as_long_as_the_circle_of_ids_is_open() {
        let me = std::process::id();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get() as u32;
        let young = Leader { pid: parent, age: Duration::ZERO };
        let may_descend = descendants_of(Some(young));
        assert!(may_descend(me));
        assert!(!may_descend(parent));

        let old = Leader { pid: parent, age: Duration::from_secs(1_000_000) };
        assert!(descendants_of(Some(old))(parent), "nothing is known any more");
        assert!(descendants_of(None)(parent));
    }

    #[test]
    fn this_process_has_a_start_time_and_memory() {
        let me = std::process::id();
        assert!(start_time(me).is_some_and(|ticks| ticks > 0));
        assert!(resident_bytes(me).is_some_and(|bytes| bytes > 100_000));
        assert!(!is_zombie(me));
    }
}
