//! What a thread executor needs to know.

use crate::{IsolationError, Workspace};
use cofferdam_ipc::Codec;
use std::sync::Arc;
use std::time::Duration;

/// How workers that are threads are run.
#[derive(Clone, Debug)]
pub struct ThreadSettings {
    /// How items and outputs are encoded; as in children, so that a job can go on in the other kind of worker.
    pub codec: Codec,
    /// The encoded config.
    pub config: Vec<u8>,
    /// Items that a worker may have open at a time, where it is one of many at once; 1 to 64.
    pub slots: u32,
    /// Stack of a worker's thread.
    pub stack_bytes: usize,
    /// Asked for by processors whose library insists on its process's main thread: refused, that one is the host's.
    pub main_thread: bool,
    /// From spawn to the end of `Processor::start`.
    pub start_wall_max: Duration,
    /// The longest output, as in children.
    pub frame_payload_max: usize,
    /// Run also when this program was compiled with `panic = "abort"`, where a panic of a processor ends the host.
    pub allow_panic_abort: bool,
    /// What the job lends to its workers on disk, if anything.
    pub workspace: Option<Arc<dyn Workspace>>,
}

impl ThreadSettings {
    /// Whether threads may be used.
    pub(super) fn check(&self, panics_abort: bool) -> Result<(), IsolationError> {
        if self.main_thread {
            return Err(IsolationError::MainThread);
        }
        if panics_abort && !self.allow_panic_abort { Err(IsolationError::PanicAborts) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_panics_abort_needs_permission() {
        let mut settings = ThreadSettings {
            codec: Codec::Bincode,
            config: Vec::new(),
            slots: 1,
            stack_bytes: 1 << 20,
            main_thread: false,
            start_wall_max: Duration::from_secs(1),
            frame_payload_max: 1 << 20,
            allow_panic_abort: false,
            workspace: None,
        };
        assert!(matches!(settings.check(true), Err(IsolationError::PanicAborts)));
        assert!(settings.check(false).is_ok());
        settings.allow_panic_abort = true;
        assert!(settings.check(true).is_ok());
        settings.main_thread = true;
        assert!(matches!(settings.check(false), Err(IsolationError::MainThread)));
    }
}
