//! Workers that are child processes.

mod executor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inbound;
mod oom;
mod outbound;
mod session;
mod settings;
mod shared;
mod spawner;
mod sweep;
mod verdict;
mod waits;
mod worker;

pub use executor::{ChildExecutor, WorkerRecord};
pub use settings::{ChildSettings, Debugging};
use shared::Shared;
pub(crate) use sweep::forget;
