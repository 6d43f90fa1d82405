//! The worker at the head of a tree of processes.

use std::time::Duration;

/// A worker that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leader {
    #[cfg_attr(windows, allow(dead_code, reason = "a job object knows the tree"))]
    pub(crate) pid: u32,
    /// How long ago it was started.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux shows the marks of processes")
    )]
    pub(crate) age: Duration,
}
