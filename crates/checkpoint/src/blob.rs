//! Large outputs: staged, synced, renamed, and only then committed.

use crate::blob_reader::BlobReader;
use crate::disk::{Disk, OpenMode, write_all_at};
use crate::journal::lead::lock;
use crate::journal::room;
use crate::limits::OUTPUT_INLINE_MAX;
use crate::seeded::has_bug;
use crate::verify::is_named;
use crate::{BlobRef, Blobs, JobStore, StoreError, random};
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{Scope, ScopedJoinHandle};

/// Where committed blobs lie, named by their hash.
pub(crate) const BLOBS: &str = "blobs";
/// Where they lie before; emptied when a job is opened.
pub(crate) const STAGING: &str = "staging";

/// Room on the disk is looked at for as much at a time.
const WRITE_CHUNK: usize = 256 << 10;

impl JobStore {
    /// Copies a large output into the store. It is durable when this returns; a batch then names it.
    ///
    /// # Errors
    /// Those of the disk, which do not poison the handle.
    pub fn put_blob(&self, content: &[u8]) -> Result<BlobRef, StoreError> {
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

    /// The committed large outputs, for readers that may outlive this handle.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        Blobs::of_job(&self.journal.disk, &self.journal.dir)
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
    content: &[u8],
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

fn stage(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<BlobRef, StoreError> {
    let hash = std::thread::scope(|scope| {
        let hash = hash_beside(scope, content);
        write_and_sync(disk, path, content)?;
        Ok(hash.map_or_else(
            || blake3::hash(content),
            |hash| hash.join().unwrap_or_else(|panic| resume_unwind(panic)),
        ))
    })?;
    Ok(BlobRef { len: content.len() as u64, hash: *hash.as_bytes() })
}

/// Hashes what is large while the disk takes it: of two files of 16 MiB at once that saves a quarter of the time. `None`
/// for what is short, and where there is no thread.
fn hash_beside<'scope>(
    scope: &'scope Scope<'scope, '_>,
    content: &'scope [u8],
) -> Option<ScopedJoinHandle<'scope, blake3::Hash>> {
    let hasher = std::thread::Builder::new().name("cofferdam-hash".into());
    (content.len() > OUTPUT_INLINE_MAX).then(|| hasher.spawn_scoped(scope, || blake3::hash(content)).ok())?
}

fn write_and_sync(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let failed = |op, error| StoreError::io(op, path, error);
    let file = disk.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
    let mut written = 0;
    for chunk in content.chunks(WRITE_CHUNK) {
        room::check(disk, path, chunk.len() as u64)?;
        write_all_at(file.as_ref(), chunk, written).map_err(|error| failed("write to", error))?;
        written += chunk.len() as u64;
    }
    if has_bug("a blob is renamed before it is synced") {
        return Ok(());
    }
    file.sync_data().map_err(|error| failed("sync", error))
}

/// Reads a blob and checks that it is what was committed.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
    let path = path_of(dir, blob);
    let bytes = match crate::disk::read_whole(disk, &path, blob.len) {
        Ok(bytes) => bytes,
        Err(error) => return Err(unreadable(disk, dir, blob, path, error)),
    };
    let is_intact = bytes.len() as u64 == blob.len && *blake3::hash(&bytes).as_bytes() == blob.hash;
    if is_intact || has_bug("a blob is not checked") {
        Ok(bytes)
    } else {
        Err(StoreError::BlobDamaged { path })
    }
}

/// What it means that a blob cannot be read.
pub(crate) fn unreadable(
    disk: &dyn Disk,
    dir: &Path,
    blob: &BlobRef,
    path: PathBuf,
    error: io::Error,
) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => match is_named(disk, dir, blob) {
            Ok(true) => StoreError::BlobDamaged { path },
            Ok(false) => StoreError::BlobGone { path },
            Err(error) => error,
        },
        io::ErrorKind::InvalidData => StoreError::BlobDamaged { path },
        _ => StoreError::io("read", &path, error),
    }
}

/// Copies a blob of the job in `dir` into another one, in constant memory; durable when this returns.
pub(crate) fn copy(disk: &dyn Disk, dir: &Path, blob: &BlobRef, to: &JobStore) -> Result<(), StoreError> {
    let mut reader = BlobReader::open(disk, dir, blob)?;
    let staged = to.stage()?;
    let mut chunk = vec![0; WRITE_CHUNK];
    let mut at = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return to.commit_copy(staged, blob),
            Ok(n) => staged.write(&chunk[..n], at)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(disk, dir, blob, path_of(dir, blob), error)),
        }
        at = reader.at();
    }
}

/// Removes what was staged and never committed.
pub(crate) fn empty_staging(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let staging = dir.join(STAGING);
    let names = match disk.read_dir(&staging) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make_dirs(disk, dir),
        Err(error) => return Err(StoreError::io("list", &staging, error)),
    };
    for name in names.into_iter().filter(|_| !has_bug("staging is left behind")) {
        let path = staging.join(name);
        disk.remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
    }
    Ok(())
}

/// Not everybody who carries a job elsewhere takes empty directories along: version control does not, nor do stores of objects. Their
/// names are durable with that of the segment that every opening makes.
fn make_dirs(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    for path in [dir.join(BLOBS), dir.join(STAGING)] {
        match disk.create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("create", &path, error));
            }
            Ok(()) | Err(_) => {}
        }
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
