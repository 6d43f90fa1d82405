//! One worker's life as seen from its host: a thread from the request to the verdict.

use super::Shared;
use super::inbound::{self, End, WorkerFiles};
use super::outbound::{self, Outbound};
use super::spawner::{Launch, Launched, SpawnerHandle};
use super::verdict::{Findings, LastWords, Record, judge};
use super::worker::Worker;
use crate::protocol::{self, Message};
use crate::recorder::{HostRecorder, text};
use crate::staging::Staging;
use crate::sys::leader::Leader;
use crate::sys::output::Captured;
use crate::sys::{dirs, files, process};
use crate::workspace;
use cofferdam_ipc::handshake::{self, Agreement, HandshakeError};
use cofferdam_ipc::{FrameReceiver, FrameSender, ReadHalf, SendError, Stream, WriteHalf};
use cofferdam_pipeline_core::{Exit, ExitReport, KillReason, TimeLimit, WorkerEvent};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the verdict waits for killed descendants to be gone.
const DESCENDANTS_WAIT_MAX: Duration = Duration::from_millis(500);

/// Stack of the threads around a worker; they decode flat messages and run the event sink.
const STACK_BYTES: usize = 512 * 1024;

/// A finished reply leaves the worker within this time, also while the next item runs.
const REPLY_FLUSH_MS: u32 = 5;

/// The heartbeat in the recorder rises at least this often.
const HEARTBEAT_MS: u32 = 100;

/// Everything a session owns.
pub(super) struct Session {
    pub(super) worker: Arc<Worker>,
    pub(super) shared: Arc<Shared>,
    pub(super) spawner: SpawnerHandle,
    pub(super) queue: Option<Receiver<Outbound>>,
    pub(super) queue_in: SyncSender<Outbound>,
}

/// A started process with its ends of the wires.
struct Running {
    pid: u32,
    recorder: Arc<HostRecorder>,
    reader: ReadHalf,
    writer: WriteHalf,
    output: Option<Captured>,
    born: Instant,
}

/// Starts the thread of a worker.
pub(super) fn start(session: Session) -> io::Result<JoinHandle<()>> {
    thread(format!("cofferdam-w{}", session.worker.id.0), move || session.run())
}

fn thread(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(run)
}

/// The report on a worker that never was.
pub(super) fn never_spawned(what: String) -> ExitReport {
    ExitReport {
        exit: Exit::SpawnFailed(what),
        open: Vec::new(),
        open_known: true,
        stderr_tail: String::new(),
    }
}

impl Session {
    fn run(mut self) {
        let worker = self.worker.clone();
        let report = match self.launch() {
            Ok(running) => self.supervise(running),
            Err(error) => never_spawned(error.to_string()),
        };
        worker.conclude(report);
        self.remove_scratch();
    }

    /// What its attempts left on disk. Its tree is dead, and nobody waits for this but the end of the executor.
    fn remove_scratch(&self) {
        let Some(scratch) = self.scratch().filter(|scratch| scratch.exists()) else { return };
        if let Err(error) = dirs::remove_tree(&scratch) {
            tracing::warn!(worker = %self.worker.id, path = %scratch.display(), %error, "scratch files are left");
        }
    }

    fn scratch(&self) -> Option<PathBuf> {
        workspace::scratch_of(self.shared.settings.workspace.as_deref(), self.worker.id)
    }

    fn launch(&self) -> io::Result<Running> {
        let born = crate::clock::now();
        let slots = self.shared.settings.slots;
        let recorder = Arc::new(HostRecorder::create(&self.shared.dir, self.worker.id, slots)?);
        self.worker.set_recorder(recorder.clone());
        let (stream, child_end) = Stream::pair()?;
        self.worker.set_stream(stream.control());
        let command = self.shared.command(self.worker.id, child_end)?;
        let (answer, answered) = sync_channel(1);
        self.spawner.launch(Launch { command, worker: self.worker.clone(), answer });
        let max = self.shared.settings.start_wall_max;
        let launched = answered.recv_timeout(max).unwrap_or_else(|_| {
            // The system call hangs (a dead network drive?): should it come back, the process must not stay.
            self.worker.intend_kill(KillReason::TimeLimit(TimeLimit::Start, max));
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the system did not start it within {max:?}"),
            ))
        });
        let Launched { pid, stdout, stderr } = launched?;
        self.worker.emit(WorkerEvent::Spawned { pid });
        let output = self.shared.output.add(stdout, stderr).inspect_err(|error| {
            tracing::warn!(worker = %self.worker.id, %error, "its output is not captured");
        });
        let (reader, writer) = stream.split();
        Ok(Running { pid, recorder, reader, writer, output: output.ok(), born })
    }

    /// From the handshake to the verdict.
    fn supervise(&mut self, running: Running) -> ExitReport {
        let Running { pid, recorder, reader, writer, output, born } = running;
        let control = reader.control();
        let outbound = self.talk(reader, writer, &recorder, born);
        self.worker.lose();
        self.worker.close();
        self.spawner.wake();
        let findings = self.worker.wait_exit();
        // Nobody reads any more: the writer, if it still waits, ends too. Errors mean that it has ended already.
        let _ = control.shutdown();
        let _ = self.queue_in.try_send(Outbound::Close);
        if let Some(outbound) = outbound {
            // Its panic was reported by the hook.
            let _ = outbound.join();
        }
        let leader = Leader { pid, age: crate::clock::now().saturating_duration_since(born) };
        let escaped =
            process::end_descendants(leader, &self.shared.mark(self.worker.id), DESCENDANTS_WAIT_MAX);
        if escaped > 0 {
            tracing::info!(worker = %self.worker.id, escaped, "ended descendants that had left its process group");
        }
        let stderr = output.map(Captured::finish).unwrap_or_default();
        let findings = Findings {
            out_of_memory: findings.is_strangers_kill() && self.shared.oom.explains_a_kill(),
            last_words: LastWords::in_stderr(&stderr),
            ..findings
        };
        self.report(&findings, &recorder, &stderr)
    }

    /// The handshake, then frames both ways until the stream is at its end; the writer's thread.
    fn talk(
        &mut self,
        mut reader: ReadHalf,
        mut writer: WriteHalf,
        recorder: &HostRecorder,
        born: Instant,
    ) -> Option<JoinHandle<()>> {
        let start_by = born + self.shared.settings.start_wall_max;
        let greet_by = start_by.min(born + self.worker.waits.greeting);
        let agreement =
            match handshake::welcome((&mut reader, &mut writer), &self.shared.terms, Some(greet_by)) {
                Ok((_, agreement)) => agreement,
                Err(error) => {
                    self.turn_away(&error, greet_by.saturating_duration_since(born));
                    return None;
                }
            };
        self.worker.set_greeted();
        let Agreement { codec, limits, .. } = agreement;
        let mut sender = FrameSender::new(writer, codec, limits);
        // Right behind the welcome and without waiting for a thread: a worker says nothing before it has read this.
        let started = self.send_start(&mut sender, recorder, start_by);
        let outbound = started.then(|| self.start_writer(sender)).transpose().map_err(|error| {
            self.worker.violate(format!("no thread to write to it: {error}"));
        });
        let receiver = FrameReceiver::new(reader, codec, limits);
        let staging = Staging::new(self.shared.settings.workspace.clone());
        let files = WorkerFiles { staging, answers: self.queue_in.clone() };
        match inbound::run(receiver, &self.worker, &self.shared.pool, files, start_by) {
            End::Closed => {}
            End::StartTimedOut => {
                let max = self.shared.settings.start_wall_max;
                self.worker.intend_kill(KillReason::TimeLimit(TimeLimit::Start, max));
            }
            End::Breach(what) => self.worker.violate(what),
        }
        outbound.ok().flatten()
    }

    fn turn_away(&self, error: &HandshakeError, waited: Duration) {
        match error {
            HandshakeError::TimedOut => {
                self.worker.intend_kill(KillReason::TimeLimit(TimeLimit::Start, waited));
            }
            // It has ended or soon will: how it did is the reason.
            HandshakeError::Closed => {}
            HandshakeError::Rejected(_)
            | HandshakeError::Greeting(_)
            | HandshakeError::NotOffered
            | HandshakeError::Io(_) => self.worker.refuse(error.to_string()),
        }
    }

    /// False when the worker cannot be told anything.
    fn send_start(&self, sender: &mut FrameSender, recorder: &HostRecorder, start_by: Instant) -> bool {
        let deadline = start_by.min(crate::clock::now() + self.worker.waits.sending);
        let sent =
            sender.send(protocol::Start::KIND, &self.start(recorder), &self.shared.config, Some(deadline));
        if matches!(sent, Err(SendError::TimedOut)) && deadline == start_by {
            return true; // the reader finds that the time is up
        }
        let is_sent = outbound::has_been_sent(sent, &self.worker);
        if !is_sent {
            self.spawner.wake();
        }
        is_sent
    }

    fn start(&self, recorder: &HostRecorder) -> protocol::Start {
        let settings = &self.shared.settings;
        protocol::Start {
            processor: settings.processor.into(),
            version: settings.version,
            slot: self.worker.slot.0,
            step: 0,
            slots: settings.slots,
            recorder: files::path_to_bytes(recorder.recorder_path()),
            control: files::path_to_bytes(recorder.control_path()),
            scratch: self.scratch().as_deref().map(files::path_to_bytes).unwrap_or_default(),
            stack_bytes: settings.stack_bytes as u64,
            reply_flush_ms: REPLY_FLUSH_MS,
            heartbeat_ms: HEARTBEAT_MS,
            main_thread: settings.main_thread,
            files_above: workspace::files_above(settings.workspace.as_deref()),
        }
    }

    fn start_writer(&mut self, sender: FrameSender) -> io::Result<JoinHandle<()>> {
        let queue = self.queue.take().expect("a session has one writer");
        let (worker, spawner) = (self.worker.clone(), self.spawner.clone());
        let run = move || outbound::run(sender, &queue, &worker, &spawner);
        thread(format!("cofferdam-w{}-out", self.worker.id.0), run)
    }

    fn report(&self, findings: &Findings, recorder: &HostRecorder, stderr: &[u8]) -> ExitReport {
        let recording = recorder.read().inspect_err(|error| {
            tracing::warn!(worker = %self.worker.id, %error, "what it had open is unknown");
        });
        let recording = recording.ok();
        let record = recording.as_ref().map(|recording| Record {
            phase: recording.phase,
            panic: recording.panic.clone(),
            has_open: !recording.open.is_empty(),
            signal: recording.signal,
            stack: recording.stack.clone(),
            backtrace: recorder.read_backtrace(),
        });
        ExitReport {
            exit: judge(findings, record.as_ref()),
            open_known: recording.is_some(),
            open: recording.map(|recording| recording.open).unwrap_or_default(),
            stderr_tail: text::clean_lines(stderr),
        }
    }
}
