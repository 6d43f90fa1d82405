//! What can go wrong when a job is started or waited for.

use crate::plan::DuplicateKey;
use cofferdam_checkpoint::StoreError;
use cofferdam_isolation::IsolationError;
use cofferdam_pipeline_core::SourceError;

/// An item could not be added to a running job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The job's items have no keys: they are known by their position in the source.
    #[error("items can be added only to a job whose items have keys")]
    Dense,
    /// The key has an outcome, or was added before.
    #[error("there is an item of this key already")]
    Exists,
    /// Too much that was added has no outcome yet: try again when some of it is done.
    #[error("{bytes} bytes of items wait already; at most {max} are kept")]
    Full {
        /// Bytes of the items that wait.
        bytes: usize,
        /// How many may.
        max: usize,
    },
    /// The item alone is more than is kept of all: give it to a job as an item of its source.
    #[error("an item of more than {max} bytes cannot be added to a running job")]
    TooLarge {
        /// How many bytes of items are kept.
        max: usize,
    },
    /// The codec cannot carry the item.
    #[error("the item cannot be encoded: {0}")]
    Codec(String),
    /// The job is over: start it again.
    #[error("the job is over")]
    Ended,
    /// The store cannot keep it; it will not run.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A job could not be started, or ended in a way that is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The store cannot be used; the message says whether it is locked, damaged, full or newer than this program.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Workers cannot be created; often the worker line is missing from `main`.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The source could not be read; fix it and start again, what is done stays done.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Two items of the source have the same key.
    #[error(transparent)]
    DuplicateKey(#[from] DuplicateKey),
    /// There is a job of this name and [`crate::OnExisting::Fail`] was asked for.
    #[error("the job {0:?} exists already")]
    Exists(String),
    /// The job in the store is another one: choose with [`crate::Job::on_difference`] whether to keep or redo its outcomes.
    #[error("the job in the store differs in {}", fields.join(", "))]
    Differs {
        /// `processor`, `version`, `codec`, `keying`, or `config.FIELD`.
        fields: Vec<String>,
    },
    /// The configuration cannot be encoded.
    #[error("the configuration cannot be encoded: {0}")]
    Config(String),
    /// A thread could not be created.
    #[error("a thread could not be created: {0}")]
    Thread(#[source] std::io::Error),
    /// The engine itself failed; this is a bug. What was committed is safe.
    #[error("the engine stopped unexpectedly; what was committed is safe")]
    Engine,
}
