//! The scratch directories of a worker's attempts: made when asked for, removed when the attempt ends.

use crate::sys::dirs;
use crate::workspace::make_scratch;
use cofferdam_pipeline_core::{LeaseId, NoScratch};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The directories of a worker's open items. What is left when the worker ends is removed by its host.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Where they lie; `None` when the host has no place for any.
    place: Option<PathBuf>,
    /// Looked at after every item, so that one that asks for nothing costs no lock.
    has_any: AtomicBool,
    made: Mutex<Vec<Made>>,
}

#[derive(Debug)]
struct Made {
    lease: LeaseId,
    offset: u32,
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(place: Option<PathBuf>) -> Self {
        Self { place, ..Self::default() }
    }

    /// The directory of an open item.
    pub(crate) fn dir_of(&self, lease: LeaseId, offset: u32) -> Result<PathBuf, NoScratch> {
        let mut made = self.made();
        if let Some(made) = made.iter().find(|made| (made.lease, made.offset) == (lease, offset)) {
            return Ok(made.path.clone());
        }
        let Some(place) = &self.place else { return Err(NoScratch(io::ErrorKind::Unsupported.into())) };
        let path = make_scratch(place, &format!("{}-{offset}", lease.0)).map_err(NoScratch)?;
        made.push(Made { lease, offset, path: path.clone() });
        self.has_any.store(true, Ordering::Relaxed);
        Ok(path)
    }

    /// The item has ended.
    pub(crate) fn remove(&self, lease: LeaseId, offset: u32) {
        if !self.has_any.load(Ordering::Relaxed) {
            return;
        }
        let mut made = self.made();
        let of_item = |made: &Made| (made.lease, made.offset) == (lease, offset);
        let Some(at) = made.iter().position(of_item) else { return };
        let Made { path, .. } = made.swap_remove(at);
        self.has_any.store(!made.is_empty(), Ordering::Relaxed);
        drop(made);
        remove(&path);
    }

    /// A worker that is a thread has ended, in the middle of items perhaps; its place goes, too.
    pub(crate) fn remove_all(&self) {
        self.made().clear();
        if let Some(place) = self.place.as_deref().filter(|place| place.exists()) {
            remove(place);
        }
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(path: &Path) {
    if let Err(error) = dirs::remove_tree(path) {
        tracing::debug!(path = %path.display(), %error, "a scratch directory is left for the host");
    }
}
