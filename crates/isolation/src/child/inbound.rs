//! What comes from a worker: every frame is checked before it becomes an event.

use super::outbound::Outbound;
use super::worker::Worker;
use crate::protocol::{self, Message};
use crate::staging::{FileBreach, Staging};
use cofferdam_ipc::{CodecError, FrameReceiver, Received, RecvError};
use cofferdam_pipeline_core::{
    Buffer, BufferPool, Failure, LeaseId, ReplyBatch, SAVED_STATE_BYTES_MAX, WorkerEvent, entries,
};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// The worker sent something that the protocol does not allow.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breach {
    #[error("a message of kind {kind:#04x} does not decode: {error}")]
    Message { kind: u8, error: CodecError },
    #[error("a message of unknown kind {0:#04x}")]
    Kind(u8),
    #[error("a {0} message at the wrong time")]
    Order(&'static str),
    #[error("a {0} message with a payload")]
    Payload(&'static str),
    #[error(
        "replies from offset {offset} with count {count} whose payload holds {found} good entries in {len} bytes"
    )]
    Replies { offset: u32, count: u32, found: u64, len: usize },
    #[error("more answers than items")]
    Unasked,
    #[error("the worker {0}")]
    File(#[from] FileBreach),
    #[error("more questions than it reads answers")]
    Unread,
    #[error("a saved state of {0} bytes")]
    StateTooLong(usize),
    #[error(transparent)]
    Failure(#[from] protocol::UnknownFailureCode),
}

/// Why reading ended.
pub(super) enum End {
    /// The stream is at its end.
    Closed,
    /// The start was not done in time.
    StartTimedOut,
    /// Nothing more that comes from there can be trusted.
    Breach(String),
}

/// Where a worker is in its life, as its messages show it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Leaving,
}

/// The files that the worker was given, and the way to give more.
pub(super) struct WorkerFiles {
    pub(super) staging: Staging,
    pub(super) answers: SyncSender<Outbound>,
}

impl WorkerFiles {
    fn give(&mut self, wanted: &protocol::WantFile) -> Result<(), Breach> {
        match self.answers.try_send(Outbound::TakeFile(self.staging.give(wanted)?)) {
            // Nobody writes any more: its end is an event of its own.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Breach::Unread),
        }
    }
}

/// Reads until the end, handing events to the worker's sink.
pub(super) fn run(
    mut receiver: FrameReceiver,
    worker: &Worker,
    pool: &Arc<BufferPool>,
    mut files: WorkerFiles,
    start_by: Instant,
) -> End {
    let mut stage = Stage::Starting;
    let mut payload = pool.take();
    loop {
        let deadline = (stage == Stage::Starting).then_some(start_by);
        let received = match receiver.recv(&mut payload, deadline) {
            Ok(received) => received,
            Err(RecvError::Closed | RecvError::Truncated | RecvError::Io(_)) => return End::Closed,
            Err(RecvError::TimedOut) => return End::StartTimedOut,
            Err(RecvError::Frame(error)) => return End::Breach(error.to_string()),
        };
        match take(&received, &mut payload, &mut stage, worker, &mut files) {
            Ok(true) => payload = pool.take(),
            Ok(false) => {}
            Err(breach) => return End::Breach(breach.to_string()),
        }
    }
}

/// Handles one frame; true when the payload's buffer was given away.
fn take(
    received: &Received<'_>,
    payload: &mut Buffer,
    stage: &mut Stage,
    worker: &Worker,
    files: &mut WorkerFiles,
) -> Result<bool, Breach> {
    match received.kind {
        protocol::Replies::KIND => {
            let replies: protocol::Replies = decode(received)?;
            require(*stage == Stage::Ready, "Replies")?;
            check_replies(&replies, payload)?;
            charge(worker, replies.count)?;
            let outputs = std::mem::take(payload).into();
            let protocol::Replies { lease, offset, count, .. } = replies;
            files.staging.forget(lease, offset..offset.saturating_add(count));
            worker.emit(WorkerEvent::Replied(ReplyBatch { lease: LeaseId(lease), offset, count, outputs }));
            return Ok(true);
        }
        protocol::Completed::KIND => {
            let completed: protocol::Completed = decode(received)?;
            require(*stage == Stage::Ready, "Completed")?;
            charge(worker, 1)?;
            worker.emit(files.staging.complete(&completed, std::mem::take(payload))?);
            return Ok(true);
        }
        protocol::WantFile::KIND => {
            let wanted: protocol::WantFile = decode(received)?;
            require(*stage == Stage::Ready, "WantFile")?;
            require_no_payload(payload, "WantFile")?;
            files.give(&wanted)?;
        }
        protocol::Failed::KIND => {
            let failed: protocol::Failed = decode(received)?;
            require(*stage == Stage::Ready, "Failed")?;
            require_no_payload(payload, "Failed")?;
            charge(worker, 1)?;
            let failure = failure(failed.kind, failed.retry_after_ms, &failed.message)?;
            files.staging.forget(failed.lease, failed.offset..failed.offset.saturating_add(1));
            worker.emit(WorkerEvent::Failed { item: failed.item(), failure });
        }
        protocol::SaveState::KIND => {
            let saved: protocol::SaveState = decode(received)?;
            require(*stage == Stage::Ready, "SaveState")?;
            if payload.len() > SAVED_STATE_BYTES_MAX {
                return Err(Breach::StateTooLong(payload.len()));
            }
            let protocol::SaveState { lease, offset } = saved;
            let state = payload.as_slice().into();
            worker.emit(WorkerEvent::StateSaved { lease: LeaseId(lease), offset, state });
            crate::clock::pause(time_of_state(payload.len()));
        }
        protocol::Returned::KIND => {
            let returned: protocol::Returned = decode(received)?;
            require(*stage == Stage::Ready, "Returned")?;
            require_no_payload(payload, "Returned")?;
            charge(worker, 1)?;
            worker.emit(WorkerEvent::Returned { lease: LeaseId(returned.lease), from: returned.from });
        }
        protocol::Ready::KIND => {
            let protocol::Ready {} = decode(received)?;
            require(*stage == Stage::Starting, "Ready")?;
            require_no_payload(payload, "Ready")?;
            *stage = Stage::Ready;
            worker.become_ready();
        }
        protocol::StartFailed::KIND => {
            let failed: protocol::StartFailed = decode(received)?;
            require(*stage == Stage::Starting, "StartFailed")?;
            require_no_payload(payload, "StartFailed")?;
            *stage = Stage::Leaving;
            let failure = failure(failed.kind, failed.retry_after_ms, &failed.message)?;
            worker.set_start_failure(failure.message.clone());
            worker.emit(WorkerEvent::StartFailed(failure));
        }
        protocol::Stopped::KIND => {
            let protocol::Stopped {} = decode(received)?;
            require(*stage != Stage::Leaving && worker.was_asked_to_stop(), "Stopped")?;
            require_no_payload(payload, "Stopped")?;
            *stage = Stage::Leaving;
            worker.set_stopped();
        }
        unknown => return Err(Breach::Kind(unknown)),
    }
    Ok(false)
}

/// States are not asked for, so no credit bounds them; time does: nobody can fill the host's memory with them faster than it
/// writes them away. Workers of ours send one in a tenth of a second.
fn time_of_state(len: usize) -> Duration {
    Duration::from_micros(500 + (len as u64).div_ceil(64))
}

fn decode<M: Message + DeserializeOwned>(received: &Received<'_>) -> Result<M, Breach> {
    received.decode().map_err(|error| Breach::Message { kind: M::KIND, error })
}

fn require(in_order: bool, name: &'static str) -> Result<(), Breach> {
    if in_order { Ok(()) } else { Err(Breach::Order(name)) }
}

/// Who answers more often than he was asked could fill the host's memory with events.
fn charge(worker: &Worker, answers: u32) -> Result<(), Breach> {
    if worker.charge(answers) { Ok(()) } else { Err(Breach::Unasked) }
}

fn require_no_payload(payload: &[u8], name: &'static str) -> Result<(), Breach> {
    if payload.is_empty() { Ok(()) } else { Err(Breach::Payload(name)) }
}

fn failure(kind: u8, retry_after_ms: u64, message: &str) -> Result<Failure, Breach> {
    Ok(protocol::failure_from_wire(kind, retry_after_ms, message)?)
}

/// The payload holds exactly `count` entries, at least one, at offsets that exist.
fn check_replies(replies: &protocol::Replies, payload: &[u8]) -> Result<(), Breach> {
    let mut found = 0u64;
    let mut is_whole = true;
    for entry in entries(payload) {
        is_whole &= entry.is_ok();
        found += u64::from(entry.is_ok());
    }
    let protocol::Replies { offset, count, .. } = *replies;
    if is_whole && count > 0 && found == u64::from(count) && offset.checked_add(count).is_some() {
        return Ok(());
    }
    Err(Breach::Replies { offset, count, found, len: payload.len() })
}
