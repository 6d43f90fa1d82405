//! Directories of workers' files whose host is dead and whose job nobody opened again.

use crate::sys::dirs;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// What every such directory's name begins with.
const PREFIX: &str = "cofferdam-";

/// Held locked by the host that owns the directory; the system releases it when the host dies.
const LOCK_NAME: &str = "host.lock";

/// The next open of a job reads its dead host's recorders, so they are left in peace for long.
const STALE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Entries of the parent directory that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// Says that the owner of a directory is alive.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: File,
}

/// Marks `dir`, which is fresh and ours, as in use.
pub(super) fn claim(dir: &Path) -> io::Result<Claim> {
    let lock = File::create_new(dir.join(LOCK_NAME))?;
    match lock.try_lock() {
        Ok(()) => {}
        // A file system without locks: by its age, the directory is safe for long.
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "a directory of workers' files is not locked")
        }
        Err(TryLockError::WouldBlock) => unreachable!("a file that was created a moment ago is locked"),
    }
    Ok(Claim { _lock: lock })
}

/// Removes directories of dead hosts beside `dir` that are old enough. Failures are for another day.
pub(super) fn sweep_beside(dir: &Path) {
    let Some(Ok(entries)) = dir.parent().map(fs::read_dir) else { return };
    for entry in entries.take(ENTRIES_MAX).flatten() {
        let is_candidate = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if is_candidate && path != dir && dirs::is_private(&path) && is_stale(&path) {
            let removed = fs::remove_dir_all(&path);
            tracing::debug!(path = %path.display(), ?removed, "swept a dead host's directory");
        }
    }
}

fn is_stale(path: &Path) -> bool {
    let is_old = fs::metadata(path)
        .and_then(|meta| meta.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
    is_old && is_dead(path)
}

/// Whether no living host claims the directory.
fn is_dead(path: &Path) -> bool {
    match File::open(path.join(LOCK_NAME)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Removes the directory of a dead host's recorder, whatever its age; a directory that is not one of ours, or whose host lives,
/// is left alone.
pub(crate) fn forget(recorder: &Path) {
    let Some(dir) = recorder.parent() else { return };
    let is_ours = dir.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(PREFIX));
    if is_ours && dirs::is_private(dir) && is_dead(dir) {
        let removed = fs::remove_dir_all(dir);
        tracing::debug!(path = %dir.display(), ?removed, "removed a dead host's directory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn age(path: &Path) {
        let long_ago = SystemTime::now() - STALE_AFTER - Duration::from_secs(60);
        File::open(path).unwrap().set_modified(long_ago).unwrap();
    }

    fn private(parent: &Path, name: &str) -> std::path::PathBuf {
        let made = dirs::private_builder().prefix(name).tempdir_in(parent).unwrap();
        made.keep()
    }

    #[test]
    fn only_old_directories_of_dead_hosts_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let mine = private(parent.path(), PREFIX);
        let (old_dead, old_alive, young) =
            (private(parent.path(), PREFIX), private(parent.path(), PREFIX), private(parent.path(), PREFIX));
        let strange = private(parent.path(), "other-");
        drop(claim(&old_dead).unwrap());
        let alive = claim(&old_alive).unwrap();
        [&old_dead, &old_alive, &strange].into_iter().for_each(|path| age(path));

        sweep_beside(&mine);

        assert!(!old_dead.exists());
        assert!(mine.exists() && old_alive.exists() && young.exists() && strange.exists());
        drop(alive);
    }

    #[test]
    fn a_dead_hosts_directory_is_forgotten_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, alive) = (private(parent.path(), PREFIX), private(parent.path(), PREFIX));
        let strange = private(parent.path(), "other-");
        drop(claim(&dead).unwrap());
        let claimed = claim(&alive).unwrap();

        [&dead, &alive, &strange].into_iter().for_each(|dir| forget(&dir.join("0.recorder")));

        assert!(!dead.exists());
        assert!(alive.exists() && strange.exists());
        drop(claimed);
    }
}
