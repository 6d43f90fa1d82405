//! One worker: the processor's thread, and a thread that speaks for it while it is busy or hangs.

use super::ThreadSettings;
use super::link::MemoryLink;
use crate::clock;
use crate::recorder::{PanicRecord, Phase, Recorder};
use crate::worker::{Left, Session, SessionSettings, adopt_thread, panic_message, take_backtrace};
use crate::workspace::files_above;
use cofferdam_pipeline_core::{
    Assignment, Exit, ExitReport, Failure, KillReason, LeaseId, Observation, OpenItem, SlotNumber, TimeLimit,
};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A finished reply leaves within this time.
const REPLY_FLUSH: Duration = Duration::from_millis(5);
/// How often an idle worker shows that it lives.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// Stack of the speaking thread, which runs the sink.
const SPEAKER_STACK_BYTES: usize = 512 * 1024;

type MemorySession = Session<MemoryLink>;
/// [`Session::run`] for one processor.
pub(super) type Run = fn(&MemorySession, &[u8]) -> Left;

/// What reaches the speaking thread. Bounded by the leases out: a few for each of them, one kill, one end.
enum Mail {
    /// A lease came while there was nothing to do: tick faster.
    Busy,
    TakeBack(LeaseId),
    Kill(KillReason),
    Ended(Exit),
}

/// The executor's end of a worker.
#[derive(Debug)]
pub(super) struct ThreadWorker {
    session: Arc<MemorySession>,
    mail: Sender<Mail>,
    is_over: Arc<AtomicBool>,
}

impl ThreadWorker {
    /// Starts both threads.
    pub(super) fn spawn(
        settings: &Arc<ThreadSettings>,
        run: Run,
        slot: SlotNumber,
        link: MemoryLink,
        scratch: Option<PathBuf>,
    ) -> Self {
        let session = Session::new(
            SessionSettings {
                slot,
                slots: settings.slots,
                codec: settings.codec,
                payload_max: settings.frame_payload_max,
                reply_flush: REPLY_FLUSH,
                heartbeat: HEARTBEAT,
                files_above: files_above(settings.workspace.as_deref()),
                scratch,
            },
            Recorder::in_memory(settings.slots),
            link,
        );
        let (mail, inbox) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        if let Err(error) = spawn_threads(&session, settings, run, (&mail, inbox), is_over.clone()) {
            session.with_link(|link| link.exited(report(Exit::SpawnFailed(error.to_string()), &session)));
            is_over.store(true, Ordering::Relaxed);
        }
        Self { session, mail, is_over }
    }

    pub(super) fn assign(&self, assignment: Assignment) {
        let mail = match self.session.assign(assignment.into()) {
            Ok(was_busy) => (!was_busy).then_some(Mail::Busy),
            Err(error) => {
                tracing::error!(%error, "the supervisor broke its own bound");
                Some(Mail::Kill(KillReason::ProtocolViolation))
            }
        };
        if let Some(mail) = mail {
            self.post(mail);
        }
    }

    pub(super) fn take_back(&self, lease: LeaseId) {
        self.post(Mail::TakeBack(lease));
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.session.recorder().set_paused(paused);
    }

    pub(super) fn stop(&self) {
        self.session.recorder().interrupt();
        self.session.stop();
    }

    pub(super) fn cancel_item(&self, lease: LeaseId, offset: u32) {
        let recorder = self.session.recorder();
        let is_it = |open: &&OpenItem| (open.lease, open.offset) == (lease, offset);
        if let Some(open) = recorder.look().open.iter().find(is_it) {
            recorder.cancel(open.slot, lease, offset);
        }
    }

    pub(super) fn kill(&self, why: KillReason) {
        self.post(Mail::Kill(why));
    }

    pub(super) fn observe(&self) -> Observation {
        self.session.recorder().look().into_observation(None)
    }

    /// Whether it has exited.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A worker that is over gets no mail.
    fn post(&self, mail: Mail) {
        let _ = self.mail.send(mail);
    }
}

fn spawn_threads(
    session: &Arc<MemorySession>,
    settings: &Arc<ThreadSettings>,
    run: Run,
    (mail, inbox): (&Sender<Mail>, Receiver<Mail>),
    over: Arc<AtomicBool>,
) -> io::Result<()> {
    let processor = (session.clone(), settings.clone(), mail.clone());
    thread::Builder::new().name("cofferdam-worker".into()).stack_size(settings.stack_bytes).spawn(
        move || {
            let (session, settings, mail) = processor;
            adopt_thread(session.recorder().clone());
            let (exit, wreck) = exit_of(run(&session, &settings.config), &session);
            // What a panic left behind; also of an item that nobody waits for any more.
            session.scratch.remove_all();
            // Nobody waits when the worker was abandoned.
            let _ = mail.send(Mail::Ended(exit));
            // Told first: the destructor may hang. It may also panic once more.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(wreck)));
        },
    )?;
    let start_wall_max = settings.start_wall_max;
    let speaking = session.clone();
    let speaker = thread::Builder::new().name("cofferdam-speaker".into()).stack_size(SPEAKER_STACK_BYTES);
    let spawned = speaker.spawn(move || {
        let report = speak(&speaking, &inbox, start_wall_max);
        speaking.with_link(|link| link.exited(report));
        over.store(true, Ordering::Relaxed);
    });
    if let Err(error) = spawned {
        session.stop();
        return Err(error);
    }
    Ok(())
}

/// Ticks, answers and kills until the worker is over; how it ended.
fn speak(session: &MemorySession, inbox: &Receiver<Mail>, start_wall_max: Duration) -> ExitReport {
    let start_by = clock::now() + start_wall_max;
    loop {
        match inbox.recv_timeout(session.tick_period()) {
            Ok(Mail::Ended(exit)) => return report(exit, session),
            Ok(Mail::Kill(why)) => return abandon(session, why),
            Ok(Mail::TakeBack(lease)) => drop(session.take_back(lease)),
            Ok(Mail::Busy) => {}
            Err(RecvTimeoutError::Timeout) => drop(session.tick()),
            Err(RecvTimeoutError::Disconnected) => return report(Exit::Unknown, session),
        }
        if is_late(session, start_by) {
            return abandon(session, KillReason::TimeLimit(TimeLimit::Start, start_wall_max));
        }
    }
}

fn is_late(session: &MemorySession, start_by: Instant) -> bool {
    matches!(session.recorder().phase(), Phase::Unborn | Phase::Starting) && clock::now() > start_by
}

/// All that can be done to a thread: ask it to leave, stop listening. What it had finished counts.
///
/// Its open item is noted before it is asked: a thread that obeys at once was open all the same.
fn abandon(session: &MemorySession, why: KillReason) -> ExitReport {
    let mut report = report(Exit::Abandoned, session);
    session.recorder().interrupt();
    session.stop();
    drop(session.flush_finished());
    match why {
        KillReason::TimeLimit(limit, after) => report.exit = Exit::TimedOut { limit, after },
        _ if report.open.is_empty() => report.exit = Exit::Killed(why),
        _ => {}
    }
    report
}

fn exit_of(left: Left, session: &MemorySession) -> (Exit, Option<Box<dyn Any>>) {
    match left {
        Left::Stopped => (Exit::Stopped, None),
        Left::StartFailed(Failure { message, .. }) => (Exit::StartFailed(message), None),
        Left::Panicked { payload, wreck, in_start } => {
            let PanicRecord { message, location } = session.recorder().panic_of(panic_message(&*payload));
            let exit = Exit::Panic { message, location, backtrace: take_backtrace() };
            (if in_start { Exit::StartFailed(exit.to_string()) } else { exit }, wreck)
        }
        Left::HostLost => (Exit::Unknown, None),
    }
}

fn report(exit: Exit, session: &MemorySession) -> ExitReport {
    ExitReport { exit, open: session.recorder().look().open, open_known: true, stderr_tail: String::new() }
}
