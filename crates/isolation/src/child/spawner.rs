//! The one thread that starts, kills and reaps worker processes.
//!
//! It lives as long as they do: a worker's parent-death signal fires when the *thread* that started it ends. And a pid
//! that only this thread reaps cannot be reused under its hands.

use super::worker::{KillDue, ProcessName, Worker, lock};
use crate::sys::process::Process;
use crate::sys::status::RawExit;
use crate::sys::waiter::{Waiter, Waker, waiter};
use std::io;
use std::process::{ChildStderr, ChildStdout, Command};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A process that is still there this long after SIGKILL (it waits for a dead network drive, say) is abandoned.
const ABANDON_AFTER: Duration = Duration::from_secs(10);

/// How often an abandoned process is looked at, so that it is reaped after all.
const ABANDONED_TICK: Duration = Duration::from_secs(1);

/// A request to start a worker; the command is dropped with it, and the child's ends of pipes and socket too.
pub(super) struct Launch {
    pub(super) command: Command,
    pub(super) worker: Arc<Worker>,
    pub(super) answer: SyncSender<io::Result<Launched>>,
}

/// A started worker's pipes.
pub(super) struct Launched {
    pub(super) pid: u32,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// Owns the thread; dropping it waits until every worker is dead, so tell them to die first.
pub(super) struct Spawner {
    handle: SpawnerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Talks to the thread.
#[derive(Clone)]
pub(super) struct SpawnerHandle {
    waker: Waker,
    inbox: Arc<Mutex<Inbox>>,
}

/// At most one launch per worker is in it.
#[derive(Default)]
struct Inbox {
    launches: Vec<Launch>,
    stop: bool,
}

impl Spawner {
    pub(super) fn start() -> io::Result<Self> {
        let (waiter, waker) = waiter()?;
        let handle = SpawnerHandle { waker, inbox: Arc::default() };
        let thread =
            Thread { inbox: handle.inbox.clone(), waiter, watched: Vec::new(), abandoned: Vec::new() };
        let builder = std::thread::Builder::new().name("cofferdam-spawner".into());
        let thread = builder.spawn(move || thread.run())?;
        Ok(Self { handle, thread: Some(thread) })
    }

    pub(super) fn handle(&self) -> SpawnerHandle {
        self.handle.clone()
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        lock(&self.handle.inbox).stop = true;
        self.handle.wake();
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the hook; nothing is left to do about it.
            let _ = thread.join();
        }
    }
}

impl SpawnerHandle {
    pub(super) fn launch(&self, launch: Launch) {
        lock(&self.inbox).launches.push(launch);
        self.wake();
    }

    /// Something about a worker has changed: look at all of them.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

struct Thread {
    inbox: Arc<Mutex<Inbox>>,
    waiter: Waiter,
    watched: Vec<Watched>,
    /// Reported as ended, though they have not.
    abandoned: Vec<Process>,
}

struct Watched {
    process: Process,
    worker: Arc<Worker>,
    killed_at: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        loop {
            let (launches, stop) = {
                let mut inbox = lock(&self.inbox);
                (std::mem::take(&mut inbox.launches), inbox.stop)
            };
            launches.into_iter().for_each(|launch| self.spawn(launch));
            let wake_at = self.look_at_all();
            if stop && self.watched.is_empty() {
                break;
            }
            let timeout = wake_at.map(|at| at.saturating_duration_since(crate::clock::now()));
            self.waiter.wait(self.watched.iter().map(|watched| &watched.process), timeout);
        }
    }

    fn spawn(&mut self, launch: Launch) {
        let Launch { mut command, worker, answer } = launch;
        let spawned = command.spawn().and_then(Process::adopt);
        drop(command);
        let answered = spawned.map(|mut process| {
            let pid = process.pid();
            worker.set_process(ProcessName { pid, start_time: process.start_time() });
            let (stdout, stderr) = process.take_output();
            self.watched.push(Watched { process, worker, killed_at: None });
            Launched { pid, stdout, stderr }
        });
        // A session that no longer waits has recorded why the process is to be killed.
        let _ = answer.send(answered);
    }

    /// Takes leave of those that ended and kills those that must; when to look again at the latest.
    fn look_at_all(&mut self) -> Option<Instant> {
        self.abandoned.retain_mut(|process| process.poll_exit().is_none() || !reap(process));
        let now = crate::clock::now();
        let mut wake_at = (!self.abandoned.is_empty()).then(|| now + ABANDONED_TICK);
        let mut at = 0;
        while let Some(watched) = self.watched.get_mut(at) {
            match watched.look(now) {
                Look::Alive(next) => {
                    wake_at = wake_at.into_iter().chain(next).min();
                    at += 1;
                }
                Look::Ended => drop(self.watched.swap_remove(at)),
                Look::Abandoned => {
                    let Watched { process, worker, .. } = self.watched.swap_remove(at);
                    tracing::warn!(worker = %worker.id, pid = process.pid(), "abandoned: it outlived SIGKILL");
                    self.abandoned.push(process);
                }
            }
        }
        wake_at
    }
}

enum Look {
    /// And when to look again at the latest.
    Alive(Option<Instant>),
    Ended,
    Abandoned,
}

impl Watched {
    fn look(&mut self, now: Instant) -> Look {
        if let Some(exit) = self.process.poll_exit() {
            // The tree first: while the leader is not reaped, its group's number is certainly ours.
            self.process.kill_tree(Some(&exit));
            self.process.reap();
            self.worker.set_exit(exit);
            return Look::Ended;
        }
        if let Some(killed_at) = self.killed_at {
            let abandon_at = killed_at + ABANDON_AFTER;
            if now < abandon_at {
                return Look::Alive(Some(abandon_at));
            }
            self.worker.set_exit(RawExit::Immortal);
            return Look::Abandoned;
        }
        match self.worker.kill_due(now) {
            KillDue::Now => {
                self.worker.set_kill_sent();
                self.process.kill_tree(None);
                self.killed_at = Some(now);
                Look::Alive(Some(now + ABANDON_AFTER))
            }
            KillDue::At(at) => Look::Alive(Some(at)),
            KillDue::No => Look::Alive(None),
        }
    }
}

fn reap(process: &mut Process) -> bool {
    process.reap();
    true
}
