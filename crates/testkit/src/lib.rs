//! Breaks things: misbehaving processors, simulated disks, chaos. Used from integration tests only.
#![deny(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "this crate only breaks things")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod misbehave;
mod sim_disk;
mod sys;

pub use misbehave::{Behaviour, Done, FailWith, Misbehave, Start, Task};
pub use sim_disk::{Fault, FaultPlan, ImageLimits, Images, SimDisk, SyncFailure};
