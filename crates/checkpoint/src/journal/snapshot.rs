//! Writes snapshots while outcomes are committed.
//!
//! The copy of the index begins with everything that the journal holds up to a place, and holds more: what was submitted, and
//! what is written behind that place meanwhile. So reading goes on at that place, and passes over what the copy has already.
//! A snapshot is only named once all outcomes in it are durable in the journal, which stays whole: without its snapshots it
//! says the same, more slowly.

use super::garbage::Effort;
use super::lead::{Journal, lock};
use super::restore;
use super::room;
use crate::disk::{DiskFile, OpenMode, write_all_at};
use crate::format::snapshot::{Footer, KEY_LEN, SnapshotPlace, UNFINISHED, file_name, parse_file_name};
use crate::index::copy::{IndexCopy, LASTING_FLAGS};
use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOT_CLOSE_SHARE, SNAPSHOT_WRITE};
use crate::seeded::has_bug;
use crate::{StoreError, clock};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use xxhash_rust::xxh3::Xxh3;

/// When the next snapshot is due, and who writes it.
#[derive(Debug)]
pub(crate) struct Snapshots {
    /// At least so many bytes of the journal lie between two; `u64::MAX` for none but those that are asked for.
    after_bytes: u64,
    /// Bytes of the journal that reading would begin with, after the last one.
    behind: AtomicU64,
    last_len: AtomicU64,
    is_busy: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    one_at_a_time: Mutex<()>,
}

impl Snapshots {
    /// `behind` bytes were read after the last snapshot, whose length is `last_len`.
    pub(crate) fn new(after_bytes: u64, behind: u64, last_len: u64) -> Self {
        Self {
            after_bytes,
            behind: AtomicU64::new(behind),
            last_len: AtomicU64::new(last_len),
            is_busy: AtomicBool::new(false),
            thread: Mutex::new(None),
            one_at_a_time: Mutex::new(()),
        }
    }

    pub(crate) fn appended(&self, bytes: usize) {
        self.behind.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    /// A long one is worth waiting for, but reading what came after it takes longer than reading it.
    fn interval(&self) -> u64 {
        self.after_bytes.max((self.last_len.load(Ordering::Relaxed) / 2).min(SNAPSHOT_BYTES_MAX))
    }

    pub(crate) fn is_due(&self) -> bool {
        self.behind.load(Ordering::Relaxed) >= self.interval() && !self.is_busy.load(Ordering::Relaxed)
    }

    /// At an orderly end a shorter stretch is worth one: the next opening is then fast.
    fn is_due_at_the_end(&self) -> bool {
        self.behind.load(Ordering::Relaxed) >= self.interval() / SNAPSHOT_CLOSE_SHARE
    }
}

impl Journal {
    /// Begins a snapshot in a thread of its own.
    pub(crate) fn snapshot_in_background(self: &Arc<Self>) {
        if self.snapshots.is_busy.swap(true, Ordering::Relaxed) {
            return;
        }
        self.join_snapshot();
        let journal = self.clone();
        let spawned = std::thread::Builder::new().name("cofferdam-snapshot".into()).spawn(move || {
            journal.try_snapshot();
            journal.snapshots.is_busy.store(false, Ordering::Relaxed);
        });
        match spawned {
            Ok(thread) => *lock(&self.snapshots.thread) = Some(thread),
            Err(error) => tracing::warn!(%error, "no snapshot is written: the next opening reads more"),
        }
    }

    /// Waits for the end of the snapshot that is being written.
    pub(crate) fn join_snapshot(&self) {
        let thread = lock(&self.snapshots.thread).take();
        if let Some(thread) = thread {
            thread.join().expect("the writer of snapshots turns errors into values");
        }
    }

    pub(crate) fn snapshot_at_the_end(&self) {
        self.join_snapshot();
        if self.snapshots.is_due_at_the_end() {
            self.try_snapshot();
        }
    }

    /// A snapshot that fails costs time at the next opening, and nothing else.
    fn try_snapshot(&self) {
        let began = clock::now();
        match self.snapshot() {
            Ok(lsn) => {
                tracing::info!(lsn, took = ?clock::now().duration_since(began), "a snapshot is written");
                // What is left out stays until the next snapshot.
                match self.compact(Effort::Worthwhile) {
                    Ok(gone) => tracing::info!(?gone, "what is void was left out of the journal"),
                    Err(error) => tracing::warn!(%error, "the journal is not compacted"),
                }
            }
            Err(error) => {
                self.snapshots.behind.store(0, Ordering::Relaxed);
                tracing::warn!(%error, "no snapshot is written: the next opening reads more");
            }
        }
    }

    /// Writes a snapshot and returns the last lsn in it. Blocks nobody else for longer than it takes to copy the done set, or
    /// one part in 256 of the keys.
    pub(crate) fn snapshot(&self) -> Result<u64, StoreError> {
        let _turn = lock(&self.snapshots.one_at_a_time);
        loop {
            if let Some(lsn) = self.snapshot_unless_replaced()? {
                return Ok(lsn);
            }
        }
    }

    /// `None` when the segment that it was to continue in was replaced meanwhile: that happens once a segment, when it is full.
    fn snapshot_unless_replaced(&self) -> Result<Option<u64>, StoreError> {
        let place = lock(&self.tip).appender.place();
        let appended = self.snapshots.behind.load(Ordering::Relaxed);
        let (copy, lsn) = {
            let mut state = lock(&self.state);
            state.check_failure()?;
            let end_lsn = state.next_lsn();
            let before = lock(&self.head).head.snapshot_lsn;
            if end_lsn - 1 == before {
                return Ok(Some(before));
            }
            (state.index.begin_copy(end_lsn), end_lsn - 1)
        };
        let path = self.dir.join(UNFINISHED);
        let written = self.write_snapshot(&path, &copy, |head| Footer {
            store: head.store,
            job: head.job,
            lsn,
            place,
            counts: copy.counts,
            lease_epoch: copy.lease_epoch,
            ordinals_len: 0,
            keys: 0,
            others_len: 0,
        });
        lock(&self.state).index.end_copy();
        let len = written.inspect_err(|_| drop(self.disk.remove_file(&path)))?;
        if !has_bug("a snapshot holds what is not durable") {
            self.make_durable(lsn)?;
        }
        if !self.publish(&path, lsn, &place)? {
            return Ok(None);
        }
        self.snapshots.last_len.store(len, Ordering::Relaxed);
        // One that failed meanwhile may have begun the count anew.
        self.snapshots
            .behind
            .update(Ordering::Relaxed, Ordering::Relaxed, |behind| behind.saturating_sub(appended));
        Ok(Some(lsn))
    }

    fn write_snapshot(
        &self,
        path: &Path,
        copy: &IndexCopy,
        footer: impl FnOnce(&crate::format::head::Head) -> Footer,
    ) -> Result<u64, StoreError> {
        let failed = |op, error| StoreError::io(op, path, error);
        // What an earlier attempt left; if it cannot be removed, creating it fails.
        let _ = self.disk.remove_file(path);
        let keys = lock(&self.state).index.keys_len();
        room::check(self.disk.as_ref(), path, (copy.done.serialized_size() + keys * KEY_LEN) as u64)?;
        let file = self.disk.open(path, OpenMode::CreateNew).map_err(|error| failed("create", error))?;
        let mut out = Output { file: file.as_ref(), buffer: Vec::new(), offset: 0, sum: Xxh3::new() };
        let put = |out: &mut Output<'_>, bytes: &[u8]| {
            out.put(bytes).map_err(|error| StoreError::io("write to", path, error))
        };
        let mut footer = footer(&lock(&self.head).head);
        let mut ordinals = Vec::with_capacity(copy.done.serialized_size());
        copy.done.serialize_into(&mut ordinals).expect("memory takes any bytes");
        put(&mut out, &ordinals)?;
        footer.ordinals_len = ordinals.len() as u64;
        drop(ordinals);
        let mut bytes = Vec::new();
        loop {
            let entries = {
                let mut state = lock(&self.state);
                state.check_failure()?;
                state.index.copy_keys()
            };
            let Some(entries) = entries else { break };
            bytes.clear();
            entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.to_bytes(LASTING_FLAGS)));
            put(&mut out, &bytes)?;
            footer.keys += entries.len() as u64;
        }
        let others = copy.others();
        put(&mut out, &others)?;
        footer.others_len = others.len() as u64;
        put(&mut out, &footer.encode())?;
        let len = out.finish().map_err(|error| failed("write to", error))?;
        if !has_bug("a snapshot is named before it is synced") {
            file.sync_data().map_err(|error| failed("sync", error))?;
        }
        if restore::is_intact(file.as_ref(), len).map_err(|error| failed("read", error))? {
            Ok(len)
        } else {
            Err(failed("write to", std::io::Error::other("what was written does not read back")))
        }
    }

    /// Waits until the journal holds every outcome up to `lsn`, synced, and a frame that says so.
    fn make_durable(&self, lsn: u64) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        while state.durable_lsn < lsn || state.is_led {
            state.check_failure()?;
            state.flush = true;
            self.work.notify_all();
            state = self.done.wait(state);
        }
        state.check_failure()?;
        let state = self.lead_other(state, Self::write_mark);
        state.check_failure()
    }

    /// Names the snapshot, lets HEAD name it, and removes those that no slot of HEAD can name any more; not so if its segment was
    /// replaced.
    fn publish(&self, unfinished: &Path, lsn: u64, place: &SnapshotPlace) -> Result<bool, StoreError> {
        let path = self.dir.join(file_name(lsn));
        self.disk.rename(unfinished, &path).map_err(|error| StoreError::io("rename to", &path, error))?;
        if !has_bug("no directory sync after a snapshot was named") {
            self.disk.sync_dir(&self.dir).map_err(|error| StoreError::io("sync", &self.dir, error))?;
        }
        if has_bug("old snapshots go before HEAD names the new one") {
            self.remove_snapshots_but(&[lsn]);
        }
        let previous = {
            let mut head = lock(&self.head);
            if !lock(&self.chain).links.iter().any(|link| link.seq == place.seq) {
                // HEAD does not name it, so nobody reads it; the next one removes it.
                return Ok(false);
            }
            let previous = head.head.snapshot_lsn;
            let updated = head.update(|head| head.snapshot_lsn = lsn);
            drop(head);
            updated.inspect_err(|error| self.fail(error.clone()))?;
            previous
        };
        // The previous one stays as a backup.
        self.remove_snapshots_but(&[lsn, previous]);
        Ok(true)
    }

    fn remove_snapshots_but(&self, kept: &[u64]) {
        let names = self.disk.read_dir(&self.dir).unwrap_or_default();
        for name in names {
            let lsn = name.to_str().and_then(parse_file_name);
            if lsn.is_some_and(|lsn| !kept.contains(&lsn)) {
                // One that stays takes space until the next one.
                let removed = self.disk.remove_file(&self.dir.join(&name));
                tracing::debug!(?name, ?removed, "removed an old snapshot");
            }
        }
    }
}

/// Writes in large pieces and keeps the checksum.
struct Output<'a> {
    file: &'a dyn DiskFile,
    buffer: Vec<u8>,
    offset: u64,
    sum: Xxh3,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= SNAPSHOT_WRITE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        write_all_at(self.file, &self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends with the checksum; the length of the file.
    fn finish(mut self) -> std::io::Result<u64> {
        self.buffer.extend_from_slice(&self.sum.digest128().to_le_bytes());
        self.flush()?;
        Ok(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::test_file::TestFile;

    #[test]
    fn a_snapshot_is_written_in_large_pieces() {
        let file = TestFile::default();
        let mut out = Output { file: &file, buffer: Vec::new(), offset: 0, sum: Xxh3::new() };
        for _ in 0..5 {
            out.put(&[0; SNAPSHOT_WRITE / 2]).unwrap();
        }
        let (piece, rest) = (SNAPSHOT_WRITE, SNAPSHOT_WRITE / 2 + 16);
        assert_eq!(out.finish().unwrap(), (2 * piece + rest) as u64);
        assert_eq!(*lock(&file.pieces), [(0, piece), (piece as u64, piece), (2 * piece as u64, rest)]);
    }

    #[test]
    fn a_snapshot_is_due_after_its_bytes_or_half_of_a_long_one_and_earlier_at_the_end() {
        let of = |behind, last_len| Snapshots::new(1000, behind, last_len);
        assert!(!of(999, 0).is_due() && of(1000, 0).is_due());
        assert!(!of(1999, 4000).is_due() && of(2000, 4000).is_due());
        assert!(of(SNAPSHOT_BYTES_MAX, u64::MAX).is_due() && !of(SNAPSHOT_BYTES_MAX - 1, u64::MAX).is_due());
        assert!(!of(249, 0).is_due_at_the_end() && of(250, 0).is_due_at_the_end());
        let busy = of(1000, 0);
        busy.is_busy.store(true, Ordering::Relaxed);
        assert!(!busy.is_due());
        let grown = of(900, 0);
        grown.appended(100);
        assert!(grown.is_due());
    }
}
