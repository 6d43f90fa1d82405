//! Breaks things: misbehaving processors, simulated disks, chaos. Used from integration tests only.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod sim_disk;

pub use sim_disk::{Fault, FaultPlan, ImageLimits, Images, SimDisk, SyncFailure};
