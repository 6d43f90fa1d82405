//! What can go wrong when a job is started or waited for.

use crate::plan::DuplicateKey;
use cofferdam_checkpoint::StoreError;
use cofferdam_isolation::IsolationError;
use cofferdam_pipeline_core::SourceError;

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
