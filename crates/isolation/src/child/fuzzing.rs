//! A hostile worker's messages, all the way to the supervisor.

use super::Debugging;
use super::inbound::{self, End, WorkerFiles};
use super::waits::Waits;
use super::worker::Worker;
use crate::staging::Staging;
use crate::{StagedOutput, Workspace};
use cofferdam_ipc::{Codec, FrameLimits, FrameReceiver, FrameSender, Stream};
use cofferdam_pipeline_core::supervisor::{Command, Commit, Control, Input, Settled, Supervisor};
use cofferdam_pipeline_core::{
    BlobRef, BufferPool, ChunkBuilder, Exit, ExitReport, Failure, Identities, ItemIndex, LeaseId,
    OUTPUT_FILES_MAX, OpenItem, Outputs, Policy, SAVED_STATE_BYTES_MAX, SlotNumber, Time, WorkerEvent,
    WorkerId, entries,
};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMITS: FrameLimits = FrameLimits { message_max: 255, payload_max: 255 };
const DATA_LEN_MAX: usize = 8 << 10;
const ITEMS: u32 = 40;
const WORKER: WorkerId = WorkerId(1);
/// Every message takes so long.
const STEP: Duration = Duration::from_millis(1);

/// Questions for files that a worker may ask: all that fit into the input.
const ANSWERS_MAX: usize = DATA_LEN_MAX;

/// A place for files of which every even one holds what is said of it.
#[derive(Debug)]
struct PaperDisk;

#[derive(Debug)]
struct PaperFile;

impl Workspace for PaperDisk {
    fn scratch(&self) -> Option<&Path> {
        None
    }

    fn stages(&self) -> bool {
        true
    }

    fn stage(&self) -> io::Result<Box<dyn StagedOutput>> {
        Ok(Box::new(PaperFile))
    }
}

impl StagedOutput for PaperFile {
    fn path(&self) -> &Path {
        Path::new("/staging/1")
    }

    fn keep(self: Box<Self>, len: u64, crc32: u32) -> io::Result<BlobRef> {
        if crc32.is_multiple_of(2) {
            Ok(BlobRef { len, hash: [0; 32] })
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

/// The supervisor of a job with one worker, and what it has heard and done.
struct Host {
    supervisor: Supervisor,
    now: Time,
    worker: Option<Arc<Worker>>,
    /// Answers that the worker may still give.
    credit: u64,
    is_ready: bool,
    heard: u32,
    /// With which message the host wants the job to end.
    cancel_at: u32,
    settled: BTreeSet<u64>,
    last_ticket: u64,
}

/// Frames of a worker (each: kind, length of the message, length of the payload, both), after a byte for the codec, one that
/// says when the job is cancelled, and an item that the recorder shows as open in the end: the host hears nothing that it did not ask for, each
/// item is settled once, and whatever the worker says the job comes to its next worker or to its end.
pub fn from_worker(data: &[u8]) {
    let Some((&[codec, cancel_at, lease, offset], frames)) = data.split_first_chunk() else { return };
    let codec = Codec::ALL[usize::from(codec & 1)];
    let host = Arc::new(Mutex::new(Host::new(cancel_at.into())));
    let heard_by = host.clone();
    let sink = Arc::new(move |_, event| heard_by.lock().expect("no panic before").hear(event));
    let worker = Worker::new(WORKER, SlotNumber(0), Waits::with(Debugging::Off), sink);
    host.lock().expect("no panic before").worker = Some(worker.clone());

    let (stream, child) = Stream::pair().expect("there are descriptors");
    let mut sender = FrameSender::new(child.into_stream().expect("descriptors").split().1, codec, LIMITS);
    send_frames(&mut sender, &frames[..frames.len().min(DATA_LEN_MAX)]);
    let (reader, _writer) = stream.split();
    reader.control().shutdown_read().expect("the stream is open");
    let receiver = FrameReceiver::new(reader, codec, LIMITS);
    let start_by = crate::clock::now() + Duration::from_secs(60);
    let (answers, _unread) = sync_channel(ANSWERS_MAX);
    let files = WorkerFiles { staging: Staging::new(Some(Arc::new(PaperDisk))), answers };
    let end = inbound::run(receiver, &worker, &BufferPool::new(1, 1 << 10), files, start_by);
    let exit = match end {
        End::Closed => Exit::Code(0),
        End::StartTimedOut => unreachable!("all bytes were there"),
        End::Breach(what) => Exit::ProtocolViolation(what),
    };
    worker.lose();
    let open = OpenItem { lease: LeaseId(lease.into()), offset: offset.into(), ..OpenItem::default() };
    worker.conclude(ExitReport {
        exit,
        open: if offset == u8::MAX { vec![] } else { vec![open] },
        open_known: offset != 0xfe,
        stderr_tail: String::new(),
    });
    host.lock().expect("no panic before").come_to_rest();
}

fn outputs_in(outputs: &Outputs) -> usize {
    match outputs {
        Outputs::Entries(bytes) => entries(bytes).filter_map(Result::ok).count(),
        Outputs::Stored(output) => {
            assert!(output.files.len() <= OUTPUT_FILES_MAX);
            1
        }
    }
}

/// Sends what the bytes list; a frame that is cut off ends them.
pub(crate) fn send_frames(sender: &mut FrameSender, mut bytes: &[u8]) {
    while let Some((&[kind, message_len, payload_len], rest)) = bytes.split_first_chunk() {
        let Some((message, rest)) = rest.split_at_checked(message_len.into()) else { return };
        let Some((payload, rest)) = rest.split_at_checked(payload_len.into()) else { return };
        sender.send_encoded(kind, message, payload, None).expect("the reader is there and has room");
        bytes = rest;
    }
}

impl Host {
    fn new(cancel_at: u32) -> Self {
        let mut host = Self {
            supervisor: Supervisor::new(Policy::default(), false),
            now: Time(0),
            worker: None,
            credit: 0,
            is_ready: false,
            heard: 0,
            cancel_at,
            settled: BTreeSet::new(),
            last_ticket: 0,
        };
        let mut chunk = ChunkBuilder::default();
        let mut identities = Identities::default();
        for ordinal in 0..ITEMS {
            chunk
                .push::<()>(|bytes| {
                    bytes.push(7);
                    Ok(())
                })
                .expect("the item is encoded");
            identities.push_ordinal(ordinal.into());
        }
        let chunk = Arc::new(chunk.finish(ItemIndex(0), identities).expect("there are items"));
        host.step(Input::Tick);
        host.step(Input::Fed { chunk, priors: vec![] });
        host.step(Input::SourceEnded);
        host
    }

    fn hear(&mut self, event: WorkerEvent) {
        self.check(&event);
        self.now = self.now + STEP;
        self.heard += 1;
        if self.heard == self.cancel_at {
            self.step(Input::Control(Control::Cancel));
        }
        self.step(Input::Worker(WORKER, event));
    }

    /// What the executor promises of every event.
    fn check(&mut self, event: &WorkerEvent) {
        let answers = match event {
            WorkerEvent::Replied(batch) => {
                assert_eq!(outputs_in(&batch.outputs), batch.count as usize);
                batch.offset.checked_add(batch.count).expect("offsets that exist");
                batch.count
            }
            WorkerEvent::Failed { item, failure } => {
                assert!(failure.message.len() <= Failure::MESSAGE_LEN_MAX && item.breadcrumbs.len() <= 8);
                let mut said = item.breadcrumbs.iter().chain([&item.stage]);
                assert!(said.all(|text| !text.contains(char::is_control)), "{item:?}");
                1
            }
            WorkerEvent::Returned { .. } => 1,
            WorkerEvent::StateSaved { state, .. } => {
                assert!(self.is_ready && state.len() <= SAVED_STATE_BYTES_MAX);
                0
            }
            WorkerEvent::Ready => {
                assert!(!std::mem::replace(&mut self.is_ready, true), "ready twice");
                0
            }
            WorkerEvent::StartFailed(_) => {
                assert!(!self.is_ready, "its start was done");
                0
            }
            WorkerEvent::Spawned { .. } | WorkerEvent::Lost | WorkerEvent::Exited(_) => 0,
        };
        assert!(answers == 0 || self.is_ready, "an answer before the start is done");
        self.credit = self.credit.checked_sub(answers.into()).expect("more answers than questions");
    }

    fn step(&mut self, input: Input) {
        let mut commands = Vec::new();
        self.supervisor.step(input, self.now, &mut commands);
        for command in commands {
            self.perform(command);
        }
    }

    fn perform(&mut self, command: Command) {
        match command {
            Command::Assign(WORKER, assignment) => self.grant(assignment.range.len() as u32),
            Command::TakeBack(WORKER, _) => self.grant(1),
            Command::Stop(WORKER) => self.worker.iter().for_each(|worker| worker.interrupt()),
            Command::Commit(commit) => self.commit(&commit),
            Command::Assign(..)
            | Command::TakeBack(..)
            | Command::Stop(_)
            | Command::WantItems
            | Command::Spawn(..)
            | Command::SetPaused(..)
            | Command::CancelItem(..)
            | Command::Kill(..)
            | Command::Note { .. }
            | Command::SaveState { .. }
            | Command::Emit(_)
            | Command::UseThreads(_)
            | Command::Finish(_) => {}
        }
    }

    fn grant(&mut self, answers: u32) {
        self.credit += u64::from(answers);
        self.worker.iter().for_each(|worker| worker.grant(answers));
    }

    fn commit(&mut self, commit: &Commit) {
        self.last_ticket = commit.ticket;
        for position in commit.range.clone() {
            assert!(self.settled.insert(commit.chunk.first().0 + u64::from(position)), "settled twice");
        }
        if let Settled::Completed(outputs) = &commit.settled {
            assert_eq!(outputs_in(outputs), commit.range.len());
        }
    }

    /// The worker is gone and everything is durable: nothing is uncommitted, and the job has ended or goes on.
    fn come_to_rest(&mut self) {
        self.step(Input::Committed { through: self.last_ticket, lsn: self.last_ticket });
        self.step(Input::Tick);
        let counters = self.supervisor.counters();
        assert_eq!(counters.completed + counters.failed + counters.quarantined, self.settled.len() as u64);
        self.worker = None;
    }
}
