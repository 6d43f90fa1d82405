//! What differs between operating systems; one surface.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as os;
#[cfg(target_os = "macos")]
use macos as os;
#[cfg(windows)]
use windows as os;

pub(crate) use os::{boot_id, file_system_kind, free_bytes, machine_id, process_start_time, sync_data};
#[cfg(unix)]
pub(crate) use unix::{is_linked, read_at, sync_dir, write_at};
#[cfg(windows)]
pub(crate) use windows::{is_linked, read_at, sync_dir, write_at};
