//! Large outputs that somebody else writes: the host makes the file, a worker fills it, the host believes only what it reads.

use crate::blob::{BLOBS, STAGING, path_of};
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::seeded::has_bug;
use crate::{BlobRef, JobStore, StoreError, random};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const READ_CHUNK: usize = 256 << 10;

/// An empty file in the job's staging directory, for somebody else to write. Dropping it uncommitted removes it; what a
/// dead host left is removed when the job is next opened for work.
#[derive(Debug)]
pub struct StagedFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// Open since before the first byte was written: a failure of the system to write any of it back is told to this handle.
    /// `None` once the file is a blob, or gone.
    file: Option<Box<dyn DiskFile>>,
}

impl StagedFile {
    /// Where to write; relative if the store's root is. The name is the host's choice and says nothing about the item.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn create(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(STAGING).join(format!("{:016x}", random::number()?));
        let file =
            disk.open(&path, OpenMode::CreateNew).map_err(|error| StoreError::io("create", &path, error))?;
        Ok(Self { path, disk: disk.clone(), file: Some(file) })
    }

    /// Makes a blob of it if it holds what `expected` says.
    fn commit(mut self, dir: &Path, expected: &BlobRef) -> Result<(), StoreError> {
        let failed = |op, path: &Path, error| StoreError::io(op, path, error);
        let file = self.file.as_deref().expect("only a commit or a drop takes it");
        let is_held = holds(file, expected).map_err(|error| failed("read", &self.path, error))?;
        if !is_held && !has_bug("a staged file is committed without checking it") {
            return Err(StoreError::StagedMismatch { path: self.path.clone() });
        }
        file.sync_data().map_err(|error| failed("sync", &self.path, error))?;
        let path = path_of(dir, expected);
        self.disk.rename(&self.path, &path).map_err(|error| failed("rename to", &path, error))?;
        // It has left staging: there is nothing for the drop to remove.
        self.file = None;
        let blobs = dir.join(BLOBS);
        self.disk.sync_dir(&blobs).map_err(|error| failed("sync", &blobs, error))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What stays is emptied by the next opening.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

impl JobStore {
    /// Makes an empty file for a worker to write a large output to: [`StagedFile::path`].
    ///
    /// # Errors
    /// Those of the disk, which do not poison the handle.
    pub fn stage(&self) -> Result<StagedFile, StoreError> {
        StagedFile::create(&self.journal.disk, &self.journal.dir)
    }

    /// Makes a staged file a blob, if it holds exactly what its writer reported as `expected`. It is durable when this
    /// returns; then commit a [`crate::Batch::completed_blob`] that names `expected`. Without that it is no outcome.
    ///
    /// The file is read here with plain reads, in constant memory: blocks for as long as that and a sync take. Whoever writes to it
    /// afterwards is detected by [`Self::read_blob`], which verifies again. On any error the staged file is removed.
    ///
    /// # Errors
    /// [`StoreError::StagedMismatch`] when it is longer, shorter or other than reported: the writer is not to be believed;
    /// else those of the disk, which do not poison the handle.
    pub fn commit_staged(&self, staged: StagedFile, expected: &BlobRef) -> Result<(), StoreError> {
        self.keep_blob(expected);
        staged.commit(&self.journal.dir, expected)
    }
}

/// Whether the file has this length and hash. Never reads beyond the length: a writer that goes on for ever cannot keep us.
pub(crate) fn holds(file: &dyn DiskFile, expected: &BlobRef) -> io::Result<bool> {
    if file.len()? != expected.len {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; READ_CHUNK];
    let mut at = 0;
    while at < expected.len {
        let len = (expected.len - at).min(READ_CHUNK as u64) as usize;
        match read_exact_at(file, &mut chunk[..len], at) {
            Ok(()) => hasher.update(&chunk[..len]),
            // It shrank since.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        };
        at += len as u64;
    }
    Ok(*hasher.finalize().as_bytes() == expected.hash)
}
