//! Looks at every byte that counts, changes none, and names every damage.

use crate::blob::{BLOBS, STAGING, file_name, path_of};
use crate::disk::{Disk, OpenMode, read_whole};
use crate::error::DamageKind;
use crate::format::frame::TYPE_RECORDS;
use crate::format::record::records;
use crate::format::snapshot;
use crate::format::store_file::{self, StoreFile, StoreFileFault};
use crate::journal::head_file;
use crate::journal::reader::Frame;
use crate::journal::recovery::{Scope, recover};
use crate::journal::restore::is_intact;
use crate::journal::survey::survey;
use crate::limits::LOOKS_MAX;
use crate::staging::holds;
use crate::store::{STORE, is_temporary};
use crate::{BlobRef, Damage, RecoveryReport, Store, StoreError};
use cofferdam_pipeline_core::Key;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What [`Store::verify`] found in one job.
#[derive(Clone, Debug)]
pub struct JobReport {
    /// The job's directory.
    pub path: PathBuf,
    /// The job's name, unless the file that says it is damaged.
    pub name: Option<Vec<u8>>,
    /// Intact frames that were read and checked.
    pub frames: u64,
    /// Outcomes in them, superseded ones included.
    pub outcomes: u64,
    /// Blobs that outcomes name and that were read and checked.
    pub blobs: u64,
    /// All damage. Empty: everything that was acknowledged is there, but for the window that the format's description names.
    pub findings: Vec<Finding>,
    /// Harmless traces of an unclean end; `None` when damage kept the journal from being judged as a whole.
    pub traces: Option<RecoveryReport>,
    /// Blobs that no intact outcome names: space that is wasted, or of an outcome that is damaged or about to be committed.
    pub unreferenced_blobs: Vec<PathBuf>,
    /// Outputs that are being written, or were when their host died.
    pub staged: u64,
}

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// The segment, when it is one.
    pub segment: Option<u64>,
    /// The bytes that are not to be trusted; a file that is missing has none.
    pub bytes: Range<u64>,
    /// What is wrong.
    pub what: DamageKind,
    /// The outcomes that are lost, or may be; `u64::MAX` as the end when nothing says where that is.
    pub lsns: Range<u64>,
    /// The item, where it is known: the one whose blob is damaged.
    pub item: Option<Key>,
}

impl JobReport {
    /// Whether no damage was found.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Store {
    /// Reads and checks everything in the store at `root`: every frame and every blob of every job. Changes nothing, creates
    /// nothing, takes no lock: works on what is read-only and beside hosts that work. Blocks for as long as reading everything takes.
    ///
    /// A job that is deleted meanwhile may be reported as damaged.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::NewerVersion`], [`StoreError::Io`]. Damage in a job is no error but a [`Finding`].
    pub fn verify(disk: &dyn Disk, root: &Path) -> Result<Vec<JobReport>, StoreError> {
        let jobs = root.join(check_store_file(disk, &root.join(STORE))?.jobs_dir());
        let mut names = list(disk, &jobs)?;
        names.retain(|name| !is_temporary(name));
        names.sort_unstable();
        names.iter().map(|name| verify_job(disk, &jobs.join(name))).collect()
    }
}

fn check_store_file(disk: &dyn Disk, path: &Path) -> Result<StoreFile, StoreError> {
    let bytes = match read_whole(disk, path, store_file::LEN as u64) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Vec::new()
        }
        Err(error) => return Err(StoreError::io("read", path, error)),
    };
    store_file::decode(&bytes).map_err(|fault| {
        let path = path.to_owned();
        match fault {
            StoreFileFault::Damaged => {
                StoreError::NotAStore { path, why: "its STORE file is damaged or missing" }
            }
            StoreFileFault::Newer(found) => {
                StoreError::NewerVersion { path, found, known: store_file::VERSION }
            }
        }
    })
}

/// A writer may have been in the middle of a frame when it was read, and have finished it and the next ones before those were.
/// Then the frame was whole before the claim that made a damage of it was seen: it is intact when it is read again. So damage is
/// what is found twice in the same place.
pub(crate) fn verify_job(disk: &dyn Disk, dir: &Path) -> Result<JobReport, StoreError> {
    let first = look_again_at(disk, dir)?;
    if first.is_intact() {
        return Ok(first);
    }
    let mut second = look_again_at(disk, dir)?;
    let place = |finding: &Finding| (finding.path.clone(), finding.bytes.start, finding.what);
    let before: Vec<_> = first.findings.iter().map(place).collect();
    second.findings.retain(|finding| before.contains(&place(finding)));
    Ok(second)
}

/// Files may go between two looks at the directory, since others have taken their place.
fn look_again_at(disk: &dyn Disk, dir: &Path) -> Result<JobReport, StoreError> {
    for _ in 1..LOOKS_MAX {
        match look_at(disk, dir) {
            Err(error) if error.is_missing_file() => {}
            decided => return decided,
        }
    }
    look_at(disk, dir)
}

fn look_at(disk: &dyn Disk, dir: &Path) -> Result<JobReport, StoreError> {
    // Listed before the journal is read: a blob is there before the outcome that names it.
    let blobs = list(disk, &dir.join(BLOBS))?;
    let mut report = JobReport {
        path: dir.to_owned(),
        name: head_file::read(disk, dir).ok().map(|content| content.description.name),
        frames: 0,
        outcomes: 0,
        blobs: 0,
        findings: Vec::new(),
        traces: None,
        unreferenced_blobs: Vec::new(),
        staged: list(disk, &dir.join(STAGING))?.len() as u64,
    };
    let mut named = Vec::new();
    report.findings = survey(disk, dir, &mut |_, frame| {
        report.frames += 1;
        report.outcomes += u64::from(frame.header.count);
        named.extend(blobs_in(frame));
    })?;
    report.check_snapshots(disk, dir)?;
    match recover(disk, dir, Scope::Durable) {
        Ok(recovered) => report.traces = Some(recovered.report),
        Err(StoreError::Corrupt(damage)) => add_verdict(&mut report.findings, &damage),
        Err(StoreError::NoSuchJob) => report.findings.push(Finding::head_is_missing(dir)),
        Err(error) => return Err(error),
    }
    for (blob, lsn, key) in &named {
        report.check_blob(disk, dir, blob, *lsn, key)?;
    }
    let names: HashSet<OsString> = named.iter().map(|(blob, ..)| file_name(blob).into()).collect();
    let unreferenced = blobs.iter().filter(|name| !names.contains(*name));
    report.unreferenced_blobs = unreferenced.map(|name| dir.join(BLOBS).join(name)).collect();
    Ok(report)
}

impl JobReport {
    fn check_snapshots(&mut self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        for name in
            list(disk, dir)?.iter().filter(|name| name.to_str().and_then(snapshot::parse_file_name).is_some())
        {
            let path = dir.join(name);
            let file = match disk.open(&path, OpenMode::Read) {
                Ok(file) => file,
                // A newer one has taken its place.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", &path, error)),
            };
            let failed = |error| StoreError::io("read", &path, error);
            let len = file.len().map_err(failed)?;
            if !is_intact(file.as_ref(), len).map_err(failed)? {
                let what = DamageKind::Snapshot;
                self.findings.push(Finding {
                    path,
                    segment: None,
                    bytes: 0..len,
                    what,
                    lsns: 0..0,
                    item: None,
                });
            }
        }
        Ok(())
    }

    fn check_blob(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        blob: &BlobRef,
        lsn: u64,
        key: &Key,
    ) -> Result<(), StoreError> {
        let path = path_of(dir, blob);
        let is_intact = match disk.open(&path, OpenMode::Read) {
            Ok(file) => holds(file.as_ref(), blob).map_err(|error| StoreError::io("read", &path, error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(StoreError::io("open", &path, error)),
        };
        self.blobs += 1;
        if !is_intact {
            self.findings.push(Finding::of_blob(path, blob, lsn, key.clone()));
        }
        Ok(())
    }
}

/// Adds what recovery stops at, unless the walk named it already.
pub(crate) fn add_verdict(findings: &mut Vec<Finding>, damage: &Damage) {
    let is_named = |finding: &Finding| {
        finding.path == damage.path && finding.what == damage.what && finding.bytes.contains(&damage.at)
    };
    if !findings.iter().any(is_named) {
        findings.push(Finding::of_verdict(damage));
    }
}

impl Finding {
    pub(crate) fn head_is_missing(dir: &Path) -> Self {
        Self {
            path: dir.join(head_file::NAME),
            segment: None,
            bytes: 0..0,
            what: DamageKind::NoIntactSlot,
            lsns: 1..u64::MAX,
            item: None,
        }
    }

    /// What recovery stops at.
    pub(crate) fn of_verdict(damage: &Damage) -> Self {
        let name = damage.path.file_name().and_then(|name| name.to_str());
        Self {
            path: damage.path.clone(),
            segment: name.and_then(crate::format::segment::parse_file_name),
            bytes: damage.at..u64::MAX,
            what: damage.what,
            lsns: damage.first_lsn_affected..u64::MAX,
            item: None,
        }
    }

    pub(crate) fn of_blob(path: PathBuf, blob: &BlobRef, lsn: u64, key: Key) -> Self {
        Self {
            path,
            segment: None,
            bytes: 0..blob.len,
            what: DamageKind::Blob,
            lsns: lsn..lsn + 1,
            item: Some(key),
        }
    }
}

/// The blobs that the outcomes of a frame name. Malformed records are the verdict's business.
fn blobs_in(frame: &Frame<'_>) -> Vec<(BlobRef, u64, Key)> {
    let mut found = Vec::new();
    if frame.header.kind != TYPE_RECORDS {
        return found;
    }
    let mut lsn = frame.header.first_lsn;
    for record in records(frame.body).map_while(Result::ok) {
        if let Some(item) = record.item() {
            found.extend(record.blobs().map(|blob| (*blob, lsn, item.key.to_key())));
        }
        lsn += u64::from(record.outcomes());
    }
    found
}

/// Whether an intact outcome in the journal names the blob.
pub(crate) fn is_named(disk: &dyn Disk, dir: &Path, blob: &BlobRef) -> Result<bool, StoreError> {
    let mut is_named = false;
    survey(disk, dir, &mut |_, frame| is_named |= blobs_in(frame).iter().any(|(named, ..)| named == blob))?;
    Ok(is_named)
}

pub(crate) fn list(disk: &dyn Disk, path: &Path) -> Result<Vec<OsString>, StoreError> {
    match disk.read_dir(path) {
        Ok(names) => Ok(names),
        // Nothing can be in it; what should be is missed one by one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("list", path, error)),
    }
}
