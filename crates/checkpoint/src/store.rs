//! A directory of jobs.

use crate::blob::{BLOBS, STAGING};
use crate::building::write_file;
use crate::disk::{Disk, DiskFile, FileSystemKind, OpenMode, read_whole};
use crate::error::is_refusal;
use crate::format::checksum::crc;
use crate::format::description::{self, Description};
use crate::format::head::{DESCRIPTION_OFFSET, Head, SLOTS};
use crate::format::store_file::{self, JOBS, JOBS_BEFORE, StoreFile, StoreFileFault};
use crate::job::JobStore;
use crate::job_reader::JobReader;
use crate::journal::fill::FillAhead;
use crate::journal::{head_file, room};
use crate::limits::{IDLE, JOB_NAME_MAX, SNAPSHOT_BYTES, STORE_LOCK_PAUSE, STORE_LOCK_WAIT};
use crate::real_disk::RealDisk;
use crate::seeded::has_bug;
use crate::{
    Counts, Durability, JobSpec, JobState, JobSummary, OwnerInfo, StoreError, clock, owner_file, random,
};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

pub(crate) const STORE: &str = "STORE";
pub(crate) const LOCK: &str = "LOCK";

/// How a store is used.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// What an acknowledged outcome survives.
    pub durability: Durability,
    /// Whether `Power` is believed on a file system that may lose what was synced: network drives, memory.
    pub accept_weak_file_system: bool,
    /// When segments are filled ahead.
    pub fill_ahead: FillAhead,
    /// At least so many bytes of a job's journal lie between two snapshots; `u64::MAX` for none but those that are asked for.
    pub snapshot_after_bytes: u64,
    /// After this long without a commit the journal says that the last one is durable; `Duration::MAX` for only at the end.
    pub idle_mark: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            disk: RealDisk::shared(),
            durability: Durability::default(),
            accept_weak_file_system: false,
            fill_ahead: FillAhead::default(),
            snapshot_after_bytes: SNAPSHOT_BYTES,
            idle_mark: IDLE,
        }
    }
}

/// A directory of jobs. Cheap to open; holds no lock between calls.
#[derive(Debug)]
pub struct Store {
    pub(crate) root: PathBuf,
    options: StoreOptions,
    pub(crate) file: StoreFile,
}

impl Store {
    /// Opens the store at `root`, or makes one there when there is nothing. Where nothing may be changed (a read-only file
    /// system, missing permissions), one that is there can still be read: [`Self::list`], [`Self::read_job`].
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] when there is something else; [`StoreError::WeakFileSystem`] unless that is accepted.
    pub fn open(root: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let disk = options.disk.as_ref();
        create_dir_if_missing(disk, root)?;
        let kind = disk.kind(root);
        let is_weak = matches!(kind, FileSystemKind::Network | FileSystemKind::Memory);
        if is_weak && options.durability.is_power() && !options.accept_weak_file_system {
            return Err(StoreError::WeakFileSystem { path: root.to_owned(), kind });
        }
        let mut store =
            Self { root: root.to_owned(), options, file: StoreFile { version: 0, uuid: [0; 16] } };
        let lock = match store.lock() {
            // To read what is there takes no lock; whatever changes something is refused when it asks for one.
            Err(error) if error.is_refused_writing() => {
                store.file = store.read_file()?.ok_or(error)?;
                return Ok(store);
            }
            taken => taken?,
        };
        store.file = match store.read_file()? {
            Some(file) => file,
            None => store.create()?,
        };
        store.sync_what_may_be_new()?;
        store.remove_leftovers()?;
        drop(lock);
        Ok(store)
    }

    /// Tells this store from every other one.
    #[must_use]
    pub fn uuid(&self) -> &[u8; 16] {
        &self.file.uuid
    }

    /// What the HEADs of all jobs say, in no order; no journal is read.
    ///
    /// # Errors
    /// Those of reading a HEAD.
    pub fn list(&self) -> Result<Vec<JobSummary>, StoreError> {
        let jobs = self.jobs();
        let names = self.disk().read_dir(&jobs).map_err(|error| StoreError::io("list", &jobs, error))?;
        let mut summaries = Vec::new();
        for name in names.iter().filter(|name| !is_temporary(name)) {
            match head_file::read(self.disk(), &jobs.join(name)) {
                Ok(content) => summaries.push(JobSummary {
                    name: content.description.name,
                    state: content.head.state,
                    counts: content.head.counts,
                    spec: content.description.spec,
                }),
                // Deleted meanwhile, or nothing of ours.
                Err(StoreError::NoSuchJob) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(summaries)
    }

    /// Whether there is a job of this name.
    ///
    /// # Errors
    /// Those of reading its HEAD.
    pub fn job_exists(&self, name: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        match self.find(name.as_ref()) {
            Ok(_) => Ok(true),
            Err(StoreError::NoSuchJob) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a job and opens it. Any bytes may be a name.
    ///
    /// # Errors
    /// [`StoreError::JobExists`]
    pub fn create_job(&self, name: impl AsRef<[u8]>, spec: &JobSpec) -> Result<JobStore, StoreError> {
        let name = name.as_ref();
        check_len("the name of a job", name.len(), JOB_NAME_MAX)?;
        let lock = self.lock_to_change()?;
        if self.job_exists(name)? {
            return Err(StoreError::JobExists);
        }
        let building = self.jobs().join(temporary_name()?);
        room::check(self.options.disk.as_ref(), &building, 0)?;
        self.build(&building, Description { name: name.to_vec(), spec: spec.clone() })?;
        let dir = self.dir_of(name);
        self.rename(&building, &dir)?;
        if !has_bug("no directory sync after a job was renamed") {
            self.sync_dir(&self.jobs())?;
        }
        let job_lock = self.lock_job(&dir)?;
        drop(lock);
        JobStore::open(&dir, &self.options, job_lock)
    }

    /// Opens a job for work, after whatever end it had.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when somebody works on it; [`StoreError::Corrupt`] when something durable is damaged:
    /// nothing was changed then.
    pub fn open_job(&self, name: impl AsRef<[u8]>) -> Result<JobStore, StoreError> {
        let lock = self.lock_to_change()?;
        let dir = self.find(name.as_ref())?;
        // Whoever created the job may have failed just before this.
        self.sync_dir(&self.jobs())?;
        let job_lock = self.lock_job(&dir)?;
        drop(lock);
        JobStore::open(&dir, &self.options, job_lock)
    }

    /// Opens a job for reading, also beside somebody who works on it. Changes nothing on the disk.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`], [`StoreError::Corrupt`]
    pub fn read_job(&self, name: impl AsRef<[u8]>) -> Result<JobReader, StoreError> {
        JobReader::open(self.options.disk.clone(), &self.find(name.as_ref())?)
    }

    /// Removes a job and all that it holds.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when somebody works on it.
    pub fn delete(&self, name: impl AsRef<[u8]>) -> Result<(), StoreError> {
        let lock = self.lock_to_change()?;
        let dir = self.find(name.as_ref())?;
        // Whoever wants the job's lock holds the store's: it can be let go before the directory moves, which some systems demand.
        drop(self.lock_job(&dir)?);
        let trash = self.jobs().join(temporary_name()?);
        self.rename(&dir, &trash)?;
        self.sync_dir(&self.jobs())?;
        let removed = self.disk().remove_dir_all(&trash);
        drop(lock);
        removed.map_err(|error| StoreError::io("remove", &trash, error))
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.options.disk.as_ref()
    }

    fn jobs(&self) -> PathBuf {
        self.root.join(self.file.jobs_dir())
    }

    /// A hash, so that no name is too long, reserved, case-folded or normalised away.
    fn dir_of(&self, name: &[u8]) -> PathBuf {
        self.jobs().join(format!("{:032x}", xxh3_128(name)))
    }

    fn find(&self, name: &[u8]) -> Result<PathBuf, StoreError> {
        let dir = self.dir_of(name);
        let content = head_file::read(self.disk(), &dir)?;
        if content.description.name == name { Ok(dir) } else { Err(StoreError::JobNameCollision) }
    }

    pub(crate) fn read_file(&self) -> Result<Option<StoreFile>, StoreError> {
        let path = self.root.join(STORE);
        let bytes = match read_whole(self.disk(), &path, store_file::LEN as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        store_file::decode(&bytes).map(Some).map_err(|fault| match fault {
            StoreFileFault::Damaged => StoreError::NotAStore { path, why: "its STORE file is damaged" },
            StoreFileFault::Newer(found) => {
                StoreError::NewerVersion { path, found, known: store_file::VERSION }
            }
        })
    }

    fn create(&self) -> Result<StoreFile, StoreError> {
        let names =
            self.disk().read_dir(&self.root).map_err(|error| StoreError::io("list", &self.root, error))?;
        if names.iter().any(|name| name != LOCK && name != JOBS && !is_temporary(name)) {
            return Err(StoreError::NotAStore { path: self.root.clone(), why: "it holds other files" });
        }
        let uuid = random::bytes()?;
        create_dir_if_missing(self.disk(), &self.root.join(JOBS))?;
        self.write_store_file(uuid)
    }

    /// Gives the store the current version, in one rename.
    pub(crate) fn write_store_file(&self, uuid: [u8; 16]) -> Result<StoreFile, StoreError> {
        let building = self.root.join(temporary_name()?);
        write_file(self.disk(), &building, &[(0, &store_file::encode(uuid))])?;
        self.rename(&building, &self.root.join(STORE))?;
        self.sync_dir(&self.root)?;
        Ok(StoreFile { version: store_file::VERSION, uuid })
    }

    /// Writes a job that nobody sees yet.
    fn build(&self, dir: &Path, description: Description) -> Result<(), StoreError> {
        let bytes = description.encode();
        check_len("the description of a job", bytes.len(), description::LEN_MAX)?;
        let head = Head {
            ro_compat: 0,
            store: self.file.uuid,
            job: random::bytes()?,
            epoch: 0,
            seq: 0,
            durable_end: 0,
            durable_lsn: 0,
            snapshot_lsn: 0,
            counts: Counts::default(),
            description: crate::format::head::DescriptionRef {
                offset: DESCRIPTION_OFFSET,
                len: bytes.len() as u32,
                crc: crc(&bytes),
            },
            state: JobState::Running,
        };
        for dir in [dir, &dir.join(BLOBS), &dir.join(STAGING)] {
            self.disk().create_dir(dir).map_err(|error| StoreError::io("create", dir, error))?;
        }
        write_file(self.disk(), &dir.join(LOCK), &[])?;
        let slot = SLOTS.encode(0, &head.encode());
        write_file(self.disk(), &dir.join(head_file::NAME), &[(0, &slot), (DESCRIPTION_OFFSET, &bytes)])?;
        self.sync_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        self.disk().rename(from, to).map_err(|error| StoreError::io("rename to", to, error))
    }

    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), StoreError> {
        self.disk().sync_dir(path).map_err(|error| StoreError::io("sync", path, error))
    }

    /// An earlier opening may have made these entries and failed to sync them: they are not durable because they are there.
    fn sync_what_may_be_new(&self) -> Result<(), StoreError> {
        self.sync_dir(&self.root)?;
        let parent = parent_of(&self.root);
        match self.disk().sync_dir(parent) {
            // A parent that we may not even read is none that we created an entry in.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            result => result.map_err(|error| StoreError::io("sync", parent, error)),
        }
    }

    /// What a creation, a deletion or a migration left that did not end. The caller holds the store's lock, so none is under way.
    fn remove_leftovers(&self) -> Result<(), StoreError> {
        // Without the jobs that STORE speaks of, those beside them may be all there is: somebody put an old STORE back.
        let names = self.disk().read_dir(&self.jobs());
        let names = names.map_err(|error| StoreError::io("list", &self.jobs(), error))?;
        // STORE decides which jobs count; those beside them are of a migration that did not come to its swap, or did.
        let others = if self.file.jobs_dir() == JOBS { JOBS_BEFORE } else { JOBS };
        if self.disk().read_dir(&self.root.join(others)).is_ok() {
            self.remove_all(others)?;
        }
        for name in names {
            if is_temporary(&name) {
                let path = self.jobs().join(name);
                self.disk().remove_dir_all(&path).map_err(|error| StoreError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    pub(crate) fn remove_all(&self, name: &str) -> Result<(), StoreError> {
        let path = self.root.join(name);
        match self.disk().remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path, error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The lock of the whole store, if it is of the version that is written here.
    fn lock_to_change(&self) -> Result<Box<dyn DiskFile>, StoreError> {
        let lock = self.lock()?;
        let (found, current) = (self.file.version, store_file::VERSION);
        if found != current {
            return Err(StoreError::OlderVersion { path: self.root.clone(), found, current });
        }
        Ok(lock)
    }

    /// The lock of the whole store: held for the milliseconds of a creation, a deletion or the locking of a job.
    pub(crate) fn lock(&self) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = self.root.join(LOCK);
        let file = self
            .disk()
            .open(&path, OpenMode::Create)
            .map_err(|error| StoreError::io("open", &path, error))?;
        let deadline = clock::now() + STORE_LOCK_WAIT;
        while !file.try_lock().map_err(|error| StoreError::io("lock", &path, error))? {
            if clock::now() >= deadline {
                return Err(StoreError::StoreBusy { path: self.root.clone() });
            }
            clock::pause(STORE_LOCK_PAUSE);
        }
        Ok(file)
    }

    pub(crate) fn lock_job(&self, dir: &Path) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = dir.join(LOCK);
        let file = self
            .disk()
            .open(&path, OpenMode::Create)
            .map_err(|error| StoreError::io("open", &path, error))?;
        let is_locked = file.try_lock().map_err(|error| StoreError::io("lock", &path, error))?;
        if is_locked || has_bug("two owners at once") {
            return Ok(file);
        }
        let owner = owner_file::read(self.disk(), dir).map_or_else(OwnerInfo::default, |(_, info)| info);
        Err(StoreError::Locked(Box::new(owner)))
    }
}

fn create_dir_if_missing(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let failed = |op, path: &Path, error| Err(StoreError::io(op, path, error));
    match disk.create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // Some systems look at what is allowed before they look whether it exists.
        Err(error) if is_refusal(error.kind()) && disk.read_dir(path).is_ok() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
                return failed("create", path, error);
            };
            create_dir_if_missing(disk, parent)?;
            if let Err(error) = disk.create_dir(path) {
                return failed("create", path, error);
            }
        }
        Err(error) => return failed("create", path, error),
    }
    let parent = parent_of(path);
    disk.sync_dir(parent).or_else(|error| failed("sync", parent, error))
}

pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn temporary_name() -> Result<String, StoreError> {
    Ok(format!(".tmp-{:016x}", random::number()?))
}

pub(crate) fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".tmp-")
}

fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), StoreError> {
    if len > max { Err(StoreError::TooLong { what, len, max }) } else { Ok(()) }
}
