//! A consistent copy of a job, made beside its commits.

use crate::blob::{BLOBS, STAGING};
use crate::building::{Building, copy_file, write_file};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::format::head::{DESCRIPTION_OFFSET, Head, SLOTS};
use crate::format::store_file::JOBS;
use crate::format::{segment, snapshot, store_file};
use crate::journal::chain::Chain;
use crate::journal::head_file;
use crate::journal::lead::{Journal, lock};
use crate::limits::LOOKS_MAX;
use crate::store::{LOCK, STORE};
use crate::verify::list;
use crate::{JobState, JobStore, Store, StoreError};
use std::path::Path;

/// The files of a journal, held open, and how much of each counts.
struct Held {
    head: Head,
    segments: Vec<(u64, Box<dyn DiskFile>, u64)>,
    snapshot: Option<Box<dyn DiskFile>>,
}

impl JobStore {
    /// Makes a store at `root` that holds this job as it is durable now; commits go on meanwhile. It is read back and verified
    /// before it gets its name, so whatever interrupts this, `root` is a whole store or not there. Blocks for as long as copying and reading take.
    ///
    /// The copy counts as interrupted in an orderly way: it has no owner and no open leases. What was remembered with [`JobStore::note`]
    /// and the like is in it if a commit followed.
    ///
    /// # Errors
    /// When there is something at `root`; those of the disk; [`StoreError::Corrupt`] when the job is damaged. The handle is none the worse.
    pub fn backup_to(&self, root: &Path) -> Result<(), StoreError> {
        let disk = self.journal.disk.as_ref();
        let building = Building::begin(disk, root)?;
        // Segments and blobs stay as long as they are copied.
        let _turn = lock(&self.journal.compaction.turn);
        let held = self.journal.hold()?;
        write_file(disk, &building.path.join(STORE), &[(0, &store_file::encode(held.head.store))])?;
        let jobs = building.path.join(JOBS);
        let dir = jobs.join(self.journal.dir.file_name().expect("a job has a directory"));
        for dir in [&jobs, &dir, &dir.join(BLOBS), &dir.join(STAGING)] {
            disk.create_dir(dir).map_err(|error| StoreError::io("create", dir, error))?;
        }
        self.journal.copy_into(&dir, &held, &self.description.encode())?;
        for dir in [&dir.join(BLOBS), &dir, &jobs, &building.path] {
            disk.sync_dir(dir).map_err(|error| StoreError::io("sync", dir, error))?;
        }
        for report in Store::verify(disk, &building.path)? {
            if let Some(finding) = report.findings.first() {
                return Err(StoreError::corrupt(
                    &finding.path,
                    finding.bytes.start,
                    finding.what,
                    finding.lsns.start,
                ));
            }
        }
        building.finish()
    }
}

impl Journal {
    /// Opens what the journal consists of now. Files may go before they are opened, since others have taken their place.
    fn hold(&self) -> Result<Held, StoreError> {
        for _ in 1..LOOKS_MAX {
            match self.hold_once() {
                Err(error) if error.is_missing_file() => {}
                decided => return decided,
            }
        }
        self.hold_once()
    }

    fn hold_once(&self) -> Result<Held, StoreError> {
        let open = |name: String| {
            let path = self.dir.join(name);
            self.disk.open(&path, OpenMode::Read).map_err(|error| StoreError::io("open", &path, error))
        };
        // First: HEAD's counts may be lower than what the journal says, never higher.
        let counts = self.counts();
        let chain: Chain = lock(&self.chain).clone();
        let mut head = lock(&self.head).head.clone();
        let last = chain.links.last().expect("an open job has a segment");
        head.counts = counts;
        (head.seq, head.durable_end, head.durable_lsn) = (last.seq, chain.durable_end, chain.durable_lsn);
        head.description.offset = DESCRIPTION_OFFSET;
        head.state = JobState::Interrupted;
        let snapshot = match head.snapshot_lsn {
            0 => None,
            lsn => Some(open(snapshot::file_name(lsn))?),
        };
        let mut segments = Vec::new();
        for (position, link) in chain.links.iter().enumerate() {
            segments.push((link.seq, open(segment::file_name(link.seq))?, chain.readable_end(position)));
        }
        Ok(Held { head, segments, snapshot })
    }

    fn copy_into(&self, dir: &Path, held: &Held, description: &[u8]) -> Result<(), StoreError> {
        let disk = self.disk.as_ref();
        write_file(disk, &dir.join(LOCK), &[])?;
        for (seq, file, len) in &held.segments {
            copy_file(disk, file.as_ref(), *len, &dir.join(segment::file_name(*seq)))?;
        }
        if let Some(file) = &held.snapshot {
            let path = dir.join(snapshot::file_name(held.head.snapshot_lsn));
            let len = file.len().map_err(|error| StoreError::io("read", &path, error))?;
            copy_file(disk, file.as_ref(), len, &path)?;
        }
        // Listed after the journal was held: a blob is there before the outcome that names it.
        copy_blobs(disk, &self.dir.join(BLOBS), &dir.join(BLOBS))?;
        let slot = SLOTS.encode(0, &held.head.encode());
        write_file(disk, &dir.join(head_file::NAME), &[(0, &slot), (DESCRIPTION_OFFSET, description)])
    }
}

pub(crate) fn copy_blobs(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    for name in list(disk, from)? {
        let path = from.join(&name);
        let failed = |op, error| StoreError::io(op, &path, error);
        let file = disk.open(&path, OpenMode::Read).map_err(|error| failed("open", error))?;
        let len = file.len().map_err(|error| failed("read", error))?;
        copy_file(disk, file.as_ref(), len, &to.join(&name))?;
    }
    Ok(())
}
