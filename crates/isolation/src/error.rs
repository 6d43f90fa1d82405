//! Why an executor cannot be made.

use std::io;

/// Why an executor cannot be made. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsolationError {
    /// Workers would be this executable, but nothing in it would make them workers: they would run `main`. Put
    /// the worker line first in `main`.
    #[error("this executable cannot be a worker: put the worker line (cofferdam::worker!) first in main")]
    NoWorkerLine,
    /// This process is a worker, or was started by one; a job in it could breed without end. Run the job in the host.
    #[error("a job cannot be started inside a worker")]
    InsideWorker,
    /// The encoded config does not fit into one frame. Carry large data as files.
    #[error("the config has {len} bytes; a frame takes {max}")]
    ConfigTooLarge {
        /// Its encoded length.
        len: usize,
        /// The most that travels.
        max: usize,
    },
    /// No directory for the workers' files.
    #[error("no directory for the workers' files: {0}")]
    RuntimeDir(#[source] io::Error),
    /// The own executable cannot be read, so workers cannot be told from other builds.
    #[error("the own executable cannot be read: {0}")]
    OwnExecutable(#[source] io::Error),
    /// The system has no thread or descriptor left. Try again later.
    #[error("no thread or descriptor left: {0}")]
    Exhausted(#[source] io::Error),
    /// The processor needs the main thread, and workers would be threads of the host. Run workers as processes.
    #[error("a worker that is a thread is never the main thread of its process: use worker processes")]
    MainThread,
    /// Compile without `panic = "abort"`, run workers as processes, or set
    /// [`allow_panic_abort`](crate::ThreadSettings::allow_panic_abort).
    #[error("this program was compiled with panic = \"abort\": a panic in a processor would end it")]
    PanicAborts,
}
