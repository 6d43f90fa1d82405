//! Drains what workers write to stdout and stderr. Anonymous pipes cannot be polled, so each has a small thread.

use crate::sys::tail::Tail;
use std::io::{self, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes read at a time.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How long the end of a worker waits for the last of its output. Its job is dead, so its pipes are closed.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// See [`OutputIntake`].
#[derive(Debug)]
pub(crate) struct OutputPump;

/// Adds pipes.
#[derive(Clone, Debug)]
pub(crate) struct OutputIntake;

/// What is captured of one worker.
#[derive(Debug)]
pub(crate) struct Captured(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    state: Mutex<RecordState>,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct RecordState {
    stderr: Tail,
    streams_open: usize,
}

impl OutputPump {
    #[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "the same surface on every system")]
    pub(crate) fn intake(&self) -> OutputIntake {
        OutputIntake
    }
}

impl OutputIntake {
    #[expect(clippy::unused_self, reason = "the same surface on every system")]
    pub(crate) fn add(
        &self,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> io::Result<Captured> {
        let record = Arc::new(Record::default());
        if let Some(pipe) = stdout {
            drain(pipe, false, record.clone())?;
        }
        if let Some(pipe) = stderr {
            drain(pipe, true, record.clone())?;
        }
        Ok(Captured(record))
    }
}

impl Captured {
    /// The end of what was written to stderr, once the pipes are closed.
    pub(crate) fn finish(self) -> Vec<u8> {
        let state = lock(&self.0.state);
        let waited = self.0.closed.wait_timeout_while(state, FINISH_WAIT_MAX, |state| state.streams_open > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.stderr.take()
    }
}

fn drain(mut pipe: impl Read + Send + 'static, is_stderr: bool, record: Arc<Record>) -> io::Result<()> {
    lock(&record.state).streams_open += 1;
    let drained = record.clone();
    let run = move || {
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) if is_stderr => lock(&drained.state).stderr.push(&buffer[..len]),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        close(&drained);
    };
    let builder = std::thread::Builder::new().name("cofferdam-output".into()).stack_size(128 * 1024);
    builder.spawn(run).map(drop).inspect_err(|_| close(&record))
}

fn close(record: &Record) {
    lock(&record.state).streams_open -= 1;
    record.closed.notify_all();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
