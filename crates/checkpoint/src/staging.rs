//! Large outputs that somebody else writes: the host makes the file, a worker fills it, the host believes only what it reads.

use crate::blob::{BLOBS, STAGING, path_of};
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at, write_all_at};
use crate::journal::room;
use crate::limits::OUTPUT_INLINE_MAX;
use crate::seeded::has_bug;
use crate::{BlobRef, JobStore, StoreError, random};
use crc_fast::CrcAlgorithm;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const READ_CHUNK: usize = 256 << 10;

/// Who is about to write a large output finds room for this much at least.
const STAGE_ROOM_MIN: u64 = 1 << 20;

/// What somebody says that he has written to a staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file's length in bytes.
    pub len: u64,
    /// CRC-32 of its content: that of zlib, gzip and PNG, which every language has.
    pub crc32: u32,
}

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

    /// Writes where the host itself is the writer.
    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<(), StoreError> {
        room::check(self.disk.as_ref(), &self.path, bytes.len() as u64)?;
        write_all_at(self.file(), bytes, at).map_err(|error| StoreError::io("write to", &self.path, error))
    }

    fn file(&self) -> &dyn DiskFile {
        self.file.as_deref().expect("only a commit or a drop takes it")
    }

    /// Reads it and syncs it, at once where it is large; its name if it holds what its writer says.
    fn look(&self, written: &Written) -> Result<BlobRef, StoreError> {
        let (found, synced) = std::thread::scope(|scope| {
            let syncer = std::thread::Builder::new().name("cofferdam-sync".into());
            let sync = (written.len > OUTPUT_INLINE_MAX as u64)
                .then(|| syncer.spawn_scoped(scope, || self.file().sync_data()).ok());
            let found = digest(self.file(), written.len);
            let synced = match sync.flatten() {
                Some(sync) => sync.join().unwrap_or_else(|panic| resume_unwind(panic)),
                None => self.file().sync_data(),
            };
            (found, synced)
        });
        let found = found.map_err(|error| StoreError::io("read", &self.path, error))?;
        // What has no name any more is not what lies under the name that is about to be changed.
        let is_linked =
            self.file().is_linked().map_err(|error| StoreError::io("look at", &self.path, error))?;
        let is_held = is_linked && found.len == written.len && found.crc32 == written.crc32;
        if !is_held && !has_bug("a staged file is committed without checking it") {
            return Err(StoreError::StagedMismatch { path: self.path.clone() });
        }
        synced.map_err(|error| StoreError::io("sync", &self.path, error))?;
        Ok(BlobRef { len: written.len, hash: found.hash })
    }

    /// Gives it its name, durably; it has been synced.
    fn settle(mut self, dir: &Path, blob: &BlobRef) -> Result<(), StoreError> {
        let path = path_of(dir, blob);
        self.disk.rename(&self.path, &path).map_err(|error| StoreError::io("rename to", &path, error))?;
        // It has left staging: there is nothing for the drop to remove.
        self.file = None;
        let blobs = dir.join(BLOBS);
        self.disk.sync_dir(&blobs).map_err(|error| StoreError::io("sync", &blobs, error))
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
    /// Whether an output can be staged, as far as the file system tells how much room there is.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`]
    pub fn check_room(&self) -> Result<(), StoreError> {
        room::check(
            self.journal.disk.as_ref(),
            &self.journal.dir.join(STAGING).join("output"),
            STAGE_ROOM_MIN,
        )
    }

    /// Makes an empty file for a worker to write a large output to: [`StagedFile::path`].
    ///
    /// # Errors
    /// Those of the disk, which do not poison the handle; [`StoreError::NoSpace`] also when only the reserve is left.
    pub fn stage(&self) -> Result<StagedFile, StoreError> {
        self.check_room()?;
        StagedFile::create(&self.journal.disk, &self.journal.dir)
    }

    /// Makes a staged file a blob, if it holds exactly what its writer reported, and says its name. It is durable when this
    /// returns; then commit a batch that names it. Without that it is no outcome.
    ///
    /// The file is read here with plain reads, in constant memory: blocks for as long as that and a sync take. Whoever writes to it
    /// afterwards is detected by who reads the blob, which verifies again. On any error the staged file is removed.
    ///
    /// # Errors
    /// [`StoreError::StagedMismatch`] when it is longer, shorter or other than reported: the writer is not to be believed;
    /// else those of the disk, which do not poison the handle.
    pub fn commit_staged(&self, staged: StagedFile, written: &Written) -> Result<BlobRef, StoreError> {
        let blob = staged.look(written)?;
        self.keep_blob(&blob);
        staged.settle(&self.journal.dir, &blob)?;
        Ok(blob)
    }

    /// Makes a blob of what the host itself has written.
    pub(crate) fn commit_copy(&self, staged: StagedFile, blob: &BlobRef) -> Result<(), StoreError> {
        staged.file().sync_data().map_err(|error| StoreError::io("sync", &staged.path, error))?;
        self.keep_blob(blob);
        staged.settle(&self.journal.dir, blob)
    }
}

/// What a staged file holds, as far as it was looked at.
struct Digest {
    len: u64,
    crc32: u32,
    hash: [u8; 32],
}

/// Never reads beyond `len_max`: a writer that goes on for ever cannot keep us.
fn digest(file: &dyn DiskFile, len_max: u64) -> io::Result<Digest> {
    let len = file.len()?;
    let (mut hasher, mut crc) = (blake3::Hasher::new(), crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc));
    let mut at = 0;
    each_chunk(file, len.min(len_max), |chunk| {
        hasher.update(chunk);
        crc.update(chunk);
        at += chunk.len() as u64;
    })?;
    // It may have shrunk since.
    let len = if at < len.min(len_max) { at } else { len };
    Ok(Digest { len, crc32: crc.finalize() as u32, hash: *hasher.finalize().as_bytes() })
}

/// Whether the file has this length and hash.
pub(crate) fn holds(file: &dyn DiskFile, expected: &BlobRef) -> io::Result<bool> {
    if file.len()? != expected.len {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    each_chunk(file, expected.len, |chunk| {
        hasher.update(chunk);
    })?;
    Ok(*hasher.finalize().as_bytes() == expected.hash)
}

/// Reads `len` bytes, or fewer where the file ends.
fn each_chunk(file: &dyn DiskFile, len: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; READ_CHUNK.min(usize::try_from(len).unwrap_or(READ_CHUNK))];
    let mut at = 0;
    while at < len {
        let wanted = (len - at).min(READ_CHUNK as u64) as usize;
        match read_exact_at(file, &mut chunk[..wanted], at) {
            Ok(()) => take(&chunk[..wanted]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        at += wanted as u64;
    }
    Ok(())
}
