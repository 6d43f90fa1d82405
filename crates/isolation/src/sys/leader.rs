//! The worker at the head of a tree of processes.

use std::time::Duration;

/// A worker that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader {
    pub(crate) pid: u32,
    /// How long ago it was started.
    pub(crate) age: Duration,
}
