//! What can go wrong, and what the caller may do about it.

use crate::OwnerInfo;
use cofferdam_pipeline_core::Key;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An operation on a store failed. Cheap to clone, since everyone who waits for a commit learns of its failure.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused a call. The handle is poisoned if it was a write or a sync of the journal: see [`crate::JobStore::reopen`].
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// The disk is full but for a reserve of 1 MiB, or a quota is. Make room (for twice the reserve), then [`crate::JobStore::reopen`] and submit again what is not durable.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// The file that did not fit.
        path: PathBuf,
    },
    /// An earlier write or sync failed, so it is unknown what of the later ones is on disk: [`crate::JobStore::reopen`] finds out.
    #[error("an earlier write to the store failed; reopen the job to learn what is durable")]
    Indeterminate,
    /// Bytes that were durable are damaged. Nothing was changed; salvage copies what is intact.
    #[error("{0}")]
    Corrupt(Arc<Damage>),
    /// Another process (or handle) has the job open.
    #[error("the job is in use by {0}")]
    Locked(Box<OwnerInfo>),
    /// The store as a whole is busy with a creation or deletion that does not end.
    #[error("the store at {} stays locked by another process", path.display())]
    StoreBusy {
        /// The store.
        path: PathBuf,
    },
    /// There is a job of this name.
    #[error("a job of this name exists")]
    JobExists,
    /// The job's files were removed, or replaced by others, while it was open. What was acknowledged went with them; nothing
    /// more is, and nothing is written into the journal of a job that came in its place.
    #[error("the files of the job in {} were removed while it was open", path.display())]
    Removed {
        /// The job's directory.
        path: PathBuf,
    },
    /// There is no job of this name.
    #[error("there is no job of this name")]
    NoSuchJob,
    /// The directory belongs to a job of another name whose hash is the same.
    #[error("another job has the same directory name")]
    JobNameCollision,
    /// A name, a key or a description is longer than the format allows.
    #[error("{what} is {len} bytes long; at most {max} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
    /// The file was written by a newer version of this library, in a way that this one cannot read.
    #[error("{} was written by a newer version (format {found}, this library reads {known})", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its format version, or its unknown flags.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// The store is of an older version: it can be listed, read, verified and salvaged, and has to be migrated before anything in
    /// it is changed: [`crate::Store::migrate`].
    #[error("{} is of version {found}; migrate it to version {current} first", path.display())]
    OlderVersion {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this library writes.
        current: u32,
    },
    /// The directory holds something else.
    #[error("{} is not a store: {why}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The file system cannot keep the promise of [`crate::Durability::Power`]; the host may accept that explicitly.
    #[error("{} lies on a {kind:?} file system, which may lose what was synced", path.display())]
    WeakFileSystem {
        /// The store.
        path: PathBuf,
        /// What was found.
        kind: crate::FileSystemKind,
    },
    /// The item has an outcome already; nothing of the batch was taken.
    #[error("item {0} has an outcome already")]
    AlreadyDone(Key),
    /// The entries of a batch are not what its counts say; nothing of it was taken.
    #[error("the entries of a batch do not match its count")]
    MalformedBatch,
    /// The batch does not fit into the queue even when that is empty.
    #[error("a batch of {len} bytes is larger than the queue of {max}")]
    BatchTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The queue's bound.
        max: usize,
    },
    /// A blob is missing, or is not what was committed.
    #[error("blob {} is damaged or missing", path.display())]
    BlobDamaged {
        /// The blob's file.
        path: PathBuf,
    },
    /// The blob was removed with the outcome that named it, which a later one superseded: read the outcomes again.
    #[error("blob {} was removed with the outcome that it belonged to", path.display())]
    BlobGone {
        /// Where it was.
        path: PathBuf,
    },
    /// A staged file does not hold what its writer reported. It was removed; nothing was committed.
    #[error("the staged file {} is not what its writer reported", path.display())]
    StagedMismatch {
        /// Where it was.
        path: PathBuf,
    },
    /// The job was finished or its handle is being dropped.
    #[error("the job is closed")]
    Closed,
}

/// Where bytes that must be there are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {at}: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The first damaged byte.
    pub at: u64,
    /// What is wrong there.
    pub what: DamageKind,
    /// The lsn that the first affected outcome would have.
    pub first_lsn_affected: u64,
}

/// What is wrong with a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageKind {
    /// No slot of the HEAD file is intact.
    #[error("no intact slot")]
    NoIntactSlot,
    /// The job's description does not match its checksum.
    #[error("the job's description does not match its checksum")]
    Description,
    /// Neither copy of a segment's header is intact.
    #[error("neither copy of the segment's header is intact")]
    SegmentHeader,
    /// A segment of another job, or under another number.
    #[error("the segment belongs elsewhere")]
    ForeignSegment,
    /// A segment that another one follows, or that HEAD names, is not there or holds nothing.
    #[error("a segment is missing")]
    MissingSegment,
    /// A frame that was durable is not intact.
    #[error("a durable frame is not intact")]
    Frame,
    /// Intact frames do not continue each other.
    #[error("the sequence of outcomes has a gap or a repetition")]
    LsnSequence,
    /// A frame is intact but what it holds makes no sense.
    #[error("a frame holds malformed records")]
    Records,
    /// The segment does not end as its successor says.
    #[error("the segment does not end where its successor continues")]
    PinMismatch,
    /// A snapshot is not what was written. Nothing is lost: opening reads the journal instead.
    #[error("the snapshot is damaged; the journal says the same")]
    Snapshot,
    /// A blob that an outcome names is missing, or is not what was committed.
    #[error("the blob is missing or not what was committed")]
    Blob,
    /// Two committed segments continue the same one: two hosts wrote at once. Both are kept.
    #[error("two segments continue the same one")]
    Fork,
}

impl StoreError {
    /// Wraps an error of the system; a full disk becomes [`StoreError::NoSpace`].
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path: path.to_owned() }
            }
            _ => Self::Io { op, path: path.to_owned(), source: Arc::new(source) },
        }
    }

    /// A file that was there a moment ago: whoever works on the job has removed what is not needed any more.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    pub(crate) fn is_refused_writing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_refusal(source.kind()))
    }

    pub(crate) fn corrupt(path: &Path, at: u64, what: DamageKind, first_lsn_affected: u64) -> Self {
        Self::Corrupt(Arc::new(Damage { path: path.to_owned(), at, what, first_lsn_affected }))
    }
}

/// Nothing may be changed there, by the kind of mount or by permissions.
pub(crate) fn is_refusal(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
