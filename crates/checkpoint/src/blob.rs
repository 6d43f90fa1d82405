//! Large outputs: staged, synced, renamed, and only then committed.

use crate::disk::{Disk, OpenMode, write_all_at};
use crate::journal::lead::lock;
use crate::journal::room;
use crate::seeded::has_bug;
use crate::verify::is_named;
use crate::{BlobRef, JobStore, StoreError, random};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where committed blobs lie, named by their hash.
pub(crate) const BLOBS: &str = "blobs";
/// Where they lie before; emptied when a job is opened.
pub(crate) const STAGING: &str = "staging";

const COPY_CHUNK: usize = 256 << 10;

impl JobStore {
    /// Copies a large output into the store. It is durable when this returns; a batch then names it.
    ///
    /// # Errors
    /// Those of the disk, which do not poison the handle.
    pub fn put_blob(&self, content: &mut dyn Read) -> Result<BlobRef, StoreError> {
        put(self.journal.disk.as_ref(), &self.journal.dir, content, |blob| self.keep_blob(blob))
    }

    /// Reads a blob, verified against its length and hash.
    ///
    /// # Errors
    /// [`StoreError::BlobGone`] when its outcome was superseded and compaction has removed it; [`StoreError::BlobDamaged`] when it is
    /// not what was committed.
    pub fn read_blob(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        read(self.journal.disk.as_ref(), &self.journal.dir, blob)
    }

    /// Its outcome is yet to come, so nothing names it.
    pub(crate) fn keep_blob(&self, blob: &BlobRef) {
        lock(&self.journal.compaction.fresh_blobs).insert(file_name(blob));
    }
}

/// Copies `content` into the store; durable when this returns, but no outcome yet. `keep` learns of it before it gets its name.
pub(crate) fn put(
    disk: &dyn Disk,
    dir: &Path,
    content: &mut dyn Read,
    keep: impl FnOnce(&BlobRef),
) -> Result<BlobRef, StoreError> {
    let staged = dir.join(STAGING).join(format!("{:016x}", random::number()?));
    let result = stage(disk, &staged, content).and_then(|blob| {
        keep(&blob);
        let path = path_of(dir, &blob);
        disk.rename(&staged, &path).map_err(|error| StoreError::io("rename to", &path, error))?;
        let blobs = dir.join(BLOBS);
        if !has_bug("no directory sync after a blob was renamed") {
            disk.sync_dir(&blobs).map_err(|error| StoreError::io("sync", &blobs, error))?;
        }
        Ok(blob)
    });
    if result.is_err() {
        // What stays is emptied by the next opening.
        let _ = disk.remove_file(&staged);
    }
    result
}

fn stage(disk: &dyn Disk, path: &Path, content: &mut dyn Read) -> Result<BlobRef, StoreError> {
    let failed = |op, error| StoreError::io(op, path, error);
    let file = disk.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; COPY_CHUNK];
    let mut len = 0;
    loop {
        let read = match content.read(&mut buf) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read what goes into", error)),
        };
        hasher.update(&buf[..read]);
        room::check(disk, path, read as u64)?;
        write_all_at(file.as_ref(), &buf[..read], len).map_err(|error| failed("write to", error))?;
        len += read as u64;
    }
    if !has_bug("a blob is renamed before it is synced") {
        file.sync_data().map_err(|error| failed("sync", error))?;
    }
    Ok(BlobRef { len, hash: *hasher.finalize().as_bytes() })
}

/// Reads a blob and checks that it is what was committed.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
    let path = path_of(dir, blob);
    let damaged = || StoreError::BlobDamaged { path: path.clone() };
    let bytes = match crate::disk::read_whole(disk, &path, blob.len) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named(disk, dir, blob)? => {
            return Err(StoreError::BlobGone { path });
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            return Err(damaged());
        }
        Err(error) => return Err(StoreError::io("read", &path, error)),
    };
    let is_intact = bytes.len() as u64 == blob.len && *blake3::hash(&bytes).as_bytes() == blob.hash;
    if is_intact || has_bug("a blob is not checked") { Ok(bytes) } else { Err(damaged()) }
}

/// Removes what was staged and never committed.
pub(crate) fn empty_staging(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let staging = dir.join(STAGING);
    let names = disk.read_dir(&staging).map_err(|error| StoreError::io("list", &staging, error))?;
    for name in names.into_iter().filter(|_| !has_bug("staging is left behind")) {
        let path = staging.join(name);
        disk.remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
    }
    Ok(())
}

pub(crate) fn path_of(dir: &Path, blob: &BlobRef) -> PathBuf {
    dir.join(BLOBS).join(file_name(blob))
}

/// The hash in hexadecimal.
pub(crate) fn file_name(blob: &BlobRef) -> String {
    blob.hash.iter().fold(String::with_capacity(64), |mut name, byte| {
        name.push_str(&format!("{byte:02x}"));
        name
    })
}
