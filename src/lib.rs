#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod driver;
mod error;
mod events;
mod feeder;
mod fleet;
mod handle;
mod inbox;
mod job;
mod large_items;
mod ledger;
mod outcomes;
mod output_files;
mod plan;
mod report;
mod shared;
mod snapshot;
mod spec;
mod states;
mod suspects;
mod worker;
mod workspace;

pub use cofferdam_checkpoint::{Durability, StoreError, StoreOptions};
pub use cofferdam_ipc::Codec;
pub use cofferdam_isolation::{Debugging, IsolationError, WorkerProgram};
pub use cofferdam_pipeline_core::supervisor::Ended;
pub use cofferdam_pipeline_core::{
    AsyncProcessor, Concurrent, Context, Event, EventKind, Evidence, Exit, Failure, FailureBudget,
    FailureKind, Fingerprint, Interrupted, ItemSource, Key, Keying, NoScratch, OutputFile, OutputLost,
    OutputWriter, Policy, Processor, RestartBudget, RetryPolicy, SourceError, SourceItem, StartContext,
    StateTooLong, Work, dense, fallible, keyed, stream,
};
pub use error::{AddError, JobError};
pub use events::Events;
pub use handle::{JobControl, JobHandle};
pub use job::{Isolation, Job, OnDifference, OnExisting};
pub use outcomes::{Outcome, OutcomeError, OutcomeResult, Outcomes};
pub use output_files::OutputReader;
pub use plan::{DuplicateKey, ResumePlan};
pub use report::Report;
pub use snapshot::{Phase, Snapshot, WorkerSnapshot};

#[doc(hidden)]
pub use worker::__private;
