//! Breaks things: misbehaving processors, simulated disks, chaos. Used from integration tests only.
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "this crate only breaks things")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod conformance;
mod hooked_disk;
mod misbehave;
mod paced_disk;
mod sim_disk;
mod sys;

pub use hooked_disk::{HookedDisk, Moment};
pub use misbehave::{Behaviour, Done, FailWith, Misbehave, Start, Task};
pub use paced_disk::{PacedDisk, Step};
/// SQLite, for tests that hold something against it.
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use sim_disk::{Fault, FaultPlan, ImageLimits, Images, SimDisk, Space, SyncFailure};
#[allow(unused_imports, reason = "only Linux has something to show here")]
pub use sys::*;

/// Ends this process at once, as the kernel does it; on Windows with exit code 9.
pub fn kill_this_process() -> ! {
    sys::raise(9);
    unreachable!("nobody survives this signal")
}
