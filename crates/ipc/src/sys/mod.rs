//! The operating system's side of a stream: one surface on every platform.

#[cfg(any(not(target_os = "linux"), test))]
mod allowance;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{ChildHandle, Socket};

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod drain;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos.rs"]
mod drain;

#[cfg(windows)]
mod overlapped;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{ChildHandle, Socket};
