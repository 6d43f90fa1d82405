//! Reads large outputs piece by piece, and says at the last piece at the latest when they are not what was committed.

use crate::blob::{self, path_of};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::seeded::has_bug;
use crate::{BlobRef, StoreError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The committed large outputs of one job, for reading. It holds no lock: it may outlive the handle that it is from.
#[derive(Clone, Debug)]
pub struct Blobs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Blobs {
    pub(crate) fn of_job(disk: &Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk: disk.clone(), dir: dir.to_owned() }
    }

    /// Reads a blob whole, verified against its length and hash.
    ///
    /// # Errors
    /// [`StoreError::BlobGone`] when its outcome was superseded and compaction has removed it; [`StoreError::BlobDamaged`] when it is
    /// not what was committed.
    pub fn read(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        blob::read(self.disk.as_ref(), &self.dir, blob)
    }

    /// Opens a blob to be read piece by piece, in constant memory.
    ///
    /// # Errors
    /// Those of [`Self::read`]; of the damage only what the length shows.
    pub fn open(&self, blob: &BlobRef) -> Result<BlobReader, StoreError> {
        BlobReader::open(self.disk.as_ref(), &self.dir, blob)
    }
}

/// One blob from its beginning to its end. What it reads is not verified before the last bytes are: then the read that would return
/// them fails, as any after it, with [`StoreError::BlobDamaged`] inside the error if the content is not what was committed.
#[derive(Debug)]
pub struct BlobReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    blob: BlobRef,
    at: u64,
    hasher: Box<blake3::Hasher>,
    is_damaged: bool,
}

impl BlobReader {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, blob: &BlobRef) -> Result<Self, StoreError> {
        let path = path_of(dir, blob);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) => return Err(blob::unreadable(disk, dir, blob, path, error)),
        };
        let len = file.len().map_err(|error| StoreError::io("read", &path, error))?;
        // An empty one has no last byte at which the hash would be looked at; its length says it all.
        if len != blob.len && !has_bug("a blob is not checked") {
            return Err(StoreError::BlobDamaged { path });
        }
        Ok(Self { path, file, blob: *blob, at: 0, hasher: Box::default(), is_damaged: false })
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.blob.len
    }

    /// Whether there is nothing to read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blob.len == 0
    }

    fn damaged(&mut self) -> io::Error {
        self.is_damaged = true;
        let path = self.path.clone();
        io::Error::new(io::ErrorKind::InvalidData, StoreError::BlobDamaged { path })
    }
}

impl io::Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.is_damaged {
            return Err(self.damaged());
        }
        let left = usize::try_from(self.blob.len - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.file.read_at(&mut buf[..wanted], self.at)?;
        if n == 0 {
            return Err(self.damaged()); // it shrank since
        }
        self.hasher.update(&buf[..n]);
        self.at += n as u64;
        let is_last = self.at == self.blob.len;
        if is_last
            && *self.hasher.finalize().as_bytes() != self.blob.hash
            && !has_bug("a blob is not checked")
        {
            buf[..n].fill(0); // not even who ignores the error takes it for the end of the content
            return Err(self.damaged());
        }
        Ok(n)
    }
}
