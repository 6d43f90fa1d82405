//! What goes to a worker: its own thread, since a large lease may block while a large reply is on its way back.

use super::spawner::SpawnerHandle;
use super::worker::Worker;
use crate::protocol::{self, Message};
use crate::sys::files;
use cofferdam_ipc::{FrameSender, SendError};
use cofferdam_pipeline_core::{
    Assignment, Failure, LeaseId, OpenItem, StagedItem, WorkerEvent, push_entry_len,
};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// Messages that wait for a worker's socket. The supervisor keeps two leases in flight, so hundreds mean that
/// the worker has stopped reading.
pub(super) const QUEUE_LEN_MAX: usize = 256;

/// The longest varint before an entry.
const ENTRY_LEN_MAX: usize = 5;

/// One message to a worker.
pub(super) enum Outbound {
    Assign(Assignment),
    TakeBack(LeaseId),
    TakeFile(protocol::TakeFile),
    Stop,
    /// The socket is done for: the thread ends.
    Close,
}

/// Sends until the channel closes or the worker does.
pub(super) fn run(
    mut sender: FrameSender,
    queue: &Receiver<Outbound>,
    worker: &Worker,
    spawner: &SpawnerHandle,
) {
    for message in queue.iter() {
        let deadline = Some(crate::clock::now() + worker.waits.sending);
        let sent = match &message {
            Outbound::Assign(assignment) => assign(&mut sender, assignment, deadline, worker),
            Outbound::TakeBack(lease) => {
                send(&mut sender, &protocol::TakeBack { lease: lease.0 }, &[], deadline)
            }
            Outbound::TakeFile(file) => send(&mut sender, file, &[], deadline),
            Outbound::Stop => send(&mut sender, &protocol::Stop {}, &[], deadline),
            Outbound::Close => return,
        };
        if !has_been_sent(sent, worker) {
            break;
        }
    }
    spawner.wake();
}

/// False when the worker cannot be told anything any more.
pub(super) fn has_been_sent(sent: Result<(), SendError>, worker: &Worker) -> bool {
    match sent {
        Ok(()) => true,
        Err(error @ (SendError::TooLarge(_) | SendError::Codec(_) | SendError::TimedOut)) => {
            worker.violate(format!("cannot be told anything: {error}"));
            false
        }
        // What it sent before its end may still be read: the reader says when the socket is at its end.
        Err(SendError::Closed | SendError::CutOff | SendError::Io(_)) => {
            worker.lose();
            worker.close();
            false
        }
    }
}

fn assign(
    sender: &mut FrameSender,
    assignment: &Assignment,
    deadline: Option<Instant>,
    worker: &Worker,
) -> Result<(), SendError> {
    let Assignment { lease, attempt, chunk, range, saved_state } = assignment;
    let count = range.end - range.start;
    let has_state = saved_state.is_some();
    let with_state = saved_state.as_ref().map(|state| {
        let mut entries = Vec::with_capacity(state.len() + chunk.slice(range).len() + ENTRY_LEN_MAX);
        push_entry_len(&mut entries, state.len());
        entries.extend_from_slice(state);
        entries.extend_from_slice(chunk.slice(range));
        entries
    });
    let payload = with_state.as_deref().unwrap_or_else(|| chunk.slice(range));
    let sent = match chunk.staged() {
        None => {
            let message = protocol::Assign { lease: lease.0, attempt: *attempt, count, step: 0, has_state };
            send(sender, &message, payload, deadline)
        }
        Some(staged) => send(sender, &assign_staged(assignment, staged), payload, deadline),
    };
    match sent {
        // Nothing was written: the worker is as good as before, only these items cannot travel.
        Err(SendError::TooLarge(too_large)) => {
            for offset in 0..count {
                let failure = Failure::invalid_input(format!("the encoded item cannot travel: {too_large}"));
                let item = OpenItem { lease: *lease, offset, ..OpenItem::default() };
                worker.emit(WorkerEvent::Failed { item, failure });
            }
            Ok(())
        }
        sent => sent,
    }
}

fn assign_staged(assignment: &Assignment, staged: &StagedItem) -> protocol::AssignStaged {
    protocol::AssignStaged {
        lease: assignment.lease.0,
        attempt: assignment.attempt,
        step: 0,
        has_state: assignment.saved_state.is_some(),
        path: files::path_to_bytes(&staged.path),
        len: staged.len,
        crc32: staged.crc32,
    }
}

fn send<M: Message>(
    sender: &mut FrameSender,
    message: &M,
    payload: &[u8],
    deadline: Option<Instant>,
) -> Result<(), SendError> {
    sender.send(M::KIND, message, payload, deadline)
}
