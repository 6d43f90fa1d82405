//! The durable store: what must be true after a power cut.
//!
//! A [`Store`] is a directory of jobs. A [`JobStore`] is one of them, open for work: outcomes go in as [`Batch`]es and are
//! written in groups, with one write and one sync for all that came together. Nothing is acknowledged before its sync.
//!
//! | to | call |
//! |---|---|
//! | open a store, list, create, open, read, delete jobs | [`Store`] |
//! | know what is done before a run | [`JobStore::done_ordinals`], [`JobStore::see`], [`JobStore::prior`], [`JobStore::open_leases`] |
//! | commit | [`JobStore::submit`] (a ticket; [`JobStore::on_commit`] answers) or [`JobStore::commit`] (blocks) |
//! | add items that no source has | [`JobStore::add_item`], [`JobStore::added_items`] |
//! | remember what need not survive a power cut | [`JobStore::note`], [`JobStore::lease_started`], [`JobStore::set_workers`] |
//! | read outcomes, also while more are written | [`JobStore::outcomes`], [`JobReader::outcomes`] |
//! | take in a large output that a worker writes | [`JobStore::stage`], [`JobStore::commit_staged`] |
//! | go on after a failure | [`JobStore::reopen`] |
//! | make room for what later outcomes superseded | [`JobStore::compact`], [`Store::delete`] |
//! | go on with a store of an older version | [`Store::migrate`] |
//! | check every byte, also beside whoever works | [`Store::verify`] |
//! | copy a job beside its commits | [`JobStore::backup_to`] |
//! | get out of a damaged store what is intact | [`Store::salvage`] |
//! | end | [`JobStore::finish`] |
//!
//! Processing is at least once; a commit is exactly once: an outcome for the same key and fingerprint is refused
//! ([`StoreError::AlreadyDone`]), one for another fingerprint supersedes. After any failed write or sync the handle is
//! poisoned and no sync is tried again; [`JobStore::reopen`] reads back what is there and continues in a new segment.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod added;
mod backup;
mod batch;
mod blob;
mod blob_reader;
mod building;
mod clock;
mod compaction;
mod disk;
mod done;
mod durability;
mod error;
mod format;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzzing;
mod index;
mod job;
mod job_reader;
mod journal;
mod keyed;
mod lent_frame;
mod limits;
mod migration;
mod ours;
mod outcomes;
mod owner_file;
mod random;
mod real_disk;
mod salvage;
#[doc(hidden)]
pub mod seeded;
mod staging;
mod states;
mod store;
mod sys;
mod types;
mod verify;

pub use batch::Batch;
pub use blob_reader::{BlobReader, Blobs};
pub use cofferdam_pipeline_core::{BlobRef, OutputBody, StoredOutput};
pub use compaction::CompactionReport;
pub use disk::{Disk, DiskFile, FileSystemKind, OpenMode};
pub use done::DoneOrdinals;
pub use durability::{Durability, SyncStats};
pub use error::{Damage, DamageKind, StoreError};
pub use job::JobStore;
pub use job_reader::JobReader;
pub use journal::fill::FillAhead;
pub use limits::OUTPUT_INLINE_MAX;
pub use outcomes::Outcomes;
pub use real_disk::RealDisk;
pub use salvage::SalvageReport;
pub use staging::{StagedFile, Written};
pub use store::{Store, StoreOptions};
pub use types::{
    AddedItem, CommitEvent, Counts, JobSpec, JobState, JobSummary, KeyRef, Lookup, Note, OpenLease,
    OutcomeBody, OutcomeBodyRef, OutcomeRecord, OutcomeRef, OwnerInfo, RecoveryReport, Reopened, WorkerEntry,
};
pub use verify::{Finding, JobReport};
