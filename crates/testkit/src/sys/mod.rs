//! Mischief that only the operating system can do.
#![allow(unsafe_code, reason = "memory errors and signals on purpose, in processes that are meant to die")]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod mischief;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub use linux::{Ext4, PowerSwitch};
#[cfg(target_os = "linux")]
pub(crate) use mischief::outlive_parent;
#[cfg(unix)]
pub(crate) use unix::{garbage, kill_parent, raise};
#[cfg(windows)]
pub(crate) use windows::{garbage, kill_parent, raise};

/// Not known how.
#[cfg(not(target_os = "linux"))]
pub(crate) fn outlive_parent() {}

/// Writes to address 8: no debug assertion of the compiler is in the way there, as it is at 0.
pub(crate) fn segv() {
    let nowhere = std::ptr::without_provenance_mut::<u8>(std::hint::black_box(8));
    // SAFETY: none: the fault is what the caller wants.
    unsafe { nowhere.write_volatile(1) };
}
