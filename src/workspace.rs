//! Where a running job's workers may write, and where what they made is kept before the driver hears of it.

use cofferdam_checkpoint::{BlobRef, JobStore, OUTPUT_INLINE_MAX, StagedFile, StoreError, Written};
use cofferdam_isolation::{StagedOutput, Workspace, clear_scratch, create_item_file};
use cofferdam_pipeline_core::{
    FailureKind, OutputBody, Outputs, ReplyBatch, StoredOutput, WorkerEvent, entries,
};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Known to the executors from the beginning, of use once the job is open: no worker is spawned before that.
#[derive(Default)]
pub(crate) struct Lent {
    scratch: OnceLock<PathBuf>,
    /// No worker is left, and what lay there is gone.
    has_ended: Mutex<bool>,
    /// While the job is open.
    job: Mutex<Option<Arc<JobStore>>>,
}

impl Lent {
    /// The job is open and the workers of its last host are gone: what that host left is removed.
    pub fn begin(&self, job: &Arc<JobStore>, scratch_parent: Option<&Path>) {
        let scratch = scratch_of(job.dir(), scratch_parent);
        clear(&scratch);
        assert!(self.scratch.set(scratch).is_ok(), "a job begins once");
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.clone());
    }

    /// A large output goes into the store at once, on the thread that received it and is held for that long: the driver neither writes nor
    /// waits for a disk, and a worker whose outputs come faster than the disk takes them meets a full socket.
    pub fn keep(&self, event: WorkerEvent) -> WorkerEvent {
        match event {
            WorkerEvent::Replied(batch) => WorkerEvent::Replied(self.keep_large(batch)),
            other => other,
        }
    }

    /// An item failed as one that may work next time: the error of a full disk, if there is one. Many things fail for want of room, a file that
    /// the item was writing for its output first of all; the job then pauses, as it does when an outcome finds none.
    pub fn want_of_room(&self, event: &WorkerEvent) -> Option<StoreError> {
        let WorkerEvent::Failed { failure, .. } = event else { return None };
        if failure.kind != FailureKind::Transient {
            return None;
        }
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        job?.check_room().err()
    }

    fn keep_large(&self, mut batch: ReplyBatch) -> ReplyBatch {
        if batch.count != 1 || batch.outputs.as_entries().len() <= OUTPUT_INLINE_MAX {
            return batch;
        }
        match self.store_output(batch.outputs.as_entries()) {
            Ok(Some(blob)) => {
                let body = OutputBody::Blob(blob);
                batch.outputs = Outputs::Stored(StoredOutput { body, files: Vec::new() });
            }
            Ok(None) => {}
            // The commit meets the same, and knows what to do about it.
            Err(error) => tracing::debug!(%error, "a large output is left to the commit"),
        }
        batch
    }

    /// Nothing for what is not large, and once the job is closed.
    fn store_output(&self, entry: &[u8]) -> Result<Option<BlobRef>, StoreError> {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let output =
            entries(entry).next().and_then(Result::ok).filter(|output| output.len() > OUTPUT_INLINE_MAX);
        match (job, output) {
            (Some(job), Some(output)) => job.put_blob(output).map(Some),
            (None, _) | (_, None) => Ok(None),
        }
    }

    /// The job is about to be closed: nothing more is put into it.
    pub fn close(&self) {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// A file for an item that is too large to wait in memory; `None` once the job has ended.
    pub fn create_item_file(&self) -> io::Result<Option<(File, PathBuf)>> {
        let has_ended = self.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        match self.scratch.get() {
            Some(scratch) if !*has_ended => create_item_file(scratch).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// No worker is left.
    pub fn end(&self) {
        // Held: a feeder that is late makes nothing anew.
        let mut has_ended = self.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        *has_ended = true;
        if let Some(scratch) = self.scratch.get() {
            clear(scratch);
        }
    }
}

impl Workspace for Lent {
    fn scratch(&self) -> Option<&Path> {
        self.scratch.get().map(PathBuf::as_path)
    }

    fn stages(&self) -> bool {
        true
    }

    fn stage(&self) -> io::Result<Box<dyn StagedOutput>> {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let job = job.ok_or(io::ErrorKind::NotConnected)?;
        let file = job.stage().map_err(io_error)?;
        let path = std::path::absolute(file.path())?;
        Ok(Box::new(LentFile { job, file, path }))
    }
}

/// A file in the job's staging directory.
#[derive(Debug)]
struct LentFile {
    job: Arc<JobStore>,
    file: StagedFile,
    path: PathBuf,
}

impl StagedOutput for LentFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn keep(self: Box<Self>, len: u64, crc32: u32) -> io::Result<BlobRef> {
        self.job.commit_staged(self.file, &Written { len, crc32 }).map_err(io_error)
    }
}

fn io_error(error: StoreError) -> io::Error {
    let kind = match &error {
        StoreError::NoSpace { .. } => io::ErrorKind::StorageFull,
        StoreError::StagedMismatch { .. } => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("scratch", &self.scratch.get()).finish_non_exhaustive()
    }
}

/// Elsewhere the name is this job's and no other's, so that the next start finds what this one leaves.
fn scratch_of(job: &Path, parent: Option<&Path>) -> PathBuf {
    let Some(parent) = parent else { return job.join("scratch") };
    let job = job.canonicalize().unwrap_or_else(|_| job.to_owned());
    let name = blake3::hash(job.as_os_str().as_encoded_bytes()).to_hex();
    parent.join(format!("cofferdam-scratch-{}", &name[..32]))
}

/// What cannot be removed is a matter for people; a job without scratch directories is still a job.
fn clear(scratch: &Path) {
    if let Err(error) = clear_scratch(scratch) {
        tracing::warn!(path = %scratch.display(), %error, "scratch files are left");
    }
}
