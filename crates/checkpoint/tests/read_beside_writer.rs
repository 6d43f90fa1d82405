//! A writer that commits between any two reads of whoever reads beside it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, Disk, DiskFile, FileSystemKind, JobStore, OpenMode, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use support::{JOB, entries, open_store, spec};

/// A job whose owner commits whenever somebody else reads.
#[derive(Clone, Debug)]
struct Intruded {
    disk: SimDisk,
    job: Arc<JobStore>,
    next: Arc<AtomicU64>,
    /// Until then nobody intrudes, and a store can be opened.
    is_armed: Arc<AtomicBool>,
}

impl Intruded {
    fn commit(&self) {
        if !self.is_armed.load(Ordering::Relaxed) {
            return;
        }
        let ordinal = self.next.fetch_add(1, Ordering::Relaxed);
        self.job.commit(Batch::completed_dense(ordinal, 1, 1, &entries(&[b"output"])).unwrap()).unwrap();
    }
}

#[derive(Debug)]
struct IntrudedFile(Box<dyn DiskFile>, Intruded);

impl DiskFile for IntrudedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset);
        self.1.commit();
        self.1.commit();
        read
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        panic!("a reader does not write")
    }
    fn sync_data(&self) -> io::Result<()> {
        panic!("a reader does not sync")
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn try_lock(&self) -> io::Result<bool> {
        panic!("a reader does not lock")
    }
}

impl Disk for Intruded {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        assert!(!self.is_armed.load(Ordering::Relaxed), "a reader makes no directories");
        self.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.disk.read_dir(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        if !self.is_armed.load(Ordering::Relaxed) {
            return self.disk.open(path, mode);
        }
        assert_eq!(mode, OpenMode::Read);
        Ok(Box::new(IntrudedFile(self.disk.open(path, mode)?, self.clone())))
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        panic!("a reader does not rename")
    }
    fn remove_file(&self, _: &Path) -> io::Result<()> {
        panic!("a reader does not remove")
    }
    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        panic!("a reader does not remove")
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        assert!(!self.is_armed.load(Ordering::Relaxed), "a reader does not sync");
        self.disk.sync_dir(path)
    }
    fn kind(&self, path: &Path) -> FileSystemKind {
        self.disk.kind(path)
    }
}

#[test]
fn commits_between_any_two_reads_of_a_verification_are_no_damage_and_it_changes_nothing() {
    let disk = SimDisk::new();
    let job = Arc::new(open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap());
    let intruded = Intruded { disk, job, next: Arc::default(), is_armed: Arc::new(true.into()) };
    intruded.commit();

    let reports = Store::verify(&intruded, Path::new("store")).unwrap();

    assert!(reports[0].is_intact(), "{reports:?}");
    assert!(reports[0].outcomes > 0 && intruded.next.load(Ordering::Relaxed) > 10);
}

#[test]
fn commits_between_any_two_reads_of_an_opening_for_reading_are_no_damage() {
    let disk = SimDisk::new();
    let job = Arc::new(open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap());
    let is_armed: Arc<AtomicBool> = Arc::default();
    let intruded = Intruded { disk, job, next: Arc::default(), is_armed: is_armed.clone() };
    let options = StoreOptions { disk: Arc::new(intruded.clone()), ..StoreOptions::default() };
    let store = Store::open(Path::new("store"), options).unwrap();
    is_armed.store(true, Ordering::Relaxed);
    intruded.commit();

    let read = store.read_job(JOB).unwrap();

    assert!(read.counts().completed > 0 && intruded.next.load(Ordering::Relaxed) > 4);
}
