//! Breaks things: misbehaving processors, simulated disks, chaos. Used from integration tests only.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod misbehave;
mod sys;

pub use misbehave::{Behaviour, Done, FailWith, Misbehave, Start, Task};
