//! What a child executor is told.

use crate::Workspace;
use crate::program::WorkerProgram;
use cofferdam_ipc::Codec;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Whether a person with a debugger is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Debugging {
    /// Nobody is.
    #[default]
    Off,
    /// Whoever stands still is being looked at: no wait for a worker ends because of the time it takes.
    Attach,
    /// The same, and each worker process stops itself before it does anything, until a debugger lets it go on (on Unix also SIGCONT).
    Wait,
}

/// How workers are made.
#[derive(Clone, Debug)]
pub struct ChildSettings {
    /// The executable.
    pub program: WorkerProgram,
    /// [`cofferdam_pipeline_core::Processor::NAME`] of the processor that the workers run.
    pub processor: &'static str,
    /// Its version.
    pub version: u32,
    /// How messages, the config, items and outputs are encoded.
    pub codec: Codec,
    /// The encoded config, at most `frame_payload_max` bytes.
    pub config: Vec<u8>,
    /// Variables on top of the allow-list. A worker that has parsed hostile input can read them: no secrets.
    pub env: Vec<(OsString, OsString)>,
    /// Items that a worker may have open at a time, where it is one of many at once; 1 to 64.
    pub slots: u32,
    /// Stack of the thread that runs `process`.
    pub stack_bytes: usize,
    /// The main thread of a worker's process runs `process`, on whatever stack the system gives it.
    pub main_thread: bool,
    /// From spawn to the end of `Processor::start`; the handshake has at most a part of it.
    pub start_wall_max: Duration,
    /// Where the workers' files go, in a fresh directory below; by default the memory file system, else the temporary directory.
    pub runtime_dir: Option<PathBuf>,
    /// Whether a person with a debugger is at work.
    pub debugging: Debugging,
    /// The largest payload of one frame in bytes, either way: no item and no output can be larger.
    pub frame_payload_max: usize,
    /// What the job lends to its workers on disk, if anything.
    pub workspace: Option<Arc<dyn Workspace>>,
}
