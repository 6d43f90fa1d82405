//! Runs processors in threads and child processes, and says exactly how each ended.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod environment;
mod program;
pub mod protocol;
pub mod recorder;
mod sys;
mod thread;
mod worker;

pub use thread::{ThreadExecutor, ThreadSettings, ThreadsRefused};
pub use worker::{Registration, has_worker_line, worker_entry};
