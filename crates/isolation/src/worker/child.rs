//! A child process as a worker: one thread reads the socket, one ticks and one processes. The main thread reads, or
//! processes where a library insists on it.

use super::link::SocketLink;
use super::role::Role;
use super::{Items, Lease, Left, Link, Registration, Saved, Session, SessionSettings, StagedFile, panics};
use crate::program::own_build_id;
use crate::protocol::{Assign, AssignStaged, Message, Start, Stop, TakeBack, TakeFile, exit_code};
use crate::recorder::Recorder;
use crate::sys::{crash, files, os, worker as sys};
use cofferdam_ipc::handshake::{self, Agreement, BuildId, Hello, PROTOCOL_MAX, PROTOCOL_MIN};
use cofferdam_ipc::{CodecSet, FrameReceiver, FrameSender, Received, Stream};
use cofferdam_pipeline_core::{Buffer, BufferPool, Failure, LeaseId, SlotNumber};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Used payload buffers that are kept for the next leases, and how large they may be in all: two of 16 MiB.
const SPARE_BUFFERS_MAX: usize = 3;
const SPARE_BUFFER_BYTES_MAX: usize = 40 << 20;

/// Stack of the ticker, which runs nothing of the user's.
const TICKER_STACK_BYTES: usize = 128 * 1024;

/// Stack of the reader where it is not the main thread; it decodes flat messages.
const READER_STACK_BYTES: usize = 512 * 1024;

/// Why this process cannot go on as a worker. Nobody reads it but people: it goes to stderr, which the host captures.
type Fatal = Box<dyn std::error::Error + Send + Sync>;

/// How long the processor's thread may take for the last steps (`atexit` of native libraries) after its last message.
const LEAVE_WALL_MAX: Duration = Duration::from_secs(5);

/// Is a worker to the end of the process.
pub(super) fn run(role: &Role, registrations: &[Registration]) -> ! {
    let error = match begin(role, registrations).and_then(Begun::live) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    end(&error)
}

/// The end of the process when the way to the host is.
fn end(error: &Fatal) -> ! {
    if !is_end_of_host(error) {
        eprintln!("cofferdam worker: {error}");
    }
    sys::exit_now(exit_code::HOST_LOST)
}

/// The host's death needs no words: its end of stderr is closed too.
fn is_end_of_host(error: &Fatal) -> bool {
    use cofferdam_ipc::RecvError;
    matches!(error.downcast_ref(), Some(RecvError::Closed | RecvError::Truncated | RecvError::Io(_)))
}

/// A worker that knows what it is, and ticks.
struct Begun {
    reading: Reading,
    processing: Processing,
    start: Start,
}

/// What one thread does to the end of the process.
struct Reading {
    receiver: FrameReceiver,
    session: Arc<Session<SocketLink>>,
}

/// What another one does.
struct Processing {
    registration: Registration,
    session: Arc<Session<SocketLink>>,
    config: Vec<u8>,
}

/// From the first instruction to the first thread.
fn begin(role: &Role, registrations: &[Registration]) -> Result<Begun, Fatal> {
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
    match find(registrations, &start) {
        Ok(registration) => {
            let processing = Processing { registration, session: session.clone(), config };
            Ok(Begun { reading: Reading { receiver, session }, processing, start })
        }
        Err(failure) => {
            session.with_link(|link| Link::start_failed(link, failure))?;
            sys::exit_now(exit_code::START_FAILED)
        }
    }
}

pub(super) fn settings(start: &Start, agreement: &Agreement) -> SessionSettings {
    SessionSettings {
        slot: SlotNumber(start.slot),
        slots: start.slots,
        codec: agreement.codec,
        payload_max: agreement.limits.payload_max as usize,
        reply_flush: Duration::from_millis(start.reply_flush_ms.max(1).into()),
        heartbeat: Duration::from_millis(start.heartbeat_ms.max(1).into()),
        files_above: start.files_above,
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
    if start.main_thread && !os::is_main_thread() {
        return Err(Failure::fatal("the worker line is not on the main thread, which the processor needs"));
    }
    Ok(*found)
}

fn spawn_ticker(session: Arc<Session<SocketLink>>) -> Result<(), Fatal> {
    spawn("cofferdam-ticker", TICKER_STACK_BYTES, move || {
        loop {
            session.wait_for_tick();
            if session.tick().is_err() {
                sys::exit_now(exit_code::HOST_LOST)
            }
        }
    })
}

/// A thread that ends with the process; its panic, which the hook has recorded, ends both.
fn spawn(
    name: &str,
    stack_bytes: usize,
    live: impl FnOnce() -> Infallible + Send + 'static,
) -> Result<(), Fatal> {
    thread::Builder::new().name(name.into()).stack_size(stack_bytes).spawn(move || {
        let Err(_panic) = catch_unwind(AssertUnwindSafe(live));
        sys::exit_now(exit_code::PANIC)
    })?;
    Ok(())
}

impl Begun {
    /// This thread does one thing, a new one the other. The processor goes first: its host waits for it, and for nobody else.
    fn live(self) -> Result<Infallible, Fatal> {
        let Self { reading, processing, start } = self;
        let session = processing.session.clone();
        if start.main_thread {
            spawn_ticker(session)?;
            spawn("cofferdam-reader", READER_STACK_BYTES, move || end(&reading.serve()))?;
            processing.live()
        } else {
            let stack_bytes = usize::try_from(start.stack_bytes)?;
            spawn(&start.processor, stack_bytes, move || processing.live())?;
            spawn_ticker(session)?;
            Err(reading.serve())
        }
    }
}

impl Processing {
    fn live(self) -> ! {
        let Self { registration, session, config } = self;
        if let Some(stack) = crash::own_stack() {
            session.recorder().set_stack(&stack);
        }
        let left = (registration.run)(&session, &config);
        leave(left, &session)
    }
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

impl Reading {
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
        AssignStaged::KIND => drop(session.assign(lease_of_staged(decode(received)?, payload))?),
        TakeBack::KIND => {
            let TakeBack { lease } = decode(received)?;
            session.take_back(LeaseId(lease))?;
        }
        Stop::KIND => session.stop(),
        TakeFile::KIND => session.files.answer(decode(received)?)?,
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
        staged: None,
        saved_state: if assign.has_state { Saved::Received } else { Saved::Nothing },
    }
}

fn lease_of_staged(assign: AssignStaged, payload: Buffer) -> Lease {
    let AssignStaged { lease, attempt, step: _, has_state, path, len, crc32 } = assign;
    Lease {
        id: LeaseId(lease),
        attempt,
        count: 1,
        items: Items::Received(payload),
        staged: Some(StagedFile { path: files::path_from_bytes(&path), len, crc32 }),
        saved_state: if has_state { Saved::Received } else { Saved::Nothing },
    }
}

pub(super) fn decode<M: Message>(received: &Received<'_>) -> Result<M, Fatal> {
    if received.kind != M::KIND {
        return Err(format!("the host sent a message of kind {:#04x} out of turn", received.kind).into());
    }
    Ok(received.decode()?)
}
