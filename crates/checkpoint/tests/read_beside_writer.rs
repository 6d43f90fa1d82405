//! A writer that commits between any two reads of whoever reads beside it.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, Disk, DiskFile, FileSystemKind, JobState, OpenMode, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{HookedDisk, Moment, SimDisk};
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fmt, io};
use support::{JOB, Model, entries, open_store, options, spec};

/// A disk of a reader, on which somebody else does something whenever it was read from, or is listed.
#[derive(Clone)]
struct Intruded(Arc<Inner>);

struct Inner {
    disk: SimDisk,
    reads: AtomicU64,
    /// Is told how many reads there were before.
    intrude: Box<dyn Fn(u64) + Send + Sync>,
    /// Until then nobody intrudes, and a store can be opened.
    is_armed: AtomicBool,
}

impl fmt::Debug for Intruded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intruded").field("reads", &self.0.reads).finish_non_exhaustive()
    }
}

impl Intruded {
    fn new(disk: SimDisk, intrude: impl Fn(u64) + Send + Sync + 'static) -> Self {
        let (reads, is_armed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Inner { disk, reads, intrude: Box::new(intrude), is_armed }))
    }

    fn store(&self) -> Store {
        let options = StoreOptions { disk: Arc::new(self.clone()), ..StoreOptions::default() };
        Store::open(Path::new("store"), options).unwrap()
    }

    fn arm(&self) {
        self.0.is_armed.store(true, Ordering::Relaxed);
    }

    fn is_armed(&self) -> bool {
        self.0.is_armed.load(Ordering::Relaxed)
    }

    fn intrude(&self) {
        if self.is_armed() {
            (self.0.intrude)(self.0.reads.fetch_add(1, Ordering::Relaxed));
        }
    }
}

#[derive(Debug)]
struct IntrudedFile(Box<dyn DiskFile>, Intruded);

impl DiskFile for IntrudedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset);
        self.1.intrude();
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
        assert!(!self.is_armed(), "a reader makes no directories");
        self.0.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.intrude();
        self.0.disk.read_dir(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        if !self.is_armed() {
            return self.0.disk.open(path, mode);
        }
        assert_eq!(mode, OpenMode::Read);
        Ok(Box::new(IntrudedFile(self.0.disk.open(path, mode)?, self.clone())))
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
        assert!(!self.is_armed(), "a reader does not sync");
        self.0.disk.sync_dir(path)
    }
    fn kind(&self, path: &Path) -> FileSystemKind {
        self.0.disk.kind(path)
    }
}

/// A job whose owner commits twice whenever somebody reads, and how many commits that were.
fn busy_job() -> (Intruded, Arc<AtomicU64>) {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let commits = Arc::new(AtomicU64::new(0));
    let counted = commits.clone();
    let commit = move || {
        let ordinal = counted.fetch_add(1, Ordering::Relaxed);
        job.commit(Batch::completed_dense(ordinal, 1, 1, &entries(&[b"output"])).unwrap()).unwrap();
    };
    commit();
    let intrude = move |_| {
        commit();
        commit();
    };
    (Intruded::new(disk, intrude), commits)
}

#[test]
fn commits_between_any_two_reads_of_a_verification_are_no_damage_and_it_changes_nothing() {
    let (disk, commits) = busy_job();
    disk.arm();

    let reports = Store::verify(&disk, Path::new("store")).unwrap();

    assert!(reports[0].is_intact(), "{reports:?}");
    assert!(reports[0].outcomes > 0 && commits.load(Ordering::Relaxed) > 10);
}

#[test]
fn commits_between_any_two_reads_of_an_opening_for_reading_are_no_damage() {
    let (disk, commits) = busy_job();
    let store = disk.store();
    disk.arm();

    let read = store.read_job(JOB).unwrap();

    assert!(read.counts().completed > 0 && commits.load(Ordering::Relaxed) > 4);
}

/// A job that was closed.
fn ten_outcomes() -> SimDisk {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model::default();
    model.commit_run(&job, 0, 5).unwrap();
    model.commit_run(&job, 5, 5).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    disk.after_process_end()
}

fn outcomes_in(store: &Store) -> usize {
    store.read_job(JOB).unwrap().outcomes(0).map(Result::unwrap).count()
}

/// The journal as it is found if its host dies at each of the calls of an opening.
fn deaths_while_opening(disk: &SimDisk) -> Vec<SimDisk> {
    let mut images = Vec::new();
    loop {
        let opened = disk.after_process_end();
        let image = Arc::new(Mutex::new(None));
        let (found, from) = (image.clone(), opened.clone());
        let hook = move || *found.lock().unwrap() = Some(from.after_process_end());
        let hooked = HookedDisk::new(opened.shared(), images.len() as u64, Moment::Within, hook);
        let options = StoreOptions { disk: Arc::new(hooked), ..options(&opened) };
        let job = Store::open(Path::new("store"), options).unwrap().open_job(JOB).unwrap();
        let Some(image) = image.lock().unwrap().take() else { return images };
        drop(job);
        images.push(image);
    }
}

/// The new segment takes in the one before it, which is removed once HEAD names the new one.
#[test]
fn what_was_known_to_be_durable_is_read_whenever_hosts_die_while_they_open_the_job() {
    let disk = ten_outcomes();
    let read = |disk: &SimDisk| outcomes_in(&open_store(disk).unwrap());
    assert_eq!(read(&disk), 10);

    for (first, disk) in deaths_while_opening(&disk).iter().enumerate() {
        assert_eq!(read(disk), 10, "died at {first}");
        for (second, disk) in deaths_while_opening(disk).iter().enumerate() {
            assert_eq!(read(disk), 10, "died at {first}, then at {second}");
        }
    }
}

/// What was read before may be of a journal that is replaced since, and removed.
#[test]
fn what_was_known_to_be_durable_is_read_when_the_job_is_opened_between_any_two_reads() {
    for at in 0.. {
        let disk = ten_outcomes();
        let owned = disk.clone();
        let intruded = Intruded::new(disk, move |read| {
            if read == at {
                drop(open_store(&owned).unwrap().open_job(JOB).unwrap());
            }
        });
        let store = intruded.store();
        intruded.arm();
        assert_eq!(outcomes_in(&store), 10, "opened at read {at}");
        if intruded.0.reads.load(Ordering::Relaxed) < at {
            assert!(at > 8, "{at} reads");
            break;
        }
    }
}
