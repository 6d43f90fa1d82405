//! What differs between operating systems; one surface.

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod os;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "macos.rs"]
mod os;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use os::{boot_id, file_system_kind, machine_id, process_start_time, sync_data};
#[cfg(unix)]
pub(crate) use unix::{read_at, sync_dir, write_at};
#[cfg(windows)]
pub(crate) use windows::{
    boot_id, file_system_kind, machine_id, process_start_time, read_at, sync_data, sync_dir, write_at,
};
