//! What the threads around one worker share.

use super::verdict::{Findings, LastWords};
use super::waits::Waits;
use crate::recorder::HostRecorder;
use crate::sys::status::RawExit;
use cofferdam_ipc::StreamControl;
use cofferdam_pipeline_core::{
    ExitReport, KillReason, LeaseId, OpenItem, SlotNumber, WorkerEvent, WorkerId, WorkerSink,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One worker as its session, its writer, the spawner and the executor see it.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) slot: SlotNumber,
    pub(super) waits: Waits,
    sink: WorkerSink,
    state: Mutex<State>,
    changed: Condvar,
    /// Answers that may still come. A worker that sends more would fill the host's memory.
    credit: AtomicU64,
    /// Held while an event is delivered whose place among the others matters.
    lost: Mutex<bool>,
}

#[derive(Default)]
struct State {
    recorder: Option<Arc<HostRecorder>>,
    paused: bool,
    interrupted: bool,
    process: Option<ProcessName>,
    stream: Option<StreamControl>,
    /// Why it is to be killed; the first reason stays.
    kill: Option<KillReason>,
    kill_sent: bool,
    /// When it must be gone, after its socket closed.
    leave_by: Option<(Instant, Duration)>,
    greeted: bool,
    ready: bool,
    stopped: bool,
    refusal: Option<String>,
    start_failure: Option<String>,
    violation: Option<String>,
    exit: Option<RawExit>,
    over: bool,
}

/// A living process.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessName {
    pub(super) pid: u32,
    pub(super) start_time: u64,
}

impl Worker {
    pub(super) fn new(id: WorkerId, slot: SlotNumber, waits: Waits, sink: WorkerSink) -> Arc<Self> {
        Arc::new(Self {
            id,
            slot,
            waits,
            sink,
            state: Mutex::default(),
            changed: Condvar::new(),
            credit: AtomicU64::new(0),
            lost: Mutex::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // Events, in order.

    /// Delivers an event that may come before or after [`WorkerEvent::Lost`].
    pub(super) fn emit(&self, event: WorkerEvent) {
        (self.sink)(self.id, event);
    }

    /// The start is done; says so unless the worker is already known to be lost.
    pub(super) fn become_ready(&self) {
        self.state().ready = true;
        let lost = lock(&self.lost);
        if !*lost {
            self.emit(WorkerEvent::Ready);
        }
    }

    /// The first sign of death, from whoever sees it first.
    pub(super) fn lose(&self) {
        let mut lost = lock(&self.lost);
        if !std::mem::replace(&mut *lost, true) {
            self.emit(WorkerEvent::Lost);
        }
    }

    /// The last event; the files go with it.
    pub(super) fn conclude(&self, report: ExitReport) {
        let mut state = self.state();
        (state.recorder, state.stream, state.process) = (None, None, None);
        state.over = true;
        drop(state);
        self.emit(WorkerEvent::Exited(report));
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    // Credit.

    /// `count` answers may come.
    pub(super) fn grant(&self, count: u32) {
        self.credit.fetch_add(count.into(), Ordering::Relaxed);
    }

    /// Takes `count` answers off the credit; false when there is not so much.
    pub(super) fn charge(&self, count: u32) -> bool {
        let charged = |credit: u64| credit.checked_sub(count.into());
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged).is_ok()
    }

    // What the session learns.

    pub(super) fn set_recorder(&self, recorder: Arc<HostRecorder>) {
        let mut state = self.state();
        let applied = (!state.paused || recorder.set_paused(true).is_ok())
            && (!state.interrupted || recorder.interrupt().is_ok());
        if !applied {
            tracing::warn!(worker = %self.id, "the control page cannot be written");
        }
        state.recorder = Some(recorder);
    }

    pub(super) fn recorder(&self) -> Option<Arc<HostRecorder>> {
        self.state().recorder.clone()
    }

    pub(super) fn set_stream(&self, stream: StreamControl) {
        self.state().stream = Some(stream);
    }

    pub(super) fn set_greeted(&self) {
        self.state().greeted = true;
    }

    /// It was turned away, or its greeting was none.
    pub(super) fn refuse(&self, why: String) {
        let mut state = self.state();
        state.refusal.get_or_insert(why);
        state.kill.get_or_insert(KillReason::ProtocolViolation);
    }

    pub(super) fn set_start_failure(&self, what: String) {
        self.state().start_failure = Some(what);
    }

    pub(super) fn set_stopped(&self) {
        self.state().stopped = true;
    }

    /// It cannot be trusted with another message: it is to be killed.
    pub(super) fn violate(&self, what: String) {
        let mut state = self.state();
        state.violation.get_or_insert(what);
        state.kill.get_or_insert(KillReason::ProtocolViolation);
    }

    /// Its socket is at its end: it has ended or must do so soon.
    pub(super) fn close(&self) {
        let mut state = self.state();
        let said_goodbye = state.stopped || state.start_failure.is_some();
        let grace = if said_goodbye { self.waits.goodbye } else { self.waits.leaving };
        state.leave_by.get_or_insert((crate::clock::now() + grace, grace));
    }

    // Killing.

    /// Records the intent; the spawner acts on it. The first reason stays.
    pub(super) fn intend_kill(&self, why: KillReason) {
        self.state().kill.get_or_insert(why);
    }

    /// Whether the spawner is to kill it now; else when to ask again.
    pub(super) fn kill_due(&self, now: Instant) -> KillDue {
        let mut state = self.state();
        if state.kill.is_some() {
            return KillDue::Now;
        }
        match state.leave_by {
            Some((at, grace)) if at <= now => {
                state
                    .violation
                    .get_or_insert(format!("closed its socket and was still there {grace:?} later"));
                state.kill = Some(KillReason::ProtocolViolation);
                KillDue::Now
            }
            Some((at, _)) => KillDue::At(at),
            None => KillDue::No,
        }
    }

    /// The signal was sent while the process ran.
    pub(super) fn set_kill_sent(&self) {
        self.state().kill_sent = true;
    }

    // Life and death of the process.

    pub(super) fn set_process(&self, process: ProcessName) {
        self.state().process = Some(process);
    }

    /// The process while it is not reaped.
    pub(super) fn process(&self) -> Option<ProcessName> {
        self.state().process
    }

    /// The spawner saw it end: the session may read what is left and judge.
    pub(super) fn set_exit(&self, exit: RawExit) {
        self.lose();
        let mut state = self.state();
        state.exit = Some(exit);
        state.process = None;
        if let Some(stream) = &state.stream {
            // An error means that the stream is closed already.
            let _ = stream.shutdown_read();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for [`Worker::set_exit`], which the spawner guarantees: who does not end is killed, who cannot be killed
    /// is abandoned.
    pub(super) fn wait_exit(&self) -> Findings {
        let mut state = self.state();
        loop {
            if let Some(exit) = state.exit.clone() {
                return findings(&state, exit);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    // Control.

    pub(super) fn set_paused(&self, paused: bool) {
        let mut state = self.state();
        state.paused = paused;
        if let Some(Err(error)) = state.recorder.as_ref().map(|recorder| recorder.set_paused(paused)) {
            tracing::warn!(worker = %self.id, %error, "the control page cannot be written");
        }
    }

    pub(super) fn interrupt(&self) {
        let mut state = self.state();
        state.interrupted = true;
        if let Some(Err(error)) = state.recorder.as_ref().map(|recorder| recorder.interrupt()) {
            tracing::warn!(worker = %self.id, %error, "the control page cannot be written");
        }
    }

    /// Interrupts one item where it is open, and no other.
    pub(super) fn cancel_item(&self, lease: LeaseId, offset: u32) {
        let Some(recorder) = self.recorder() else { return };
        let Ok(recording) = recorder.read() else { return };
        let is_it = |open: &&OpenItem| (open.lease, open.offset) == (lease, offset);
        let Some(open) = recording.open.iter().find(is_it) else { return };
        if let Err(error) = recorder.cancel(open.slot, lease, offset) {
            tracing::warn!(worker = %self.id, %error, "the control page cannot be written");
        }
    }

    /// Whether it was asked to stop, so that it may say goodbye.
    pub(super) fn was_asked_to_stop(&self) -> bool {
        self.state().interrupted
    }
}

/// When a worker is to be killed.
pub(super) enum KillDue {
    Now,
    At(Instant),
    No,
}

fn findings(state: &State, exit: RawExit) -> Findings {
    Findings {
        raw: exit,
        our_kill: state.kill.filter(|_| state.kill_sent),
        greeted: state.greeted,
        refusal: state.refusal.clone(),
        ready: state.ready,
        stopped: state.stopped,
        start_failure: state.start_failure.clone(),
        out_of_memory: false,
        last_words: LastWords::default(),
        violation: state.violation.clone(),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
