//! What only Linux has: pidfds and `/proc`.

use crate::sys::leader::Leader;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
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

/// More than most environments have.
const ENVIRON_BYTES: usize = 16 << 10;

/// So many process ids are looked up one by one.
const PROBED_MAX: u32 = 128;

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
    let is_marked = |pid: &u32| *pid != me && kill_if_marked(*pid, wanted);
    match Descendants::of(leader) {
        // To look for a few costs less than to list the whole table, while the other half of the machine starts the replacement.
        Descendants::Between(first, last) if last - first < PROBED_MAX => {
            (first..=last).filter(is_marked).count()
        }
        descendants => pids().filter(|pid| descendants.may_be(*pid)).filter(is_marked).count(),
    }
}

/// Where a process's descendants are among the process ids. These are given out in a circle, so they lie between their ancestor's and the latest
/// one, unless the circle was closed meanwhile. On a machine with a thousand processes this saves several milliseconds between a
/// death and its verdict. (Threads take ids, too; what is found under a thread's is its process.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descendants {
    Anywhere,
    Between(u32, u32),
    /// Not between these, which lie the other way round.
    Outside(u32, u32),
}

impl Descendants {
    fn of(leader: Option<Leader>) -> Self {
        let span = leader.filter(|leader| !may_have_come_round(leader.age)).zip(latest_pid());
        match span {
            None => Self::Anywhere,
            Some((leader, latest)) if latest >= leader.pid => {
                Self::Between(leader.pid + 1, latest.max(leader.pid + 1))
            }
            Some((leader, latest)) => Self::Outside(latest, leader.pid),
        }
    }

    fn may_be(self, pid: u32) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Between(first, last) => (first..=last).contains(&pid),
            Self::Outside(latest, leader) => leader < pid || pid <= latest,
        }
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
        read_environ(pid).is_ok_and(|env| env.split(|b| *b == 0).any(|var| var == wanted))
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

/// With room for most environments from the start: `fs::read` knows no length of files in `/proc` and reads them in up to ten pieces, for every
/// process of the machine, while a replacement starts. (`take` keeps `read_to_end` from asking for the length.)
fn read_environ(pid: u32) -> io::Result<Vec<u8>> {
    let mut environ = Vec::with_capacity(ENVIRON_BYTES);
    File::open(format!("/proc/{pid}/environ"))?.take(u64::MAX).read_to_end(&mut environ)?;
    Ok(environ)
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
    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    #[test]
    fn a_child_lies_behind_its_parent_as_long_as_the_circle_of_ids_is_open() {
        let me = std::process::id();
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get() as u32;
        let young = Leader { pid: parent, age: Duration::ZERO };
        let descendants = Descendants::of(Some(young));
        assert!(descendants.may_be(me));
        assert!(!descendants.may_be(parent));

        let old = Leader { pid: parent, age: Duration::from_secs(1_000_000) };
        assert_eq!(Descendants::of(Some(old)), Descendants::Anywhere, "nothing is known any more");
        assert_eq!(Descendants::of(None), Descendants::Anywhere);
        assert!(Descendants::Anywhere.may_be(parent));
    }

    #[test]
    fn a_marked_process_is_found_among_the_few_that_came_after_its_leader() {
        let mark = format!("test-{}", std::process::id());
        let mut echo = Command::new("cat");
        echo.env(crate::environment::TREE_VAR, &mark).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = echo.spawn().unwrap();
        // A process has no environment until its exec is over.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let leader = Leader { pid: child.id() - 1, age: Duration::ZERO };

        assert!(kill_marked(&mark, Some(leader)) >= 1);

        assert_eq!(child.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn behind_the_end_of_the_circle_descendants_are_at_its_beginning() {
        let descendants = Descendants::Outside(300, 32_000);
        assert!([300, 32_001].into_iter().all(|pid| descendants.may_be(pid)));
        assert!([301, 32_000].into_iter().all(|pid| !descendants.may_be(pid)));
    }

    #[test]
    fn this_process_has_a_start_time_and_memory() {
        let me = std::process::id();
        assert!(start_time(me).is_some_and(|ticks| ticks > 0));
        assert!(resident_bytes(me).is_some_and(|bytes| bytes > 100_000));
        assert!(!is_zombie(me));
    }
}
