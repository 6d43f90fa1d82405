//! What a running job lends to its workers on disk.

use cofferdam_checkpoint::JobStore;
use cofferdam_isolation::{Workspace, clear_scratch};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Known to the executors from the beginning, of use once the job is open: no worker is spawned before that.
#[derive(Default)]
pub(crate) struct Lent {
    scratch: OnceLock<PathBuf>,
}

impl Lent {
    /// The job is open and the workers of its last host are gone: what that host left is removed.
    pub fn begin(&self, job: &JobStore, scratch_parent: Option<&Path>) {
        let scratch = scratch_of(job.dir(), scratch_parent);
        clear(&scratch);
        assert!(self.scratch.set(scratch).is_ok(), "a job begins once");
    }

    /// No worker is left.
    pub fn end(&self) {
        if let Some(scratch) = self.scratch.get() {
            clear(scratch);
        }
    }
}

impl Workspace for Lent {
    fn scratch(&self) -> Option<&Path> {
        self.scratch.get().map(PathBuf::as_path)
    }
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
