//! Runs processors in threads and child processes, and says exactly how each ended.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod child;
mod clock;
mod environment;
mod error;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzzing;
mod orphans;
mod program;
pub mod protocol;
pub mod recorder;
mod staging;
mod sys;
mod thread;
mod worker;
mod workspace;

pub use child::{ChildExecutor, ChildSettings, Debugging, WorkerRecord};
pub use environment::is_inside_worker;
pub use error::IsolationError;
pub use orphans::{end_orphans, forget_records};
pub use program::WorkerProgram;
pub use thread::{ThreadExecutor, ThreadSettings};
pub use worker::{Registration, Run, Runs, has_worker_line, worker_entry};
pub use workspace::{StagedOutput, Workspace, clear_scratch, create_item_file};
