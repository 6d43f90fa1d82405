//! What a host and a worker say to each other after the handshake: kinds and message parts of frames.
//!
//! A frame carries one message (encoded with the negotiated codec) and raw payload bytes behind it. Messages are flat,
//! not recursive, and hold no user type; users' items and outputs travel in payloads, already encoded. The byte tables
//! are in `docs/spec/worker-protocol.md`.

use crate::recorder::layout::{BREADCRUMBS, CELL_HEADER_LEN, STAGES};
use crate::recorder::text::clean;
use cofferdam_pipeline_core::{Failure, FailureKind, LeaseId, OpenItem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes of a stage or a breadcrumb in a recorder, and how many breadcrumbs it holds.
const TEXT_LEN_MAX: usize = STAGES.len / 4 - CELL_HEADER_LEN;
const BREADCRUMBS_MAX: usize = BREADCRUMBS.len / (CELL_HEADER_LEN + TEXT_LEN_MAX);

/// A message that is the only one of its frame kind.
pub trait Message: Serialize + DeserializeOwned {
    /// The frame's kind: below 0x80 from host to worker, from 0x80 on from worker to host.
    const KIND: u8;
}

macro_rules! kinds {
    ($($kind:literal $message:ident)*) => { $(impl Message for $message { const KIND: u8 = $kind; })* };
}

kinds! {
    0x01 Start
    0x02 Assign
    0x03 TakeBack
    0x04 Stop
    0x05 AssignStaged
    0x06 TakeFile
    0x81 Ready
    0x82 Replies
    0x83 Failed
    0x84 Returned
    0x85 StartFailed
    0x86 Stopped
    0x87 SaveState
    0x88 WantFile
    0x89 Completed
}

/// Host to worker, once, the first: be this processor. Payload: the encoded config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// [`cofferdam_pipeline_core::Processor::NAME`].
    pub processor: String,
    /// [`cofferdam_pipeline_core::Processor::VERSION`].
    pub version: u32,
    /// The worker's place, `0..workers`.
    pub slot: u32,
    /// Which step of a chain of processors; 0 for now.
    pub step: u32,
    /// Items that may be inside `process` at a time; 1 for a plain processor.
    pub slots: u32,
    /// The flight recorder's path, as the operating system spells it.
    #[serde(with = "serde_bytes")]
    pub recorder: Vec<u8>,
    /// The control page's path.
    #[serde(with = "serde_bytes")]
    pub control: Vec<u8>,
    /// Where this worker may make scratch directories, a path of the host's; empty when there is no place for any.
    #[serde(with = "serde_bytes")]
    pub scratch: Vec<u8>,
    /// Stack of the thread that runs `process`.
    pub stack_bytes: u64,
    /// A finished reply leaves the worker within this time.
    pub reply_flush_ms: u32,
    /// The heartbeat in the recorder rises at least this often, unless the machine is overloaded.
    pub heartbeat_ms: u32,
    /// The main thread of the process runs `process`; `stack_bytes` says nothing then.
    pub main_thread: bool,
    /// An encoded output of more bytes goes into a file of the host's ([`WantFile`]) rather than into a frame; 0 when there are no such files.
    pub files_above: u64,
}

/// Host to worker: a lease. Payload: with `has_state` an entry, then `count` entries ([`cofferdam_pipeline_core::entries`]), the encoded items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    /// [`LeaseId`].
    pub lease: u32,
    /// Which try this is for each of the items, counting from 1.
    pub attempt: u32,
    /// Items; at least 1.
    pub count: u32,
    /// Which step of a chain of processors; 0 for now.
    pub step: u32,
    /// The payload's first entry is what an earlier attempt at the only item saved.
    pub has_state: bool,
}

/// Host to worker: a lease of one item that is too large for a frame. Payload: with `has_state` an entry, what an earlier attempt saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignStaged {
    /// [`LeaseId`].
    pub lease: u32,
    /// Which try this is, counting from 1.
    pub attempt: u32,
    /// Which step of a chain of processors; 0 for now.
    pub step: u32,
    /// There is a payload.
    pub has_state: bool,
    /// The file that holds the encoded item, a path of the host's. The worker reads it and leaves it as it is.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
    /// The file's length in bytes.
    pub len: u64,
    /// CRC-32 of its content: that of zlib, gzip and PNG.
    pub crc32: u32,
}

/// Host to worker: give back what has not started; [`Returned`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeBack {
    /// [`LeaseId`].
    pub lease: u32,
}

/// Host to worker: end the open item, forget the rest, leave. [`Stopped`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {}

/// Host to worker: the answer to [`WantFile`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeFile {
    /// [`LeaseId`].
    pub lease: u32,
    /// Position within the lease.
    pub offset: u32,
    /// That of the question.
    pub number: u32,
    /// An empty file, for the worker to open, but not to create, and to write; empty when there is none.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
    /// Why there is none; else empty.
    pub refusal: String,
}

/// Worker to host: `Processor::start` is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {}

/// Worker to host: outputs of consecutive items. Payload: `count` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replies {
    /// [`LeaseId`].
    pub lease: u32,
    /// The concurrency slot within the worker.
    pub slot: u32,
    /// Position of the first within the lease.
    pub offset: u32,
    /// How many; at least 1.
    pub count: u32,
}

/// Worker to host: the processor returned a failure for an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// [`LeaseId`].
    pub lease: u32,
    /// The concurrency slot within the worker.
    pub slot: u32,
    /// Position within the lease.
    pub offset: u32,
    /// A [`FailureCode`].
    pub kind: u8,
    /// For [`FailureCode::RateLimited`], else 0.
    pub retry_after_ms: u64,
    /// At most [`Failure::MESSAGE_LEN_MAX`] bytes.
    pub message: String,
    /// What the item said last that it is at; empty when it said nothing.
    pub stage: String,
    /// Units done and in all, where it said so.
    pub progress: Option<(u64, u64)>,
    /// Its last breadcrumbs, oldest first.
    pub breadcrumbs: Vec<String>,
}

/// Worker to host: items from `from` on were not started and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// [`LeaseId`].
    pub lease: u32,
    /// The first item given back; the lease's length **or more** when none is (the worker forgets leases that it has
    /// finished). Replies for the items before it that are missing follow when they are done.
    pub from: u32,
}

/// Worker to host: `Processor::start` failed; the worker leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailed {
    /// A [`FailureCode`].
    pub kind: u8,
    /// For [`FailureCode::RateLimited`], else 0.
    pub retry_after_ms: u64,
    /// At most [`Failure::MESSAGE_LEN_MAX`] bytes.
    pub message: String,
}

/// Worker to host: `Processor::stop` is done and everything was sent; the worker leaves with exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {}

/// Worker to host: what an open item needs to go on from here; replaces what it sent before. Payload: the state, at most
/// [`cofferdam_pipeline_core::SAVED_STATE_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveState {
    /// [`LeaseId`].
    pub lease: u32,
    /// Position within the lease.
    pub offset: u32,
}

/// Worker to host: an open item wants to write a part of its output, or all of it, into a file; [`TakeFile`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantFile {
    /// [`LeaseId`].
    pub lease: u32,
    /// Position within the lease.
    pub offset: u32,
    /// Tells the item's questions apart: each has another.
    pub number: u32,
}

/// Worker to host: the output of one item, with files that it wrote. Payload: one entry, the output; nothing when that is a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// [`LeaseId`].
    pub lease: u32,
    /// The concurrency slot within the worker.
    pub slot: u32,
    /// Position within the lease.
    pub offset: u32,
    /// The file that is the encoded output itself.
    pub output: Option<WrittenFile>,
    /// The files that are parts of it, in the order in which the output knows them; at most [`cofferdam_pipeline_core::OUTPUT_FILES_MAX`].
    pub files: Vec<WrittenFile>,
}

/// A file that is written and closed, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// That of the question.
    pub number: u32,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32 of its content: that of zlib, gzip and PNG.
    pub crc32: u32,
}

/// The exit codes of a worker that leaves by itself.
pub mod exit_code {
    /// Stopped when asked.
    pub const STOPPED: u8 = 0;
    /// A panic ended it; the recorder holds the message. The code that a Rust program has after a panic in `main`.
    pub const PANIC: u8 = 101;
    /// `Processor::start` failed and the host was told why.
    pub const START_FAILED: u8 = 102;
    /// The host is gone or cannot be understood; nobody will read this.
    pub const HOST_LOST: u8 = 103;
}

/// [`FailureKind`] as a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureCode {
    /// [`FailureKind::Transient`]
    Transient = 1,
    /// [`FailureKind::RateLimited`]
    RateLimited = 2,
    /// [`FailureKind::Offline`]
    Offline = 3,
    /// [`FailureKind::InvalidInput`]
    InvalidInput = 4,
    /// [`FailureKind::Fatal`]
    Fatal = 5,
    /// [`FailureKind::Interrupted`]
    Interrupted = 6,
}

/// The worker named a kind of failure that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no kind of failure")]
pub struct UnknownFailureCode(pub u8);

/// A failure's kind and patience as they travel.
pub fn failure_to_wire(kind: &FailureKind) -> (u8, u64) {
    let (code, retry_after) = match kind {
        FailureKind::Transient => (FailureCode::Transient, Duration::ZERO),
        FailureKind::RateLimited { retry_after } => (FailureCode::RateLimited, *retry_after),
        FailureKind::Offline => (FailureCode::Offline, Duration::ZERO),
        FailureKind::InvalidInput => (FailureCode::InvalidInput, Duration::ZERO),
        FailureKind::Fatal => (FailureCode::Fatal, Duration::ZERO),
        FailureKind::Interrupted => (FailureCode::Interrupted, Duration::ZERO),
        other => unreachable!("{} has no code: give it one", other.name()),
    };
    (code as u8, u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX))
}

/// A failure from its parts as they travelled; the message is cut to its limit.
///
/// # Errors
/// [`UnknownFailureCode`]: the peer breaks the protocol.
pub fn failure_from_wire(
    kind: u8,
    retry_after_ms: u64,
    message: &str,
) -> Result<Failure, UnknownFailureCode> {
    let kind = match kind {
        1 => FailureKind::Transient,
        2 => FailureKind::RateLimited { retry_after: Duration::from_millis(retry_after_ms) },
        3 => FailureKind::Offline,
        4 => FailureKind::InvalidInput,
        5 => FailureKind::Fatal,
        6 => FailureKind::Interrupted,
        other => return Err(UnknownFailureCode(other)),
    };
    Ok(Failure::new(kind, message))
}

impl Failed {
    /// The message for a failure of one item.
    #[must_use]
    pub fn new(item: OpenItem, failure: Failure) -> Self {
        let (kind, retry_after_ms) = failure_to_wire(&failure.kind);
        let OpenItem { slot, lease: LeaseId(lease), offset, stage, progress, breadcrumbs, message: _ } = item;
        let message = cut(failure.message);
        Self { lease, slot, offset, kind, retry_after_ms, message, stage, progress, breadcrumbs }
    }

    /// Which item, and what it said of itself, as far as a recorder would hold it.
    #[must_use]
    pub fn item(&self) -> OpenItem {
        let text = |text: &String| clean(&text.as_bytes()[..text.floor_char_boundary(TEXT_LEN_MAX)]);
        OpenItem {
            slot: self.slot,
            lease: LeaseId(self.lease),
            offset: self.offset,
            stage: text(&self.stage),
            progress: self.progress,
            message: String::new(),
            breadcrumbs: self.breadcrumbs.iter().take(BREADCRUMBS_MAX).map(text).collect(),
        }
    }
}

impl StartFailed {
    /// The message for a failed start.
    #[must_use]
    pub fn new(failure: Failure) -> Self {
        let (kind, retry_after_ms) = failure_to_wire(&failure.kind);
        Self { kind, retry_after_ms, message: cut(failure.message) }
    }
}

/// `Failure`'s fields are public, so its message may be longer than `Failure::new` allows.
fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(Failure::MESSAGE_LEN_MAX));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_kind_survives_the_wire() {
        let kinds = [
            FailureKind::Transient,
            FailureKind::RateLimited { retry_after: Duration::from_millis(1500) },
            FailureKind::Offline,
            FailureKind::InvalidInput,
            FailureKind::Fatal,
            FailureKind::Interrupted,
        ];
        for kind in kinds {
            let (code, retry_after_ms) = failure_to_wire(&kind);
            let failure = failure_from_wire(code, retry_after_ms, "why").unwrap();
            assert_eq!(failure, Failure { kind, message: "why".into() });
        }
    }

    #[test]
    fn an_unknown_failure_code_is_refused() {
        assert_eq!(failure_from_wire(0, 0, ""), Err(UnknownFailureCode(0)));
        assert_eq!(failure_from_wire(7, 0, ""), Err(UnknownFailureCode(7)));
    }

    #[test]
    fn an_overlong_message_is_cut_before_it_travels() {
        let failure =
            Failure { kind: FailureKind::Transient, message: "ä".repeat(Failure::MESSAGE_LEN_MAX) };
        let failed = Failed::new(OpenItem::default(), failure);
        assert_eq!(failed.message.len(), Failure::MESSAGE_LEN_MAX);
    }

    #[test]
    fn what_a_failed_item_said_is_believed_as_far_as_a_recorder_holds_it() {
        let item = OpenItem {
            slot: 3,
            lease: LeaseId(7),
            offset: 9,
            stage: "ä".repeat(40),
            progress: Some((3, 14)),
            message: String::new(),
            breadcrumbs: (0..10).map(|n| format!("{n}\u{1b}[2J")).collect(),
        };
        let failed = Failed::new(item.clone(), Failure::transient("later"));
        let breadcrumbs = (0..8).map(|n| format!("{n}\u{fffd}[2J")).collect();
        assert_eq!(failed.item(), OpenItem { stage: "ä".repeat(32), breadcrumbs, ..item });
    }
}
