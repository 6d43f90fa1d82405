//! Whether the directory of an open job is still the one that was opened.

use crate::StoreError;
use crate::disk::{DiskFile, OpenMode};
use crate::journal::lead::{Journal, lock};
use crate::journal::recovery::{Recovered, Scope, recover};
use crate::journal::room;
use crate::owner_file;
use crate::seeded::has_bug;
use crate::store::LOCK;
use std::io;

/// Reads the journal of an open job again, if the lock in `held` still locks it; a closed job is locked again.
///
/// A path is not a job: its directory may have been removed and made again by others, who have a lock file of their own.
pub(crate) fn recover_ours(
    journal: &Journal,
    held: &mut Option<Box<dyn DiskFile>>,
) -> Result<Recovered, StoreError> {
    let removed = || StoreError::Removed { path: journal.dir.clone() };
    let file = match held.take() {
        Some(file) => file,
        None => lock_again(journal)?,
    };
    let is_linked = file.is_linked();
    *held = Some(file);
    let failed = |error| StoreError::io("look at", &journal.dir.join(LOCK), error);
    if !is_linked.map_err(failed)? && !has_bug("a job that came in our place is taken for ours") {
        return Err(removed());
    }
    let is_full = lock(&journal.state).failure.as_ref().is_some_and(StoreError::is_no_space);
    if is_full {
        room::check_again(journal.disk.as_ref(), &journal.dir.join(LOCK))?;
    }
    let ours = lock(&journal.head).head.job;
    match recover(journal.disk.as_ref(), &journal.dir, Scope::Accepted) {
        Err(StoreError::NoSuchJob) => Err(removed()),
        Ok(recovered) if recovered.content.head.job != ours => Err(removed()),
        other => other,
    }
}

/// An orderly end that failed has released the lock, and somebody else may have the job since.
fn lock_again(journal: &Journal) -> Result<Box<dyn DiskFile>, StoreError> {
    let path = journal.dir.join(LOCK);
    let file = match journal.disk.open(&path, OpenMode::ReadWrite) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Removed { path: journal.dir.clone() });
        }
        Err(error) => return Err(StoreError::io("open", &path, error)),
    };
    let is_locked = file.try_lock().map_err(|error| StoreError::io("lock", &path, error))?;
    if is_locked || has_bug("a job is continued without its lock") {
        return Ok(file);
    }
    let owner = owner_file::read(journal.disk.as_ref(), &journal.dir).map(|(_, owner)| owner);
    Err(StoreError::Locked(Box::new(owner.unwrap_or_default())))
}
