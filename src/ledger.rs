//! The driver's side of the store: commits on their way, and what becomes of them when the store fails.

use cofferdam_checkpoint::{Batch, JobStore, KeyRef, Note, Reopened, StoreError};
use cofferdam_pipeline_core::supervisor::{Commit, Input, Prior, Settled};
use cofferdam_pipeline_core::{
    Assignment, Buffer, Chunk, Evidence, Fingerprint, Identities, OutcomeKind, OutputBody, Outputs,
    StoredOutput, Time, WorkerId, entries, push_entry_len,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often a full store is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(500);

/// Commits that are not known to be durable, oldest first, and the state of the store.
pub(crate) struct Ledger {
    job: Arc<JobStore>,
    waiting: VecDeque<Waiting>,
    state: State,
    /// What a reopening found durable and the supervisor has not heard of.
    found: Option<u64>,
    /// The highest ticket that the store gave, and the highest that is durable.
    last_ticket: u64,
    last_durable: u64,
}

struct Waiting {
    /// The store's ticket; `None` while the store cannot take it.
    ticket: Option<u64>,
    commit: Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// No space; the handle is poisoned and tried again at this time.
    Full(Time),
    Lost,
}

/// What the supervisor must be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Full,
    Recovered,
    Lost(String),
}

impl From<Turn> for Input {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Full => Self::StoreFull,
            Turn::Recovered => Self::StoreRecovered,
            Turn::Lost(why) => Self::StoreFailed(why),
        }
    }
}

impl Ledger {
    pub fn new(job: Arc<JobStore>) -> Self {
        Self {
            job,
            waiting: VecDeque::new(),
            state: State::Open,
            found: None,
            last_ticket: 0,
            last_durable: 0,
        }
    }

    /// Hands a commit to the store, or keeps it until the store can take it.
    pub fn submit(&mut self, commit: Commit, now: Time) -> Option<Turn> {
        self.waiting.push_back(Waiting { ticket: None, commit });
        match self.state {
            State::Open => {}
            State::Full(_) | State::Lost => return None,
        }
        match self.hand_in(self.waiting.len() - 1) {
            Ok(()) => None,
            Err(error) => self.failed(&error, now),
        }
    }

    /// Gives a waiting commit to the store. What has an outcome already keeps it (the same item came twice): a commit is once.
    fn hand_in(&mut self, at: usize) -> Result<(), StoreError> {
        let waiting = &mut self.waiting[at];
        let ticket = match batch_of(&waiting.commit).and_then(|batch| self.job.submit(batch)) {
            Err(StoreError::AlreadyDone(_)) => submit_one_by_one(&self.job, &waiting.commit)?,
            other => Some(other?),
        };
        self.last_ticket = ticket.unwrap_or(self.last_ticket);
        waiting.ticket = Some(self.last_ticket);
        if ticket.is_none() && self.last_ticket <= self.last_durable {
            self.found = self.durable(self.last_durable).or(self.found);
        }
        Ok(())
    }

    /// The store made all up to `ticket` durable: the supervisor's ticket for it.
    pub fn durable(&mut self, ticket: u64) -> Option<u64> {
        self.last_durable = self.last_durable.max(ticket);
        let count = self.waiting.iter().take_while(|w| w.ticket.is_some_and(|t| t <= ticket)).count();
        self.waiting.drain(..count).next_back().map(|w| w.commit.ticket)
    }

    /// The store failed by itself.
    pub fn failed(&mut self, error: &StoreError, now: Time) -> Option<Turn> {
        match self.state {
            State::Open => {
                tracing::warn!(%error, "the store cannot take writes");
                if matches!(error, StoreError::NoSpace { .. }) {
                    self.state = State::Full(now + RETRY_EVERY);
                    return Some(Turn::Full);
                }
                self.reopen(now)
            }
            State::Full(_) | State::Lost => None,
        }
    }

    /// Whether the store waits for room.
    pub fn is_full(&self) -> bool {
        self.retry_at().is_some()
    }

    /// When [`Ledger::retry`] is due.
    pub fn retry_at(&self) -> Option<Time> {
        match self.state {
            State::Full(at) => Some(at),
            State::Open | State::Lost => None,
        }
    }

    /// Tries a full store again.
    pub fn retry(&mut self, now: Time) -> Option<Turn> {
        self.retry_at().filter(|at| *at <= now)?;
        self.reopen(now)
    }

    /// Opens a new segment; what is not found in the store is handed in again. Never the same sync twice.
    fn reopen(&mut self, now: Time) -> Option<Turn> {
        let was_full = matches!(self.state, State::Full(_));
        // A handle that never failed is as good as before: only the disk can say whether there is room again.
        let has_room = if was_full { self.job.check_room() } else { Ok(()) };
        let resubmitted = has_room.and_then(|()| self.job.reopen()).and_then(|found| self.resubmit(found));
        match resubmitted {
            Ok(()) => {
                self.state = State::Open;
                was_full.then_some(Turn::Recovered)
            }
            Err(StoreError::NoSpace { .. }) => {
                self.state = State::Full(now + RETRY_EVERY);
                (!was_full).then_some(Turn::Full)
            }
            Err(error) => {
                self.state = State::Lost;
                Some(Turn::Lost(error.to_string()))
            }
        }
    }

    fn resubmit(&mut self, found: Reopened) -> Result<(), StoreError> {
        self.found = self.durable(found.durable_through).or(self.found);
        if found.renewed {
            self.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
        }
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.ticket.is_none()) {
            self.hand_in(at)?;
        }
        Ok(())
    }

    /// The supervisor's ticket for what the last reopening found durable; once.
    pub fn take_found(&mut self) -> Option<u64> {
        self.found.take()
    }

    /// What is now known against an unsettled item. Advice for the next session: losing it loses no outcome.
    pub fn note(&self, chunk: &Chunk, position: u32, prior: &Prior) {
        let note = Note {
            crashes: prior.crashes,
            failures: prior.failures,
            foreign_kills: prior.foreign_kills,
            host_deaths: prior.host_deaths,
        };
        if let Err(error) = self.job.note(KeyRef::from(&chunk.identities().key(position)), note) {
            tracing::debug!(%error, "a note was not kept");
        }
    }

    /// A lease begins. Advice for the next session.
    pub fn lease_started(&self, worker: WorkerId, assignment: &Assignment) {
        let Assignment { lease, chunk, range, .. } = assignment;
        if let Err(error) = self.job.lease_started(worker.0, lease.0, chunk.identities(), range.clone()) {
            tracing::debug!(%error, "a lease start was not kept");
        }
    }
}

/// The items of a commit that have no outcome yet; the ticket of the last one, if there was any.
fn submit_one_by_one(job: &JobStore, commit: &Commit) -> Result<Option<u64>, StoreError> {
    let mut ticket = None;
    let mut single = Vec::new();
    let Settled::Completed(outputs) = &commit.settled else { return Ok(None) };
    for (position, output) in commit.range.clone().zip(entries(outputs.as_entries())) {
        let Ok(output) = output else { return Err(StoreError::MalformedBatch) };
        single.clear();
        push_entry_len(&mut single, output.len());
        single.extend_from_slice(output);
        let identities = commit.chunk.identities();
        match job.submit(Batch::completed(identities, position..position + 1, commit.attempts, &single)?) {
            Ok(submitted) => ticket = Some(submitted),
            Err(StoreError::AlreadyDone(key)) => {
                tracing::info!(%key, "an item came twice: its first outcome counts")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(ticket)
}

fn batch_of(commit: &Commit) -> Result<Batch<'_>, StoreError> {
    let Commit { chunk, range, attempts, settled, .. } = commit;
    let identities = chunk.identities();
    match settled {
        Settled::Completed(Outputs::Entries(outputs)) => {
            Batch::completed(identities, range.clone(), *attempts, outputs)
        }
        Settled::Completed(Outputs::Stored(output)) => stored(commit, output),
        Settled::Failed(evidence) => set_aside(commit, OutcomeKind::Failed, evidence),
        Settled::Quarantined(evidence) => set_aside(commit, OutcomeKind::Quarantined, evidence),
        Settled::Cancelled(evidence) => set_aside(commit, OutcomeKind::Cancelled, evidence),
    }
}

fn stored<'a>(commit: &'a Commit, output: &'a StoredOutput<Buffer>) -> Result<Batch<'a>, StoreError> {
    let (key, fingerprint) = identity(commit);
    let body = match &output.body {
        OutputBody::Blob(blob) if output.files.is_empty() => {
            return Batch::completed_blob(key, fingerprint, commit.attempts, *blob);
        }
        OutputBody::Blob(blob) => OutputBody::Blob(*blob),
        OutputBody::Inline(bytes) => OutputBody::Inline(bytes.as_slice()),
    };
    let output = StoredOutput { body, files: output.files.clone() };
    Batch::completed_with_files(key, fingerprint, commit.attempts, output)
}

fn set_aside<'a>(
    commit: &'a Commit,
    kind: OutcomeKind,
    evidence: &'a Evidence,
) -> Result<Batch<'a>, StoreError> {
    let (key, fingerprint) = identity(commit);
    Batch::set_aside(key, fingerprint, kind, commit.attempts, evidence)
}

/// Who the only item of a commit is.
fn identity(commit: &Commit) -> (KeyRef<'_>, Option<Fingerprint>) {
    let (identities, position) = (commit.chunk.identities(), commit.range.start);
    let key = match identities {
        Identities::Keys(table) => KeyRef::Bytes(table.get(position).0),
        Identities::Ordinals(_) => KeyRef::Ordinal(identities.ordinal(position)),
    };
    (key, identities.fingerprint(position))
}
