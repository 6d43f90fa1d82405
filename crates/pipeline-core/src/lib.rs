//! Decides: what a processor is, what may run when, who is blamed, what is retried.
//!
//! Nothing here names a process, a thread or a file. Time is an argument, and the [`Supervisor`] is a pure state
//! machine from inputs to commands, so that a seeded simulation can drive it through millions of schedules.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod buffer;
mod chunk;
mod context;
mod event;
mod executor;
mod exit;
mod failure;
mod identity;
mod item;
mod outcome;
mod output_writer;
mod outputs;
mod policy;
mod processor;
mod saved_state;
mod source;
mod staged_item;
pub mod supervisor;
mod time;
mod work;

pub use buffer::{Buffer, BufferPool};
pub use chunk::{Chunk, ChunkBuilder, EntryError, entries, push_entry_len, split_first_entry};
pub use context::{Context, Instrument, Interrupted, NoScratch, StartContext, StateTooLong};
pub use event::{Event, EventKind};
pub use executor::{
    Assignment, Executor, ExitReport, Observation, OpenItem, ReplyBatch, WorkerEvent, WorkerSink,
};
pub use exit::{Exit, KillReason, TimeLimit};
pub use failure::{Failure, FailureKind};
pub use identity::{Identities, KeyTable, OrdinalRun};
pub use item::{Fingerprint, ItemIndex, Key, LeaseId, SlotNumber, WorkerId};
pub use outcome::{Evidence, OutcomeKind};
pub use output_writer::{OutputFile, OutputLost, OutputSink, OutputWriter};
pub use outputs::{BlobRef, OUTPUT_FILES_MAX, OutputBody, Outputs, StoredOutput};
pub use policy::{FailureBudget, LeaseLimits, Policy, RestartBudget, RetryPolicy};
pub use processor::{AsyncProcessor, Processor};
pub use saved_state::{SAVED_STATE_BYTES_MAX, SavedState};
pub use source::{ItemSource, Keying, SourceError, SourceItem, SourceItems, dense, fallible, keyed, stream};
pub use staged_item::StagedItem;
pub use supervisor::Supervisor;
pub use time::Time;
pub use work::{Concurrent, ManyAtOnce, OneByOne, Work};
