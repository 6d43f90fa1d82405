//! A store of the version before becomes one of the current version.
//!
//! All jobs are copied beside the old ones, in the layout of the current version, synced and verified; then STORE is replaced, in one
//! rename: it says which of the two count. Whatever interrupts this leaves the old store as it was, to the byte, or the new one.

use crate::backup::copy_blobs;
use crate::blob::{BLOBS, STAGING};
use crate::building::{copy_file, write_file};
use crate::disk::{Disk, OpenMode, write_all_at};
use crate::format::head::{DESCRIPTION_OFFSET, Head, SLOTS};
use crate::format::segment::{COPY_OFFSETS, SegmentHeader};
use crate::format::store_file::{self, JOBS, JOBS_BEFORE};
use crate::format::{segment, snapshot};
use crate::journal::head_file;
use crate::journal::recovery::{Scope, recover};
use crate::journal::scan;
use crate::seeded::has_bug;
use crate::store::{LOCK, is_temporary};
use crate::verify::{list, verify_job};
use crate::{RecoveryReport, Store, StoreError, owner_file};
use std::path::Path;

impl Store {
    /// Brings a store of the version before to the current one, and says how many jobs that were: 0 when there is nothing to do. Takes
    /// as much space again until it is done, and blocks for as long as copying and reading everything takes; whoever opens the store
    /// meanwhile waits, or gets [`StoreError::StoreBusy`].
    ///
    /// # Errors
    /// [`StoreError::Locked`] when somebody works on a job; [`StoreError::Corrupt`] when one is damaged: [`Self::salvage`] makes a store of
    /// the current version of what is intact. The store is as it was then.
    pub fn migrate(&mut self) -> Result<u64, StoreError> {
        if self.file.version == store_file::VERSION {
            return Ok(0);
        }
        let lock = self.lock()?;
        // Somebody else may have done it since.
        self.file = self.read_file()?.unwrap_or(self.file);
        if self.file.version == store_file::VERSION {
            return Ok(0);
        }
        let (before, after) = (self.root.join(JOBS_BEFORE), self.root.join(JOBS));
        let disk = self.disk();
        let mut names = list(disk, &before)?;
        names.retain(|name| !is_temporary(name));
        let mut jobs = Vec::new();
        for name in &names {
            jobs.push(self.lock_job(&before.join(name))?);
        }
        // What an earlier attempt left may be older than the jobs are.
        self.remove_all(JOBS)?;
        disk.create_dir(&after).map_err(|error| StoreError::io("create", &after, error))?;
        for name in &names {
            copy_job(disk, &before.join(name), &after.join(name))?;
        }
        self.sync_dir(&after)?;
        // Before STORE is replaced: the copies must have their names by then.
        self.sync_dir(&self.root)?;
        for name in &names {
            if let Some(finding) = verify_job(disk, &after.join(name))?.findings.first() {
                let (path, at) = (&finding.path, finding.bytes.start);
                return Err(StoreError::corrupt(path, at, finding.what, finding.lsns.start));
            }
        }
        self.file = self.write_store_file(self.file.uuid)?;
        drop(jobs);
        let removed = self.remove_all(JOBS_BEFORE);
        drop(lock);
        removed.map(|()| names.len() as u64)
    }
}

/// Makes a job of the current version at `to` of the one at `from`; durable but for its name when this returns.
fn copy_job(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    let recovered = recover(disk, from, Scope::Accepted)?;
    for dir in [to, &to.join(BLOBS), &to.join(STAGING)] {
        disk.create_dir(dir).map_err(|error| StoreError::io("create", dir, error))?;
    }
    write_file(disk, &to.join(LOCK), &[])?;
    for seq in recovered.files.keys() {
        copy_segment(disk, from, to, *seq)?;
    }
    for name in list(disk, from)? {
        let is_copied = |name: &str| snapshot::parse_file_name(name).is_some() || name == owner_file::NAME;
        if name.to_str().is_some_and(is_copied) {
            copy_whole(disk, &from.join(&name), &to.join(&name))?;
        }
    }
    copy_blobs(disk, &from.join(BLOBS), &to.join(BLOBS))?;
    let content = recovered.content;
    let mut head: Head = content.head;
    head.description.offset = DESCRIPTION_OFFSET;
    let slot = SLOTS.encode(content.generation, &head.encode());
    let parts =
        [(SLOTS.offset(content.generation), &slot[..]), (DESCRIPTION_OFFSET, &content.description.encode())];
    write_file(disk, &to.join(head_file::NAME), &parts)?;
    for dir in [&to.join(BLOBS), to] {
        disk.sync_dir(dir).map_err(|error| StoreError::io("sync", dir, error))?;
    }
    Ok(())
}

fn copy_whole(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |op, error| StoreError::io(op, from, error);
    let file = disk.open(from, OpenMode::Read).map_err(|error| failed("open", error))?;
    let len = file.len().map_err(|error| failed("read", error))?;
    copy_file(disk, file.as_ref(), len, to)
}

/// Frames are the same in both versions, and so is what lies behind the last one; the header is not.
fn copy_segment(disk: &dyn Disk, from: &Path, to: &Path, seq: u64) -> Result<(), StoreError> {
    let name = segment::file_name(seq);
    let found = scan::load(disk, from, seq, &mut RecoveryReport::default())?;
    let header = found.header.expect("recovery has read it");
    let path = to.join(&name);
    copy_file(disk, found.file.as_ref(), found.len, &path)?;
    if has_bug("migrated in place") {
        put_header(disk, &from.join(&name), &header)?;
    }
    put_header(disk, &path, &header)
}

fn put_header(disk: &dyn Disk, path: &Path, header: &SegmentHeader) -> Result<(), StoreError> {
    let failed = |op, error| StoreError::io(op, path, error);
    let file = disk.open(path, OpenMode::ReadWrite).map_err(|error| failed("open", error))?;
    for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
        write_all_at(file.as_ref(), &header.encode(copy as u16), offset)
            .map_err(|error| failed("write to", error))?;
    }
    file.sync_data().map_err(|error| failed("sync", error))
}
