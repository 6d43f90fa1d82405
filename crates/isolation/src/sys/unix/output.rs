//! Drains what workers write to stdout and stderr: one thread for all of them.

use super::waiter::{Waiter, Waker, set_nonblocking, waiter};
use crate::sys::tail::Tail;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes read from one pipe before the others have their turn.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes read after a worker's end: a pipe's capacity, and no more from a descendant that escaped and goes on writing.
const LAST_BYTES_MAX: usize = 1 << 20;

/// How long the end of a worker waits for the last of its output. The thread never blocks, so it is never needed.
const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The thread; stops when dropped.
#[derive(Debug)]
pub(crate) struct OutputPump {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waker: Waker,
    todo: Mutex<Todo>,
}

#[derive(Debug, Default)]
struct Todo {
    added: Vec<Stream>,
    stop: bool,
}

/// What is captured of one worker.
#[derive(Debug)]
pub(crate) struct Captured {
    shared: Arc<Shared>,
    record: Arc<Record>,
}

#[derive(Debug, Default)]
struct Record {
    state: Mutex<RecordState>,
    closed: Condvar,
}

#[derive(Debug, Default)]
struct RecordState {
    stderr: Tail,
    streams_open: usize,
    finish: bool,
}

#[derive(Debug)]
struct Stream {
    pipe: File,
    is_stderr: bool,
    record: Arc<Record>,
}

impl OutputPump {
    pub(crate) fn start() -> io::Result<Self> {
        let (waiter, waker) = waiter()?;
        let shared = Arc::new(Shared { waker, todo: Mutex::default() });
        let pump = Pump { shared: shared.clone(), waiter, streams: Vec::new() };
        let builder = std::thread::Builder::new().name("cofferdam-output".into()).stack_size(256 * 1024);
        let thread = builder.spawn(move || pump.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A handle with which sessions add their worker's pipes.
    pub(crate) fn intake(&self) -> OutputIntake {
        OutputIntake(self.shared.clone())
    }
}

impl Drop for OutputPump {
    fn drop(&mut self) {
        lock(&self.shared.todo).stop = true;
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            // Its panic would have been reported by the hook; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}

/// Adds pipes to an [`OutputPump`].
#[derive(Clone, Debug)]
pub(crate) struct OutputIntake(Arc<Shared>);

impl OutputIntake {
    pub(crate) fn add(
        &self,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> io::Result<Captured> {
        let pipes = [(stdout.map(OwnedFd::from), false), (stderr.map(OwnedFd::from), true)];
        let record = Arc::new(Record::default());
        let mut streams = Vec::new();
        for (fd, is_stderr) in pipes {
            let Some(fd) = fd else { continue };
            set_nonblocking(&fd)?;
            streams.push(Stream { pipe: File::from(fd), is_stderr, record: record.clone() });
        }
        lock(&record.state).streams_open = streams.len();
        lock(&self.0.todo).added.append(&mut streams);
        self.0.waker.wake();
        Ok(Captured { shared: self.0.clone(), record })
    }
}

impl Captured {
    /// Reads what is left, closes the pipes even when somebody still holds their other ends, and returns the end of
    /// what was written to stderr.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut state = lock(&self.record.state);
        state.finish = true;
        self.shared.waker.wake();
        while state.streams_open > 0 {
            let (next, timeout) = self
                .record
                .closed
                .wait_timeout(state, FINISH_WAIT_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() {
                break;
            }
        }
        state.stderr.take()
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        lock(&self.record.state).finish = true;
        self.shared.waker.wake();
    }
}

struct Pump {
    shared: Arc<Shared>,
    waiter: Waiter,
    streams: Vec<Stream>,
}

impl Pump {
    fn run(mut self) {
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            {
                let mut todo = lock(&self.shared.todo);
                self.streams.append(&mut todo.added);
                if todo.stop {
                    break;
                }
            }
            let ready = self.waiter.wait_readable(self.streams.iter().map(|stream| stream.pipe.as_fd()));
            let mut ready = ready.into_iter();
            self.streams.retain_mut(|stream| stream.turn(ready.next().unwrap_or(false), &mut buffer));
        }
        self.streams.drain(..).for_each(|stream| stream.close());
    }
}

impl Stream {
    /// Reads if there is something; false once the stream is closed.
    fn turn(&mut self, ready: bool, buffer: &mut [u8]) -> bool {
        let finish = lock(&self.record.state).finish;
        let open = match (finish, ready) {
            (true, _) => {
                self.read_up_to(LAST_BYTES_MAX, buffer);
                false
            }
            (false, true) => self.read_up_to(READ_BYTES_MAX, buffer),
            (false, false) => true,
        };
        if !open {
            self.close();
        }
        open
    }

    /// False when the stream is at its end.
    fn read_up_to(&mut self, bytes_max: usize, buffer: &mut [u8]) -> bool {
        let mut len = 0;
        while len < bytes_max {
            match self.pipe.read(buffer) {
                Ok(0) => return false,
                Ok(more) => {
                    len += more;
                    if self.is_stderr {
                        lock(&self.record.state).stderr.push(&buffer[..more]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn close(&self) {
        let mut state = lock(&self.record.state);
        state.streams_open -= 1;
        self.record.closed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
