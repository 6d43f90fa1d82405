//! What all workers of an executor have in common.

use super::oom::OomWatch;
use super::sweep::{self, Claim};
use super::{ChildSettings, Debugging};
use crate::IsolationError;
use crate::environment::{self, HOST_PID_VAR, ROLE_VAR, TREE_VAR, WAIT_VAR};
use crate::program;
use crate::recorder::RecorderDir;
use crate::sys::output::OutputIntake;
use crate::sys::process;
use cofferdam_ipc::handshake::Terms;
use cofferdam_ipc::{ChildEnd, FrameLimits};
use cofferdam_pipeline_core::{BufferPool, WorkerId};
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Spare buffers for replies: some per worker are on their way to the store at any time.
const SPARE_BUFFERS_MAX: usize = 64;

/// What is kept in all is the host's memory for the rest of the job: two buffers of 16 MiB, whose pages would cost more to fault in
/// than their bytes to transfer.
const SPARE_BUFFER_BYTES_MAX: usize = 40 << 20;

/// What all workers of an executor have in common.
pub(super) struct Shared {
    pub(super) settings: ChildSettings,
    pub(super) config: Arc<[u8]>,
    pub(super) terms: Terms,
    pub(super) pool: Arc<BufferPool>,
    pub(super) output: OutputIntake,
    pub(super) oom: OomWatch,
    // Before the directory, so that it is released first.
    _claim: Claim,
    pub(super) dir: RecorderDir,
    env: Vec<(OsString, OsString)>,
}

impl Shared {
    pub(super) fn new(mut settings: ChildSettings, output: OutputIntake) -> Result<Self, IsolationError> {
        let payload_max = u32::try_from(settings.frame_payload_max).unwrap_or(u32::MAX);
        let limits = FrameLimits { payload_max, ..FrameLimits::default() };
        let mut terms = Terms::new(settings.codec, limits);
        if settings.program.is_own_build() {
            terms.build_id = Some(program::own_build_id().map_err(IsolationError::OwnExecutable)?);
        }
        let dir = RecorderDir::create(settings.runtime_dir.as_deref()).map_err(IsolationError::RuntimeDir)?;
        let claim = sweep::claim(dir.path()).map_err(IsolationError::RuntimeDir)?;
        sweep::sweep_beside(dir.path());
        let env = environment::inherited(environment::of_host(), &settings.env);
        let config = std::mem::take(&mut settings.config).into();
        let pool = BufferPool::new(SPARE_BUFFERS_MAX, SPARE_BUFFER_BYTES_MAX);
        Ok(Self { settings, config, terms, pool, output, oom: OomWatch::new(), _claim: claim, dir, env })
    }

    /// Names a worker's process tree, in this machine's memory and in the environment of all its descendants.
    pub(super) fn mark(&self, worker: WorkerId) -> String {
        environment::mark(self.dir.path(), worker)
    }

    pub(super) fn command(&self, worker: WorkerId, stdin: ChildEnd) -> io::Result<Command> {
        let mut command = self.settings.program.command()?;
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env(ROLE_VAR, self.settings.processor);
        command.env(HOST_PID_VAR, std::process::id().to_string());
        command.env(TREE_VAR, self.mark(worker));
        if self.settings.debugging == Debugging::Wait {
            command.env(WAIT_VAR, "1");
        }
        command.stdin(stdin.into_stdin()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process::prepare(&mut command);
        Ok(command)
    }
}
