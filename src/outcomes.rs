//! Outcomes as the host reads them: from the store, lossless, in order, decoded on demand.

use crate::JobError;
use crate::output_files::Files;
use crate::shared::Shared;
use cofferdam_checkpoint::{
    Blobs, JobStore, OutcomeBodyRef as Body, OutcomeRef, Store, StoreError, StoreOptions, StoredOutput,
};
use cofferdam_ipc::{Codec, CodecError};
use cofferdam_pipeline_core::{Evidence, Key, OutcomeKind, OutputFile};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// How an item ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<T> {
    /// Its place in the store's order.
    pub lsn: u64,
    /// Which item.
    pub key: Key,
    /// Attempts that were made.
    pub attempts: u32,
    /// What came of it.
    pub result: OutcomeResult<T>,
    /// What it wrote beside its output, if anything.
    pub(crate) files: Option<Files>,
}

impl<T> Outcome<T> {
    /// An outcome that is in no store and has no files, for tests and for hosts that keep some of their own.
    #[must_use]
    pub fn new(lsn: u64, key: Key, attempts: u32, result: OutcomeResult<T>) -> Self {
        Self { lsn, key, attempts, result, files: None }
    }
}

/// What came of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeResult<T> {
    /// The processor's output.
    Completed(T),
    /// The processor's failure, not or no longer retried.
    Failed(Evidence),
    /// It ended its worker once too often.
    Quarantined(Evidence),
    /// The host cancelled it.
    Cancelled,
}

/// An outcome could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// The store could not be read, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output does not decode as the type that is asked for.
    #[error("the output of {key} does not decode as {wanted}: {source}")]
    Decode {
        /// Which item.
        key: Key,
        /// The type asked for.
        wanted: &'static str,
        /// Why not.
        source: CodecError,
    },
    /// The output of another item, or of nobody, names this file.
    #[error("{key} wrote no file {} of {} bytes", file.index, file.len)]
    NoSuchFile {
        /// Which item.
        key: Key,
        /// What was asked for.
        file: OutputFile,
    },
}

/// Iterates the outcomes of a job in order of their lsn; of an item that was redone, only the newest.
///
/// Made by [`crate::JobHandle::outcomes`] it blocks for more until the job is over, and leaves out items that the source
/// no longer has; made by [`Outcomes::of_job`] it ends.
pub struct Outcomes<T> {
    /// The job's handle, so that it stays open, where there is one.
    _job: Option<Arc<JobStore>>,
    blobs: Arc<Blobs>,
    codec: Codec,
    records: Option<cofferdam_checkpoint::Outcomes>,
    /// Follows a running job.
    shared: Option<Arc<Shared>>,
    output: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Outcomes<T> {
    pub(crate) fn follow(job: Arc<JobStore>, codec: Codec, shared: Arc<Shared>) -> Self {
        let records = Some(job.outcomes(0).without_gone());
        let blobs = Arc::new(job.blobs());
        Self { _job: Some(job), blobs, codec, records, shared: Some(shared), output: PhantomData }
    }

    /// The durable outcomes of a job that need not be running.
    ///
    /// # Errors
    /// When there is no such job or it cannot be read.
    pub fn of_job(store: impl AsRef<Path>, name: &str) -> Result<Self, JobError> {
        let store = Store::open(store.as_ref(), StoreOptions::default())?;
        let job = store.read_job(name)?;
        let codec = Codec::from_id(job.spec().codec)
            .ok_or_else(|| JobError::Differs { fields: vec!["codec".into()] })?;
        let records = Some(job.outcomes(0));
        let blobs = Arc::new(job.blobs());
        Ok(Self { _job: None, blobs, codec, records, shared: None, output: PhantomData })
    }
}

impl<T: DeserializeOwned> Iterator for Outcomes<T> {
    type Item = Result<Outcome<T>, OutcomeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let records = self.records.as_mut()?;
        loop {
            // Taken before the read, so that nothing that comes during it is waited for in vain.
            let durable = self.shared.as_ref().map_or(0, |shared| shared.durable());
            match records.lend_next() {
                Some(Ok(record)) => return Some(decode(&self.blobs, self.codec, record)),
                Some(Err(error)) => {
                    self.records = None; // nothing behind it can be relied on
                    return Some(Err(error.into()));
                }
                None => {}
            }
            if !self.shared.as_ref()?.wait_for_durable(durable) {
                return None;
            }
        }
    }
}

fn decode<T: DeserializeOwned>(
    blobs: &Arc<Blobs>,
    codec: Codec,
    record: OutcomeRef<'_>,
) -> Result<Outcome<T>, OutcomeError> {
    let OutcomeRef { lsn, key, attempts, kind, body, .. } = record;
    let key = key.to_key();
    let blob;
    let (body, files) = match body {
        Body::WithFiles(output) => {
            let StoredOutput { body, files } = *output;
            (body.into(), Some(Files::new(blobs, files)))
        }
        Body::Output(_) | Body::Blob(_) | Body::Evidence(_) => (body, None),
    };
    let body = match body {
        Body::Blob(at) => {
            blob = blobs.read(&at)?;
            Body::Output(&blob)
        }
        Body::Output(_) | Body::WithFiles(_) | Body::Evidence(_) => body,
    };
    let result = match (kind, body) {
        (OutcomeKind::Completed, Body::Output(bytes)) => match codec.decode(bytes) {
            Ok(output) => OutcomeResult::Completed(output),
            Err(source) => {
                return Err(OutcomeError::Decode { key, wanted: std::any::type_name::<T>(), source });
            }
        },
        (OutcomeKind::Failed, Body::Evidence(evidence)) => OutcomeResult::Failed(*evidence),
        (OutcomeKind::Quarantined, Body::Evidence(evidence)) => OutcomeResult::Quarantined(*evidence),
        (OutcomeKind::Cancelled, _) => OutcomeResult::Cancelled,
        (_, _) => unreachable!("the store keeps kind and body together"),
    };
    Ok(Outcome { lsn, key, attempts, result, files })
}
