//! Copies what is provably intact of a damaged store into a new one, and says what may be missing.

use crate::blob;
use crate::building::Building;
use crate::disk::{Disk, read_whole};
use crate::error::DamageKind;
use crate::format::evidence;
use crate::format::frame::TYPE_RECORDS;
use crate::format::record::{Item, LeaseItems, Record, records};
use crate::format::store_file::{self, JOBS};
use crate::index::Index;
use crate::journal::head_file;
use crate::journal::reader::Frame;
use crate::journal::recovery::{Scope, recover};
use crate::journal::restore;
use crate::journal::survey::survey;
use crate::store::{STORE, is_temporary};
use crate::verify::{Finding, add_verdict, list};
use crate::{Batch, JobState, JobStore, KeyRef, Lookup, Store, StoreError, StoreOptions};
use cofferdam_pipeline_core::{Key, push_entry_len};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// What [`Store::salvage`] did with one job.
#[derive(Clone, Debug)]
pub struct SalvageReport {
    /// The job's directory in the damaged store.
    pub path: PathBuf,
    /// Its name; `None` when the file that says it is damaged: then nothing of the job could be copied.
    pub name: Option<Vec<u8>>,
    /// Outcomes that are in the new store, those that a later one supersedes included.
    pub copied: u64,
    /// All damage.
    pub findings: Vec<Finding>,
    /// Items that were completed and whose outcome is lost, or may have been: they had begun, or a snapshot says that they were
    /// done, and no intact outcome tells how. They are processed again when the job goes on. In order, each once.
    pub possibly_completed: Vec<Key>,
    /// How many more keys were done by a snapshot, which knows their hashes alone.
    pub unnamed: u64,
}

impl Store {
    /// Copies everything that is provably intact of the store at `from` into a new store at `to`, and says what may be missing.
    /// Changes nothing at `from`, where nobody should be at work. The jobs at `to` go on as interrupted ones.
    ///
    /// # Errors
    /// When there is something at `to`; those of the disk. Damage is no error.
    pub fn salvage(from: &Path, to: &Path, options: &StoreOptions) -> Result<Vec<SalvageReport>, StoreError> {
        let disk = options.disk.as_ref();
        let building = Building::begin(disk, to)?;
        let store = Self::open(&building.path, options.clone())?;
        let jobs = from.join(jobs_dir(disk, from));
        let mut names = list(disk, &jobs)?;
        names.retain(|name| !is_temporary(name));
        names.sort_unstable();
        let mut reports = Vec::new();
        for name in names {
            reports.push(salvage_job(disk, &jobs.join(name), &store)?);
        }
        building.finish()?;
        Ok(reports)
    }
}

/// Where the jobs lie; of a store that cannot say its version, those of the current one.
fn jobs_dir(disk: &dyn Disk, root: &Path) -> &'static str {
    let bytes = read_whole(disk, &root.join(STORE), store_file::LEN as u64).unwrap_or_default();
    match store_file::decode(&bytes) {
        Ok(file) => file.jobs_dir(),
        Err(_) if disk.read_dir(&root.join(JOBS)).is_err() => store_file::JOBS_BEFORE,
        Err(_) => JOBS,
    }
}

fn salvage_job(disk: &dyn Disk, dir: &Path, store: &Store) -> Result<SalvageReport, StoreError> {
    let mut report = SalvageReport {
        path: dir.to_owned(),
        name: None,
        copied: 0,
        findings: Vec::new(),
        possibly_completed: Vec::new(),
        unnamed: 0,
    };
    let content = match head_file::read(disk, dir) {
        Ok(content) => content,
        Err(StoreError::Corrupt(damage)) => {
            report.findings = survey(disk, dir, &mut |_, _| ())?;
            report.findings.push(Finding::of_verdict(&damage));
            return Ok(report);
        }
        Err(StoreError::NoSuchJob) => {
            report.findings = survey(disk, dir, &mut |_, _| ())?;
            report.findings.push(Finding::head_is_missing(dir));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    report.name = Some(content.description.name.clone());
    let job = store.create_job(&content.description.name, &content.description.spec)?;
    // Any place will do: what it says was done was done.
    let (snapshot, _) = restore::restore(disk, dir, &content.head, |_| true)?;
    let snapshot = snapshot.map(|restored| restored.index);
    let mut copy = Copy {
        disk,
        dir,
        job: &job,
        report: &mut report,
        snapshot: snapshot.as_ref(),
        of_snapshot: 0,
        leased: Vec::new(),
        failure: None,
    };
    let findings = survey(disk, dir, &mut |_, frame| copy.take(frame))?;
    let Copy { leased, failure, of_snapshot, .. } = copy;
    if let Some(error) = failure {
        return Err(error);
    }
    report.findings.extend(findings);
    match recover(disk, dir, Scope::Durable) {
        Ok(_) => {}
        Err(StoreError::Corrupt(damage)) => add_verdict(&mut report.findings, &damage),
        Err(error) => return Err(error),
    }
    let lacks_outcomes = report.findings.iter().any(|finding| finding.what != DamageKind::Snapshot);
    if lacks_outcomes {
        report.name_missing(&job, leased, snapshot.as_ref(), of_snapshot);
    }
    job.finish(JobState::Interrupted)?;
    Ok(report)
}

/// Copies frame by frame.
struct Copy<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    job: &'a JobStore,
    report: &'a mut SalvageReport,
    snapshot: Option<&'a Index>,
    /// Keys in the copy that the snapshot has.
    of_snapshot: u64,
    /// Items that a worker was about to get.
    leased: Vec<Key>,
    failure: Option<StoreError>,
}

impl Copy<'_> {
    fn take(&mut self, frame: &Frame<'_>) {
        if self.failure.is_some() || frame.header.kind != TYPE_RECORDS {
            return;
        }
        let mut lsn = frame.header.first_lsn;
        for record in records(frame.body).map_while(Result::ok) {
            if let Err(error) = self.take_record(&record, lsn) {
                self.failure = Some(error);
                return;
            }
            lsn += u64::from(record.outcomes());
        }
    }

    fn take_record(&mut self, record: &Record<'_>, lsn: u64) -> Result<(), StoreError> {
        self.count_key_of_snapshot(record);
        let outcomes = record.outcomes().into();
        let batch = match *record {
            Record::CompletedRun { first, count, attempts, entries, .. } => {
                Batch::completed_dense(first, count, attempts, entries)?
            }
            Record::Completed { item, attempts, output, .. } => {
                let mut entry = Vec::with_capacity(output.len() + 5);
                push_entry_len(&mut entry, output.len());
                entry.extend_from_slice(output);
                return match item.key {
                    KeyRef::Ordinal(ordinal) => {
                        self.commit(Batch::completed_dense(ordinal, 1, attempts, &entry)?, 1)
                    }
                    KeyRef::Bytes(key) => {
                        self.commit(Batch::completed_keyed([(key, item.fingerprint)], attempts, &entry)?, 1)
                    }
                };
            }
            Record::CompletedBlob { item, attempts, blob, .. } => {
                if !self.copy_blobs(record, &item, lsn)? {
                    return Ok(());
                }
                return self.commit(Batch::completed_blob(item.key, item.fingerprint, attempts, blob)?, 1);
            }
            Record::CompletedFiles { item, attempts, ref output, .. } => {
                if !self.copy_blobs(record, &item, lsn)? {
                    return Ok(());
                }
                let Item { key, fingerprint } = item;
                return self
                    .commit(Batch::completed_with_files(key, fingerprint, attempts, output.clone())?, 1);
            }
            Record::SetAside { item, kind, attempts, evidence: bytes, .. } => {
                let what = evidence::decode(bytes).unwrap_or_default();
                return self.commit(Batch::set_aside(item.key, item.fingerprint, kind, attempts, &what)?, 1);
            }
            Record::Note { key, note } => return self.job.note(key, note),
            Record::SavedState { item, state } => {
                return self.job.save_state(item.key, item.fingerprint, state.into());
            }
            Record::Added { key, content } => return self.job.add_item(key, content).map(drop),
            Record::LeaseStarted { ref items, .. } => {
                for item in items {
                    match *item {
                        LeaseItems::Ordinals { first, count } => {
                            self.leased.extend((first..first + u64::from(count)).map(Key::Ordinal));
                        }
                        LeaseItems::Key(key) => self.leased.push(KeyRef::Bytes(key).to_key()),
                    }
                }
                return Ok(());
            }
            Record::Dropped { .. } | Record::Other => return Ok(()),
        };
        self.commit(batch, outcomes)
    }

    /// Puts the blobs of an outcome into the copy; false when one of them is damaged, so that the outcome is lost.
    fn copy_blobs(&mut self, record: &Record<'_>, item: &Item<'_>, lsn: u64) -> Result<bool, StoreError> {
        for blob in record.blobs() {
            match blob::copy(self.disk, self.dir, blob, self.job) {
                Ok(()) => {}
                Err(StoreError::BlobDamaged { path }) => {
                    self.miss(item, Finding::of_blob(path, blob, lsn, item.key.to_key()));
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn count_key_of_snapshot(&mut self, record: &Record<'_>) {
        let Some(item) = record.item() else { return };
        let (Some(snapshot), KeyRef::Bytes(key)) = (self.snapshot, item.key) else { return };
        let is_first = self.job.lookup(item.key, None) == Lookup::New;
        self.of_snapshot += u64::from(is_first && snapshot.is_known(key));
    }

    fn commit(&mut self, batch: Batch<'_>, outcomes: u64) -> Result<(), StoreError> {
        match self.job.submit(batch) {
            Ok(_) => {
                self.report.copied += outcomes;
                Ok(())
            }
            // Damage in between can make an item look unsettled to whoever went on; the first outcome is as good.
            Err(StoreError::AlreadyDone(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn miss(&mut self, item: &Item<'_>, finding: Finding) {
        self.leased.push(item.key.to_key());
        self.report.findings.push(finding);
    }
}

impl SalvageReport {
    /// Whoever had begun, or was done by a snapshot, and has no outcome in the copy.
    fn name_missing(&mut self, job: &JobStore, leased: Vec<Key>, snapshot: Option<&Index>, of_snapshot: u64) {
        let done = job.done_ordinals();
        let is_missing = |key: &Key| match key {
            Key::Ordinal(ordinal) => !done.contains(*ordinal),
            Key::Bytes(bytes) => job.lookup(KeyRef::Bytes(bytes), None) == Lookup::New,
        };
        let mut seen = HashSet::new();
        let mut is_new = |key: &Key| is_missing(key) && seen.insert(key.clone());
        let mut missing: Vec<Key> = leased.into_iter().filter(&mut is_new).collect();
        if let Some(snapshot) = snapshot {
            missing.extend(snapshot.done_ordinals().iter().map(Key::Ordinal).filter(is_new));
            let is_of_snapshot = |key: &&Key| matches!(key, Key::Bytes(bytes) if snapshot.is_known(bytes));
            let named = missing.iter().filter(is_of_snapshot).count() as u64;
            self.unnamed = snapshot.keys_len() as u64 - of_snapshot - named;
        }
        missing.sort();
        self.possibly_completed = missing;
    }
}
