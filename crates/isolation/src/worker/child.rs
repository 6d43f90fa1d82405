//! A child process as a worker: the main thread reads the socket, two more tick and process.

use super::link::SocketLink;
use super::role::Role;
use super::{Items, Lease, Left, Link, Registration, Saved, Session, SessionSettings, panics};
use crate::program::own_build_id;
use crate::protocol::{Assign, Message, Start, Stop, TakeBack, exit_code};
use crate::recorder::Recorder;
use crate::sys::{crash, files, worker as sys};
use cofferdam_ipc::handshake::{self, Agreement, BuildId, Hello, PROTOCOL_MAX, PROTOCOL_MIN};
use cofferdam_ipc::{CodecSet, FrameReceiver, FrameSender, Received, Stream};
use cofferdam_pipeline_core::{Buffer, BufferPool, Failure, LeaseId, SlotNumber};
use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Used payload buffers that are kept for the next leases, and how large they may be in all: two of 16 MiB.
const SPARE_BUFFERS_MAX: usize = 3;
const SPARE_BUFFER_BYTES_MAX: usize = 40 << 20;

/// Stack of the ticker, which runs nothing of the user's.
const TICKER_STACK_BYTES: usize = 128 * 1024;

/// Why this process cannot go on as a worker. Nobody reads it but people: it goes to stderr, which the host captures.
type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// How long the processor's thread may take for the last steps (`atexit` of native libraries) after its last message.
const LEAVE_WALL_MAX: Duration = Duration::from_secs(5);

/// Is a worker to the end of the process.
pub(super) fn run(role: &Role, registrations: &[Registration]) -> ! {
    let error = match begin(role, registrations) {
        Ok(worker) => worker.serve(),
        Err(error) => error,
    };
    if !is_end_of_host(&error) {
        eprintln!("cofferdam worker: {error}");
    }
    sys::exit_now(exit_code::HOST_LOST)
}

/// The host's death needs no words: its end of stderr is closed too.
fn is_end_of_host(error: &Fatal) -> bool {
    use cofferdam_ipc::RecvError;
    matches!(error.downcast_ref(), Some(RecvError::Closed | RecvError::Truncated | RecvError::Io(_)))
}

/// A worker that has started its threads.
struct Worker {
    receiver: FrameReceiver,
    session: Arc<Session<SocketLink>>,
}

/// From the first instruction to running threads.
fn begin(role: &Role, registrations: &[Registration]) -> Result<Worker, Fatal> {
    sys::become_child_of(role.host_pid)?;
    if role.waits_for_debugger {
        sys::wait_for_debugger()?;
    }
    let (mut reader, mut writer) = Stream::take_stdin()?.split();
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        codecs: CodecSet::all(),
        pid: std::process::id(),
        build_id: own_build_id().unwrap_or(BuildId([0; 32])),
        token: role.token,
    };
    let agreement = handshake::greet((&mut reader, &mut writer), &hello, None)?;
    let mut receiver = FrameReceiver::new(reader, agreement.codec, agreement.limits);
    let link = SocketLink(FrameSender::new(writer, agreement.codec, agreement.limits));
    let mut config = Vec::new();
    let start: Start = decode(&receiver.recv(&mut config, None)?)?;
    let recorder = Recorder::open(
        &files::path_from_bytes(&start.recorder),
        &files::path_from_bytes(&start.control),
        start.slots,
    )?;
    panics::adopt_process(recorder.clone());
    crash::watch(recorder.clone())?;
    let session = Session::new(settings(&start, &agreement), recorder, link);
    spawn_ticker(session.clone())?;
    match find(registrations, &start) {
        Ok(registration) => spawn_processor(registration, session.clone(), config, &start)?,
        Err(failure) => {
            session.with_link(|link| Link::start_failed(link, failure))?;
            sys::exit_now(exit_code::START_FAILED)
        }
    }
    Ok(Worker { receiver, session })
}

pub(super) fn settings(start: &Start, agreement: &Agreement) -> SessionSettings {
    SessionSettings {
        slot: SlotNumber(start.slot),
        slots: start.slots,
        codec: agreement.codec,
        payload_max: agreement.limits.payload_max as usize,
        reply_flush: Duration::from_millis(start.reply_flush_ms.max(1).into()),
        heartbeat: Duration::from_millis(start.heartbeat_ms.max(1).into()),
        scratch: (!start.scratch.is_empty()).then(|| files::path_from_bytes(&start.scratch)),
    }
}

pub(super) fn find(registrations: &[Registration], start: &Start) -> Result<Registration, Failure> {
    let Some(found) = registrations.iter().find(|registration| registration.name == start.processor) else {
        let known: Vec<_> = registrations.iter().map(|registration| registration.name).collect();
        return Err(Failure::fatal(format!(
            "the worker line does not name the processor `{}`, only {known:?}",
            start.processor
        )));
    };
    if found.version != start.version {
        return Err(Failure::fatal(format!(
            "the worker has version {} of `{}`, the host wants {}",
            found.version, found.name, start.version
        )));
    }
    Ok(*found)
}

fn spawn_ticker(session: Arc<Session<SocketLink>>) -> Result<(), Fatal> {
    let ticker = thread::Builder::new().name("cofferdam-ticker".into()).stack_size(TICKER_STACK_BYTES);
    ticker.spawn(move || {
        loop {
            session.wait_for_tick();
            if session.tick().is_err() {
                sys::exit_now(exit_code::HOST_LOST)
            }
        }
    })?;
    Ok(())
}

fn spawn_processor(
    registration: Registration,
    session: Arc<Session<SocketLink>>,
    config: Vec<u8>,
    start: &Start,
) -> Result<(), Fatal> {
    let stack_bytes = usize::try_from(start.stack_bytes)?;
    let processor = thread::Builder::new().name(start.processor.clone()).stack_size(stack_bytes);
    processor.spawn(move || {
        if let Some(stack) = crash::own_stack() {
            session.recorder().set_stack(&stack);
        }
        let left = (registration.run)(&session, &config);
        leave(left, &session)
    })?;
    Ok(())
}

/// The end of the process, on the processor's thread.
fn leave(left: Left, session: &Session<SocketLink>) -> ! {
    match left {
        Left::Stopped => sys::exit_orderly(exit_code::STOPPED),
        Left::StartFailed(_) => sys::exit_now(exit_code::START_FAILED),
        Left::Panicked { payload, wreck, in_start: _ } => {
            // Whatever broke may break its destructor too; the exit is to show the panic.
            std::mem::forget(wreck);
            let panic = session.recorder().panic_of(panics::panic_message(&*payload));
            if panic.location.is_empty() {
                session.recorder().record_panic(&panic.message, "");
            }
            session.recorder().record_backtrace(&panics::take_backtrace());
            sys::exit_now(exit_code::PANIC)
        }
        Left::HostLost => sys::exit_now(exit_code::HOST_LOST),
    }
}

impl Worker {
    /// Reads what the host sends until it is gone; what ended it.
    fn serve(mut self) -> Fatal {
        let error = match self.read() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if self.session.has_ended() {
            // A host that got the last message may close its end; the exit code is the processor's thread's to choose.
            crate::clock::pause(LEAVE_WALL_MAX);
        }
        error
    }

    fn read(&mut self) -> Result<Infallible, Fatal> {
        let buffers = BufferPool::new(SPARE_BUFFERS_MAX, SPARE_BUFFER_BYTES_MAX);
        loop {
            let mut payload = buffers.take();
            let received = self.receiver.recv(&mut payload, None)?;
            take(&self.session, &received, payload)?;
        }
    }
}

/// Does what one message of the host asks for.
pub(super) fn take<L: Link>(
    session: &Session<L>,
    received: &Received<'_>,
    payload: Buffer,
) -> Result<(), Fatal> {
    match received.kind {
        Assign::KIND => drop(session.assign(lease(decode(received)?, payload))?),
        TakeBack::KIND => {
            let TakeBack { lease } = decode(received)?;
            session.take_back(LeaseId(lease))?;
        }
        Stop::KIND => session.stop(),
        kind => return Err(format!("the host sent a message of unknown kind {kind:#04x}").into()),
    }
    Ok(())
}

fn lease(assign: Assign, payload: Buffer) -> Lease {
    Lease {
        id: LeaseId(assign.lease),
        attempt: assign.attempt,
        count: assign.count,
        items: Items::Received(payload),
        saved_state: if assign.has_state { Saved::Received } else { Saved::Nothing },
    }
}

pub(super) fn decode<M: Message>(received: &Received<'_>) -> Result<M, Fatal> {
    if received.kind != M::KIND {
        return Err(format!("the host sent a message of kind {:#04x} out of turn", received.kind).into());
    }
    Ok(received.decode()?)
}
