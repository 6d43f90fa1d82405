//! A disk in memory that forgets what was not synced, fails when told to, and shows every state that a power cut can leave.
//!
//! The model is harsher than any one file system. Content: each 4 KiB page that was written since the last sync of its
//! file is on the medium in its old form, or in any form it had since, independently of all others; one page may be
//! torn between sectors. Length: independent of content; what was never written reads as zeros. Directories: each creation,
//! renaming and removal since the last sync of its directory is there or not, independently of all others; a
//! renaming between two directories is a creation and a removal.

mod fault;
mod file;
mod images;
mod state;

pub use fault::{Fault, FaultPlan, Space, SyncFailure};
pub use images::{ImageLimits, Images};

use cofferdam_checkpoint::{Disk, DiskFile, FileSystemKind, OpenMode};
use file::SimFile;
use state::State;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk with nothing but a root directory, the empty path.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk as the store takes it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().faults.calls
    }

    /// The machine stops before call `n` (counted from 0): it and all later ones fail and change nothing.
    pub fn crash_at(&self, n: u64) {
        self.lock().faults.crash_at = Some(n);
    }

    /// Makes calls fail from now on; `None` for no more failures.
    pub fn set_fault(&self, plan: Option<FaultPlan>) {
        self.lock().faults.plan = plan;
    }

    /// What a failing sync does to what it should have written.
    pub fn set_sync_failure(&self, model: SyncFailure) {
        self.lock().faults.sync_failure = model;
    }

    /// How much fits on the disk from now on; `None` for any amount. Files take whole pages, directories nothing.
    pub fn set_space(&self, space: Option<Space>) {
        self.lock().faults.space = space;
    }

    /// Writes that did not fit, until now.
    #[must_use]
    pub fn unfit_writes(&self) -> u64 {
        self.lock().faults.unfit
    }

    /// Bytes that the files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Refuses every change from now on with this kind of error: `PermissionDenied`, which leaves open files alone, or
    /// `ReadOnlyFilesystem`, which does not; `None` for no more refusals.
    pub fn refuse_changes(&self, refusal: Option<io::ErrorKind>) {
        self.lock().faults.refusal = refusal;
    }

    /// The disk after the end of every process but not of the machine: all that was written, no locks, no faults.
    #[must_use]
    pub fn after_process_end(&self) -> Self {
        let mut state = self.lock().clone();
        state.forget_processes();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Every state that a power cut now can leave, or a sample where there are too many.
    #[must_use]
    pub fn after_power_cut(&self, limits: ImageLimits) -> Images {
        Images::new(self.lock().clone(), limits)
    }

    /// What a file holds now.
    ///
    /// # Errors
    /// When there is none.
    pub fn peek(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let id = state.lookup(path)?;
        Ok(state.file(id)?.live.to_vec())
    }

    /// Replaces what a file holds, durably: damage, or a file from elsewhere.
    ///
    /// # Errors
    /// When its directory is not there.
    pub fn poke(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        self.lock().put_durable(path, content)
    }

    /// Every file, with its path.
    #[must_use]
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        self.lock().files()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        state.faults.begin()?;
        what(&mut state)
    }

    fn change<T>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        state.faults.begin_change()?;
        what(&mut state)
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.create_dir(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.call(|state| state.names(path))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let id = match mode {
            OpenMode::Read => self.call(|state| state.open(path, mode))?,
            OpenMode::ReadWrite | OpenMode::Create | OpenMode::CreateNew => {
                self.change(|state| state.open(path, mode))?
            }
        };
        Ok(Box::new(SimFile::new(self.clone(), id)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| state.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.remove(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(|state| state.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|state| state.sync_dir(path))
    }

    fn kind(&self, _path: &Path) -> FileSystemKind {
        FileSystemKind::Local
    }

    /// No call that is counted: it changes nothing and cannot fail.
    fn free(&self, _path: &Path) -> Option<u64> {
        let state = self.lock();
        match state.faults.space? {
            Space::Told(bytes) => Some(bytes.saturating_sub(state.used())),
            Space::Quota(_) => None,
        }
    }
}
