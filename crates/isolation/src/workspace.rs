//! What a job lends to its workers on disk.

use crate::sys::dirs;
use crate::sys::files;
use cofferdam_pipeline_core::{BlobRef, WorkerId};
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Beside the workers' directories, whose names are numbers.
const ITEMS: &str = "items";

/// What a job lends to its workers on disk.
pub trait Workspace: Debug + Send + Sync {
    /// The directory that [`clear_scratch`] was called for when the job began: each attempt may have a directory below it. `None` when there is
    /// no place for any.
    fn scratch(&self) -> Option<&Path>;

    /// Whether [`Workspace::stage`] can be of use: large outputs are files then. Not by default.
    fn stages(&self) -> bool {
        false
    }

    /// Makes an empty file for a worker to write an output to, or a part of one.
    ///
    /// # Errors
    /// Those of the disk.
    fn stage(&self) -> io::Result<Box<dyn StagedOutput>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A file that a worker may write to, and nobody else does. Dropping it removes it.
pub trait StagedOutput: Debug + Send {
    /// Where it is; absolute.
    fn path(&self) -> &Path;

    /// Puts it into the store, durably, if it holds so many bytes with this CRC-32 (that of zlib): nothing that a worker says is believed
    /// that the host has not read itself.
    ///
    /// # Errors
    /// `InvalidData` when it holds something else; those of the disk. The file is gone then.
    fn keep(self: Box<Self>, len: u64, crc32: u32) -> io::Result<BlobRef>;
}

/// What [`crate::protocol::Start::files_above`] says: outputs of more bytes become files.
const FILES_ABOVE: u64 = 1 << 20;

/// From which length on outputs are files; 0 when none are.
pub(crate) fn files_above(workspace: Option<&dyn Workspace>) -> u64 {
    if workspace.is_some_and(Workspace::stages) { FILES_ABOVE } else { 0 }
}

/// Where one worker's attempts have their directories.
pub(crate) fn scratch_of(workspace: Option<&dyn Workspace>, worker: WorkerId) -> Option<PathBuf> {
    Some(workspace?.scratch()?.join(worker.0.to_string()))
}

/// Removes what attempts left below `scratch`, and the directory itself: before the first worker of a job begins, since a host
/// that was killed removes nothing, and after the last one has ended.
///
/// # Errors
/// When something is left, or what lies there is no directory of this user alone; then it is not touched.
pub fn clear_scratch(scratch: &Path) -> io::Result<()> {
    if !scratch.try_exists()? && !scratch.is_symlink() {
        return Ok(());
    }
    if dirs::is_private(scratch) { dirs::remove_tree(scratch) } else { Err(foreign(scratch)) }
}

/// Makes the directory of one attempt, in `of_worker`, whose parent [`clear_scratch`] was called for.
pub(crate) fn make_scratch(of_worker: &Path, name: &str) -> io::Result<PathBuf> {
    let root = of_worker.parent().ok_or_else(|| foreign(of_worker))?;
    let path = of_worker.join(name);
    dirs::create_private(&path)?;
    if dirs::is_private(root) { Ok(path) } else { Err(foreign(root)) }
}

/// Makes an empty file for an item that is too large for a frame, in `scratch`, for which [`clear_scratch`] was called. Only this user
/// may open it; no file of this process has had its name before.
///
/// # Errors
/// Of the file system, and when `scratch` is no directory of this user alone.
pub fn create_item_file(scratch: &Path) -> io::Result<(File, PathBuf)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = make_scratch(&scratch.join(ITEMS), "")?.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    Ok((files::create_private(&path)?, path))
}

/// Where everybody may write, somebody else may have been here first.
fn foreign(path: &Path) -> io::Error {
    let why = format!("{} is not a directory of this user alone", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_attempts_left_is_removed_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("scratch");
        clear_scratch(&root).unwrap();
        let made = make_scratch(&root.join("3"), "1-0").unwrap();
        fs::create_dir(made.join("deeper")).unwrap();
        fs::write(made.join("deeper/file"), b"left").unwrap();

        clear_scratch(&root).unwrap();

        assert!(!root.exists());
    }

    #[test]
    fn a_file_in_the_place_of_scratch_directories_is_not_touched() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("scratch");
        fs::write(&root, b"somebody else's").unwrap();

        assert!(clear_scratch(&root).is_err());
        assert!(make_scratch(&root.join("3"), "1-0").is_err());

        assert_eq!(fs::read(&root).unwrap(), b"somebody else's");
    }
}
