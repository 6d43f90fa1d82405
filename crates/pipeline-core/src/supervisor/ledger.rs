//! Outcomes on their way to the store: tickets, bytes in flight, and what is durable.

use super::{Command, Commit, Settled, Turn};
use crate::{Chunk, EventKind, Evidence, OutcomeKind};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// What a commit costs beside its bytes, so that many small ones are bounded too.
const COMMIT_BYTES: usize = 64;

/// The state of the store as far as the supervisor cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StoreState {
    /// Takes writes.
    #[default]
    Open,
    /// No space for now; the driver keeps what was handed out.
    Full,
    /// Gone; nothing can be committed any more.
    Lost,
}

/// Counts outcomes only when they are durable.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) store: StoreState,
    tickets: u64,
    uncommitted: VecDeque<Uncommitted>,
    uncommitted_bytes: usize,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) quarantined: u64,
    pub(super) cancelled: u64,
}

#[derive(Debug)]
struct Uncommitted {
    kind: OutcomeKind,
    count: u64,
    bytes: usize,
}

impl Ledger {
    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.uncommitted_bytes
    }

    /// Whether nothing is on its way any more, or nothing can arrive.
    pub(super) fn is_at_rest(&self) -> bool {
        self.uncommitted.is_empty() || self.store == StoreState::Lost
    }

    pub(super) fn has_uncommitted(&self) -> bool {
        !self.uncommitted.is_empty()
    }

    /// Hands outcomes to the store. A lost store gets nothing: the items stay pending.
    pub(super) fn commit(
        &mut self,
        chunk: &Arc<Chunk>,
        range: Range<u32>,
        attempts: u32,
        settled: Settled,
        turn: &mut Turn<'_>,
    ) {
        if self.store == StoreState::Lost {
            return;
        }
        let (kind, bytes) = match &settled {
            Settled::Completed(outputs) => (OutcomeKind::Completed, outputs.as_entries().len()),
            Settled::Failed(evidence) => (OutcomeKind::Failed, evidence_bytes(evidence)),
            Settled::Quarantined(evidence) => (OutcomeKind::Quarantined, evidence_bytes(evidence)),
            Settled::Cancelled(evidence) => (OutcomeKind::Cancelled, evidence_bytes(evidence)),
        };
        let bytes = bytes.saturating_add(COMMIT_BYTES);
        self.tickets += 1;
        self.uncommitted_bytes += bytes;
        let count = u64::from(range.end - range.start);
        self.uncommitted.push_back(Uncommitted { kind, count, bytes });
        let commit = Commit { ticket: self.tickets, chunk: chunk.clone(), range, attempts, settled };
        turn.commands.push(Command::Commit(commit));
    }

    /// All tickets up to `through` are durable.
    pub(super) fn committed(&mut self, through: u64, turn: &mut Turn<'_>) {
        let (mut completed, mut failed, mut quarantined, mut cancelled) = (0, 0, 0, 0);
        while self.tickets - (self.uncommitted.len() as u64) < through {
            let Some(durable) = self.uncommitted.pop_front() else { break };
            self.uncommitted_bytes -= durable.bytes;
            match durable.kind {
                OutcomeKind::Completed => completed += durable.count,
                OutcomeKind::Failed => failed += durable.count,
                OutcomeKind::Quarantined => quarantined += durable.count,
                OutcomeKind::Cancelled => cancelled += durable.count,
            }
        }
        self.completed += completed;
        self.failed += failed;
        self.quarantined += quarantined;
        self.cancelled += cancelled;
        for (kind, count) in [
            (OutcomeKind::Completed, completed),
            (OutcomeKind::Failed, failed),
            (OutcomeKind::Quarantined, quarantined),
            (OutcomeKind::Cancelled, cancelled),
        ] {
            if count > 0 {
                turn.emit(EventKind::Committed { kind, count });
            }
        }
    }
}

fn evidence_bytes(evidence: &Evidence) -> usize {
    evidence.message.len()
        + evidence.stage.len()
        + evidence.stderr_tail.len()
        + evidence.breadcrumbs.iter().map(String::len).sum::<usize>()
}
