//! What a job lends to its workers on disk.

use crate::sys::dirs;
use crate::sys::files;
use cofferdam_pipeline_core::WorkerId;
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
