//! The vocabulary of the store.

use cofferdam_pipeline_core::{
    BlobRef, Evidence, Fingerprint, Key, Keying, OutcomeKind, OutputBody, StoredOutput,
};
use std::fmt;

/// What a job was made with; compared when it is resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// `Processor::NAME`
    pub processor: String,
    /// `Processor::VERSION`
    pub version: u32,
    /// The codec of outputs, as its id on the wire.
    pub codec: u8,
    /// How items are identified.
    pub keying: Keying,
    /// A keyed hash for each top-level field of the config; never the values.
    pub config: Vec<(String, [u8; 32])>,
}

/// Where a job stands, as far as its files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Somebody works on it, or died while doing so: only the lock tells.
    #[default]
    Running,
    /// Closed in an orderly way with work left.
    Interrupted,
    /// Every item has an outcome.
    Finished,
}

impl JobState {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Interrupted => 2,
            Self::Finished => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Running),
            2 => Some(Self::Interrupted),
            3 => Some(Self::Finished),
            _ => None,
        }
    }
}

/// Items by outcome; a superseded outcome does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Completed.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Quarantined.
    pub quarantined: u64,
    /// Cancelled.
    pub cancelled: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.completed + self.failed + self.quarantined + self.cancelled
    }

    pub(crate) fn of(&mut self, kind: OutcomeKind) -> &mut u64 {
        match kind {
            OutcomeKind::Completed => &mut self.completed,
            OutcomeKind::Failed => &mut self.failed,
            OutcomeKind::Quarantined => &mut self.quarantined,
            OutcomeKind::Cancelled => &mut self.cancelled,
        }
    }
}

/// One job in a listing: what its HEAD says, so counts lag a few seconds behind a running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSummary {
    /// The job's name, as it was given.
    pub name: Vec<u8>,
    /// Where it stands.
    pub state: JobState,
    /// Outcomes by kind.
    pub counts: Counts,
    /// What it was made with.
    pub spec: JobSpec,
}

/// An item's identity, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyRef<'a> {
    /// Position in a dense source; below 2^63.
    Ordinal(u64),
    /// Key of a keyed source, at most [`Key::LEN_MAX`] bytes.
    Bytes(&'a [u8]),
}

impl KeyRef<'_> {
    /// The key, owned.
    #[must_use]
    pub fn to_key(self) -> Key {
        match self {
            Self::Ordinal(ordinal) => Key::Ordinal(ordinal),
            Self::Bytes(bytes) => Key::Bytes(bytes.into()),
        }
    }
}

impl<'a> From<&'a Key> for KeyRef<'a> {
    fn from(key: &'a Key) -> Self {
        match key {
            Key::Ordinal(ordinal) => Self::Ordinal(*ordinal),
            Key::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

/// What the store knows about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// No outcome.
    New,
    /// An outcome for this input. An item without a fingerprint counts as unchanged.
    Done,
    /// An outcome for another input under the same key.
    Changed,
}

/// What is known against an item without an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Crashes charged to it.
    pub crashes: u32,
    /// Failures reported for it.
    pub failures: u32,
    /// Deaths of workers by unexplained kills while it was open.
    pub foreign_kills: u32,
    /// Deaths of the host while it was open.
    pub host_deaths: u32,
}

/// A worker process of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEntry {
    /// Its process id.
    pub pid: u32,
    /// When it started, in the system's own units; with the pid it names one process.
    pub start_time: u64,
    /// Where its flight recorder lies, as the path's bytes.
    pub recorder: Vec<u8>,
}

/// Who has, or had, a job open. It explains; only the lock decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerInfo {
    /// The machine, empty when unknown.
    pub machine: String,
    /// The machine's boot, empty when unknown.
    pub boot: String,
    /// The process.
    pub pid: u32,
    /// When it started, in the system's own units; 0 when unknown.
    pub start_time: u64,
    /// Random, one for each opening.
    pub nonce: u64,
    /// The epoch of its segments.
    pub epoch: u64,
    /// Its workers.
    pub workers: Vec<WorkerEntry>,
}

impl OwnerInfo {
    /// Whether the record can speak of a process that lives on this machine now: a pid alone is no proof, it is reused.
    #[must_use]
    pub fn is_alive_here(&self) -> bool {
        let found = crate::sys::process_start_time(self.pid);
        let is_same = found == Some(self.start_time)
            || (found.is_some() && crate::seeded::has_bug("an owner is known by its pid alone"));
        self.is_this_boot() && is_same
    }

    /// Whether the record is of this machine since its last start; processes of another boot are gone.
    #[must_use]
    pub fn is_this_boot(&self) -> bool {
        Some(&self.machine) == crate::sys::machine_id().as_ref()
            && Some(&self.boot) == crate::sys::boot_id().as_ref()
    }
}

impl fmt::Display for OwnerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if !self.is_this_boot() {
            write!(f, " of another machine or boot")?;
        }
        Ok(())
    }
}

/// A lease that an earlier session started, with those of its items that have no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLease {
    /// The worker that held it, as numbered by that session.
    pub worker: u32,
    /// The lease, as numbered by that session.
    pub lease: u32,
    /// Position within the lease and identity of each item without an outcome.
    pub items: Vec<(u32, Key)>,
}

/// An item that was added to a job and has no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedItem {
    /// Its key.
    pub key: Box<[u8]>,
    /// What the host stored: the item's encoding.
    pub content: Box<[u8]>,
}

/// One outcome, as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRecord {
    /// Its number: outcomes are numbered from 1 without gaps.
    pub lsn: u64,
    /// The item.
    pub key: Key,
    /// The item's input.
    pub fingerprint: Option<Fingerprint>,
    /// How it ended.
    pub kind: OutcomeKind,
    /// Attempts that were made.
    pub attempts: u32,
    /// The step of a chain, 0 for now.
    pub step: u32,
    /// Output or evidence.
    pub body: OutcomeBody,
}

/// What an outcome carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeBody {
    /// An encoded output.
    Output(Vec<u8>),
    /// An output too large for the journal: [`crate::JobStore::read_blob`].
    Blob(BlobRef),
    /// An output, and the files that its item wrote.
    WithFiles(StoredOutput<Vec<u8>>),
    /// Why the item was set aside.
    Evidence(Evidence),
}

/// An outcome that is borrowed from who reads it, field by field an [`OutcomeRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRef<'a> {
    /// Its number: outcomes are numbered from 1 without gaps.
    pub lsn: u64,
    /// The item.
    pub key: KeyRef<'a>,
    /// The item's input.
    pub fingerprint: Option<Fingerprint>,
    /// How it ended.
    pub kind: OutcomeKind,
    /// Attempts that were made.
    pub attempts: u32,
    /// The step of a chain, 0 for now.
    pub step: u32,
    /// Output or evidence.
    pub body: OutcomeBodyRef<'a>,
}

/// What a borrowed outcome carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeBodyRef<'a> {
    /// An encoded output.
    Output(&'a [u8]),
    /// An output too large for the journal: [`crate::JobStore::read_blob`].
    Blob(BlobRef),
    /// An output, and the files that its item wrote; boxed, since it is rare and large.
    WithFiles(Box<StoredOutput<&'a [u8]>>),
    /// Why the item was set aside; boxed, since it is rare and large.
    Evidence(Box<Evidence>),
}

impl<'a> From<OutputBody<&'a [u8]>> for OutcomeBodyRef<'a> {
    fn from(body: OutputBody<&'a [u8]>) -> Self {
        match body {
            OutputBody::Inline(output) => Self::Output(output),
            OutputBody::Blob(blob) => Self::Blob(blob),
        }
    }
}

impl OutcomeRef<'_> {
    /// The outcome, owned.
    #[must_use]
    pub fn into_record(self) -> OutcomeRecord {
        let Self { lsn, key, fingerprint, kind, attempts, step, body } = self;
        let body = match body {
            OutcomeBodyRef::Output(output) => OutcomeBody::Output(output.to_vec()),
            OutcomeBodyRef::Blob(blob) => OutcomeBody::Blob(blob),
            OutcomeBodyRef::WithFiles(output) => {
                let StoredOutput { body, files } = *output;
                let body = match body {
                    OutputBody::Inline(output) => OutputBody::Inline(output.to_vec()),
                    OutputBody::Blob(blob) => OutputBody::Blob(blob),
                };
                OutcomeBody::WithFiles(StoredOutput { body, files })
            }
            OutcomeBodyRef::Evidence(evidence) => OutcomeBody::Evidence(*evidence),
        };
        OutcomeRecord { lsn, key: key.to_key(), fingerprint, kind, attempts, step, body }
    }
}

/// What the driver hears about its commits, from whichever thread wrote them: return soon and call nothing that blocks.
#[derive(Clone, Debug)]
pub enum CommitEvent {
    /// Every ticket up to and including this one is durable.
    Durable {
        /// The highest such ticket.
        through: u64,
        /// The highest durable lsn.
        lsn: u64,
    },
    /// The handle is poisoned; comes once until [`crate::JobStore::reopen`].
    Failed(crate::StoreError),
}

/// What [`crate::JobStore::reopen`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reopened {
    /// Whether there was a failure to recover from; otherwise every ticket still stands.
    pub renewed: bool,
    /// Tickets up to and including this one are durable; submit the later ones again, as new tickets.
    pub durable_through: u64,
    /// The highest durable lsn.
    pub lsn: u64,
}

/// What an opening had to do about the traces of an unclean end. All of it is harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// A torn end: the segment and the byte from which on nothing was accepted. It was never acknowledged.
    pub torn: Option<(u64, u64)>,
    /// Outcomes that were not known to be durable and were written again.
    pub rewritten: u64,
    /// Segments that never became part of the journal.
    pub skipped_segments: Vec<u64>,
    /// One copy of a segment's header is damaged, the other one served.
    pub header_copies_damaged: u32,
    /// The last outcome of the snapshot that served; what came before it was not read again.
    pub snapshot: Option<u64>,
    /// Snapshots that should have served, and are damaged, missing or of another journal. The journal says the same.
    pub unusable_snapshots: Vec<u64>,
}
