//! A disk that keeps nobody's pace: 1.5 ms a sync, 20 MB/s for all files together.

use cofferdam_checkpoint::{Disk, DiskFile, FileSystemKind, OpenMode, RealDisk};
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SYNC: Duration = Duration::from_micros(1500);
const BYTES_PER_SECOND: f64 = 20e6;

/// The real disk, made slow.
#[derive(Debug)]
pub struct SlowDisk {
    inner: Arc<dyn Disk>,
    /// When the disk has done all that it was given.
    busy_until: Arc<Mutex<Instant>>,
}

impl SlowDisk {
    pub fn new() -> Self {
        Self { inner: RealDisk::shared(), busy_until: Arc::new(Mutex::new(Instant::now())) }
    }
}

impl Disk for SlowDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.inner.read_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Box::new(SlowFile { inner, busy_until: self.busy_until.clone() }))
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
        self.inner.sync_dir(path)?;
        std::thread::sleep(SYNC);
        Ok(())
    }

    fn kind(&self, path: &Path) -> FileSystemKind {
        self.inner.kind(path)
    }
}

#[derive(Debug)]
struct SlowFile {
    inner: Box<dyn DiskFile>,
    busy_until: Arc<Mutex<Instant>>,
}

impl DiskFile for SlowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        let written = self.inner.write_at(buf, offset)?;
        let took = Duration::from_secs_f64(written as f64 / BYTES_PER_SECOND);
        let done = {
            let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
            *busy_until = (*busy_until).max(Instant::now()) + took;
            *busy_until
        };
        std::thread::sleep(done.saturating_duration_since(Instant::now()));
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        std::thread::sleep(SYNC);
        Ok(())
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
