//! How a worker runs what a job runs.

use super::link::SocketLink;
use super::{Left, Session};
use crate::thread::MemoryLink;
use cofferdam_pipeline_core::{AsyncProcessor, Concurrent, ManyAtOnce, OneByOne, Processor, Work};

/// What a worker does from its start to its end, in a child and in a thread.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    pub(crate) child: fn(&Session<SocketLink>, &[u8]) -> Left,
    pub(crate) thread: fn(&Session<MemoryLink>, &[u8]) -> Left,
}

/// What a worker can run: every [`Work`], by its mode.
pub trait Run<Mode>: Work {
    /// See [`Runs`].
    #[doc(hidden)]
    const RUNS: Runs;
}

impl<P: Processor> Run<OneByOne> for P {
    const RUNS: Runs =
        Runs { child: Session::<SocketLink>::run::<P>, thread: Session::<MemoryLink>::run::<P> };
}

impl<P: AsyncProcessor> Run<ManyAtOnce> for Concurrent<P> {
    const RUNS: Runs = Runs {
        child: Session::<SocketLink>::run_concurrent::<P>,
        thread: Session::<MemoryLink>::run_concurrent::<P>,
    };
}
