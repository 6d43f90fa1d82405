//! A disk that does something at one of its calls: ends the process there, or cuts the power.

use cofferdam_checkpoint::{Disk, DiskFile, FileSystemKind, OpenMode};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Passes every call on to another disk; at one of those that change something it calls a hook.
#[derive(Debug)]
pub struct HookedDisk {
    inner: Arc<dyn Disk>,
    plan: Arc<Plan>,
}

/// Where in a call the hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it is done.
    Before,
    /// Half of a write is done; of any other call all, but nobody has heard of it.
    Within,
}

struct Plan {
    /// Calls so far that change something.
    calls: AtomicU64,
    at: u64,
    moment: Moment,
    hook: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("at", &self.at).field("moment", &self.moment).finish_non_exhaustive()
    }
}

impl HookedDisk {
    /// Calls `hook` at the `at`th call, counted from 0, that changes something.
    pub fn new(
        inner: Arc<dyn Disk>,
        at: u64,
        moment: Moment,
        hook: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { inner, plan: Arc::new(Plan { calls: AtomicU64::new(0), at, moment, hook: Box::new(hook) }) }
    }

    /// Calls so far that change something.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.plan.calls.load(Ordering::SeqCst)
    }
}

impl Plan {
    fn around<T>(&self, call: impl FnOnce() -> T) -> T {
        let is_hit = self.enter();
        let done = call();
        if is_hit {
            (self.hook)();
        }
        done
    }

    /// Counts a call; whether the hook is to be called within it.
    fn enter(&self) -> bool {
        let is_hit = self.calls.fetch_add(1, Ordering::SeqCst) == self.at;
        if is_hit && self.moment == Moment::Before {
            (self.hook)();
        }
        is_hit && self.moment == Moment::Within
    }
}

impl Disk for HookedDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.plan.around(|| self.inner.create_dir(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.inner.read_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let inner = match mode {
            OpenMode::Read | OpenMode::ReadWrite => self.inner.open(path, mode)?,
            OpenMode::Create | OpenMode::CreateNew => self.plan.around(|| self.inner.open(path, mode))?,
        };
        Ok(Box::new(HookedFile { inner, plan: self.plan.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plan.around(|| self.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.plan.around(|| self.inner.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.plan.around(|| self.inner.remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.plan.around(|| self.inner.sync_dir(path))
    }

    fn kind(&self, path: &Path) -> FileSystemKind {
        self.inner.kind(path)
    }

    fn free(&self, path: &Path) -> Option<u64> {
        self.inner.free(path)
    }
}

#[derive(Debug)]
struct HookedFile {
    inner: Box<dyn DiskFile>,
    plan: Arc<Plan>,
}

impl DiskFile for HookedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if !self.plan.enter() {
            return self.inner.write_at(buf, offset);
        }
        let half = self.inner.write_at(&buf[..buf.len().div_ceil(2)], offset);
        (self.plan.hook)();
        half
    }

    fn sync_data(&self) -> io::Result<()> {
        self.plan.around(|| self.inner.sync_data())
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
