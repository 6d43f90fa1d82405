//! Everything that differs between operating systems.

#[cfg(unix)]
#[path = "unix/files.rs"]
pub(crate) mod files;
#[cfg(windows)]
#[path = "windows/files.rs"]
pub(crate) mod files;

pub(crate) mod leader;
pub(crate) mod status;
pub(crate) mod tail;

#[cfg(target_os = "linux")]
#[path = "linux/context.rs"]
mod context;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos/context.rs"]
mod context;
#[cfg(unix)]
#[path = "unix/crash.rs"]
pub(crate) mod crash;
#[cfg(windows)]
#[path = "windows/crash.rs"]
pub(crate) mod crash;
#[cfg(target_os = "linux")]
#[path = "linux/oom.rs"]
pub(crate) mod oom;
#[cfg(not(target_os = "linux"))]
#[path = "other/oom.rs"]
pub(crate) mod oom;

#[cfg(unix)]
#[path = "unix/dirs.rs"]
pub(crate) mod dirs;
#[cfg(target_os = "linux")]
#[path = "linux/os.rs"]
pub(crate) mod os;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos/os.rs"]
pub(crate) mod os;
#[cfg(unix)]
#[path = "unix/output.rs"]
pub(crate) mod output;
#[cfg(unix)]
#[path = "unix/process.rs"]
pub(crate) mod process;
#[cfg(not(target_os = "linux"))]
#[path = "other/processes.rs"]
mod processes;
#[cfg(unix)]
#[path = "unix/waiter.rs"]
pub(crate) mod waiter;

#[cfg(windows)]
#[path = "windows/dirs.rs"]
pub(crate) mod dirs;
#[cfg(windows)]
#[path = "windows/os.rs"]
pub(crate) mod os;
#[cfg(windows)]
#[path = "windows/output.rs"]
pub(crate) mod output;
#[cfg(windows)]
#[path = "windows/process.rs"]
pub(crate) mod process;
#[cfg(windows)]
#[path = "windows/waiter.rs"]
pub(crate) mod waiter;

#[cfg(unix)]
#[path = "unix/descriptors.rs"]
mod descriptors;
#[cfg(target_os = "linux")]
#[path = "linux/parent.rs"]
mod parent;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos/parent.rs"]
mod parent;
#[cfg(unix)]
#[path = "unix/worker.rs"]
pub(crate) mod worker;
#[cfg(windows)]
#[path = "windows/worker.rs"]
pub(crate) mod worker;
