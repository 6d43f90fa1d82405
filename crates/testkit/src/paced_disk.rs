//! A disk that takes its time.

use cofferdam_checkpoint::{Disk, DiskFile, FileSystemKind, OpenMode};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are about to be written.
    Write(usize),
    /// A file is about to be synced.
    Sync,
}

/// Passes every call on to another disk, after whatever time a function takes for it.
#[derive(Clone, Debug)]
pub struct PacedDisk {
    inner: Arc<dyn Disk>,
    pace: Pace,
    room: Option<Arc<Mutex<Option<u64>>>>,
}

type PaceOf = dyn Fn(&Path, Step) + Send + Sync;

#[derive(Clone)]
struct Pace(Arc<PaceOf>);

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

impl PacedDisk {
    /// `pace` is called before each write and sync of a file, with its path.
    pub fn new(inner: Arc<dyn Disk>, pace: impl Fn(&Path, Step) + Send + Sync + 'static) -> Self {
        Self { inner, pace: Pace(Arc::new(pace)), room: None }
    }

    /// The same, which tells so much room as lies there (all that there is while that is `None`), whatever is written.
    #[must_use]
    pub fn with_room(self, room: Arc<Mutex<Option<u64>>>) -> Self {
        Self { room: Some(room), ..self }
    }

    /// The disk, ready for [`cofferdam_checkpoint::StoreOptions`].
    #[must_use]
    pub fn shared(self) -> Arc<dyn Disk> {
        Arc::new(self)
    }
}

impl Disk for PacedDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.inner.read_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Box::new(PacedFile { inner, path: path.to_owned(), pace: self.pace.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn kind(&self, path: &Path) -> FileSystemKind {
        self.inner.kind(path)
    }

    fn free(&self, path: &Path) -> Option<u64> {
        let told = self.room.as_ref().and_then(|room| *room.lock().expect("nobody panics here"));
        told.or_else(|| self.inner.free(path))
    }
}

#[derive(Debug)]
struct PacedFile {
    inner: Box<dyn DiskFile>,
    path: PathBuf,
    pace: Pace,
}

impl DiskFile for PacedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        (self.pace.0)(&self.path, Step::Write(buf.len()));
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.pace.0)(&self.path, Step::Sync);
        self.inner.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn is_linked(&self) -> io::Result<bool> {
        self.inner.is_linked()
    }
}
