//! The processors that a worker can be.

use super::link::SocketLink;
use super::{Left, Run, Session};
use cofferdam_pipeline_core::Work;

/// A processor that this executable knows how to run as a worker.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) run: fn(&Session<SocketLink>, &[u8]) -> Left,
}

impl Registration {
    /// Registers `P` under its name and version.
    #[must_use]
    pub const fn of<P>() -> Self
    where
        P: Work + Run<<P as Work>::Mode>,
    {
        Self { name: P::NAME, version: P::VERSION, run: <P as Run<P::Mode>>::RUNS.child }
    }
}
