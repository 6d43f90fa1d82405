//! Other processes, where there is no `/proc`.

use crate::sys::leader::Leader;
use std::ffi::OsStr;
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

/// Passes over the process table: a process that forks while we look is found in the next.
const MARKED_PASSES_MAX: usize = 4;

/// Seconds from the epoch to the start of this process; `None` when there is none.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    look_at(pid, ProcessRefreshKind::nothing(), sysinfo::Process::start_time)
}

/// Whether it has ended and waits to be reaped.
pub(crate) fn is_zombie(pid: u32) -> bool {
    let status = look_at(pid, ProcessRefreshKind::nothing(), sysinfo::Process::status);
    status.is_some_and(|status| matches!(status, ProcessStatus::Zombie | ProcessStatus::Dead))
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    look_at(pid, ProcessRefreshKind::nothing().with_memory(), sysinfo::Process::memory)
}

/// Kills every process of ours whose first environment carries `mark` as the value of [`crate::environment::TREE_VAR`]:
/// descendants of a worker that left its process group. One that also cleared its environment escapes.
pub(crate) fn kill_marked(mark: &str, _leader: Option<Leader>) -> usize {
    let wanted = format!("{}={mark}", crate::environment::TREE_VAR);
    let mut killed = 0;
    for _ in 0..MARKED_PASSES_MAX {
        let found = marked_processes(OsStr::new(&wanted));
        if found == 0 {
            break;
        }
        killed += found;
    }
    killed
}

fn marked_processes(wanted: &OsStr) -> usize {
    let Ok(mut system) = System::new() else { return 0 };
    let kind = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let me = std::process::id();
    let others = system.processes().values().filter(|process| process.pid().as_u32() != me);
    let marked = others.filter(|process| process.environ().iter().any(|var| var == wanted));
    marked.filter(|process| process.kill()).count()
}

/// Looks at one process; `None` when there is none.
pub(crate) fn look_at<T>(
    pid: u32,
    kind: ProcessRefreshKind,
    look: impl FnOnce(&sysinfo::Process) -> T,
) -> Option<T> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid).map(look)
}
