//! Reads snapshots.

use crate::StoreError;
use crate::disk::{Disk, DiskFile, OpenMode, read_exact_at};
use crate::format::head::Head;
use crate::format::snapshot::{
    FOOTER_LEN, Footer, KEY_LEN, SUM_LEN, SnapshotPlace, file_name, others, parse_file_name,
};
use crate::index::Index;
use crate::keyed::Entry;
use crate::limits::READ_CHUNK;
use crate::seeded::has_bug;
use roaring::RoaringTreemap;
use std::io;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// What a snapshot comes to.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) index: Index,
    pub(crate) place: SnapshotPlace,
    pub(crate) lsn: u64,
    pub(crate) len: u64,
}

/// The newest snapshot that HEAD vouches for, is intact and `fits` the journal; and those that should have served and did not.
pub(crate) fn restore(
    disk: &dyn Disk,
    dir: &Path,
    head: &Head,
    fits: impl Fn(&SnapshotPlace) -> bool,
) -> Result<(Option<Restored>, Vec<u64>), StoreError> {
    let mut unusable = Vec::new();
    if head.snapshot_lsn == 0 || has_bug("snapshots are not read") {
        return Ok((None, unusable));
    }
    let names = disk.read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    let mut lsns: Vec<_> = names.iter().filter_map(|name| parse_file_name(name.to_str()?)).collect();
    // Whatever is newer was never named by HEAD.
    lsns.retain(|lsn| *lsn <= head.snapshot_lsn);
    lsns.sort_unstable_by(|a, b| b.cmp(a));
    if lsns.first() != Some(&head.snapshot_lsn) {
        unusable.push(head.snapshot_lsn);
    }
    for lsn in lsns {
        // Whatever is wrong with it: the journal says the same.
        match load(disk, &dir.join(file_name(lsn)), head, lsn, &fits) {
            Ok(Some(restored)) => return Ok((Some(restored), unusable)),
            Ok(None) | Err(_) => unusable.push(lsn),
        }
    }
    Ok((None, unusable))
}

fn load(
    disk: &dyn Disk,
    path: &Path,
    head: &Head,
    lsn: u64,
    fits: impl Fn(&SnapshotPlace) -> bool,
) -> io::Result<Option<Restored>> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    let Some(footer) = footer(file.as_ref(), len)? else { return Ok(None) };
    let is_ours = footer.store == head.store && footer.job == head.job && footer.lsn == lsn;
    if !is_ours || !fits(&footer.place) {
        return Ok(None);
    }
    let mut input = Input { file: file.as_ref(), offset: 0, sum: Xxh3::new() };
    let seed = u64::from_le_bytes(*head.job.first_chunk().expect("a uuid has 16 bytes"));
    let mut index = Index::new(seed);
    // Nothing has vouched for the footer yet; the file's length bounds its keys, and nothing bounds its counts.
    index.expect(footer.keys.max(head.counts.total()));
    let Ok(done) = RoaringTreemap::deserialize_from(&*input.take(footer.ordinals_len)?) else {
        return Ok(None);
    };
    index.with_done(done, footer.counts, footer.lease_epoch);
    let mut is_sound = take_keys(&mut input, footer.keys, &mut index)?;
    let bytes = input.take(footer.others_len)?;
    is_sound &= others(&bytes).all(|other| other.is_ok_and(|other| index.take_other(&other)));
    input.take(FOOTER_LEN as u64)?;
    let is_intact = input.is_summed()? || has_bug("a snapshot's checksum is not looked at");
    index.set_covered(lsn);
    Ok((is_sound && is_intact).then_some(Restored { index, place: footer.place, lsn, len }))
}

/// The footer, if the file has the length that it says.
pub(super) fn footer(file: &dyn DiskFile, len: u64) -> io::Result<Option<Footer>> {
    let Some(at) = len.checked_sub((FOOTER_LEN + SUM_LEN) as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_LEN];
    read_exact_at(file, &mut bytes, at)?;
    Ok(Footer::decode(&bytes).ok().filter(|footer| footer.file_len() == Some(len)))
}

/// Keys of one shard come in one piece into the index; false if they are not in order.
fn take_keys(input: &mut Input<'_>, keys: u64, index: &mut Index) -> io::Result<bool> {
    const KEYS_READ: u64 = (READ_CHUNK / KEY_LEN) as u64;
    let (mut bytes, mut pending): (Vec<u8>, Vec<Entry>) = (Vec::new(), Vec::new());
    let (mut left, mut shard, mut is_sound) = (keys, 0, true);
    while left > 0 {
        input.take_into(&mut bytes, left.min(KEYS_READ) * KEY_LEN as u64)?;
        left -= left.min(KEYS_READ);
        for key in bytes.as_chunks::<KEY_LEN>().0 {
            let Some(entry) = Entry::from_bytes(key) else { return Ok(false) };
            if entry.hash().shard() != shard {
                is_sound &= index.fill_keys(&mut pending);
                pending.clear();
                shard = entry.hash().shard();
            }
            pending.push(entry);
        }
    }
    Ok(is_sound & index.fill_keys(&mut pending))
}

/// Whether the file holds what its checksum says.
pub(crate) fn is_intact(file: &dyn DiskFile, len: u64) -> io::Result<bool> {
    if footer(file, len)?.is_none() {
        return Ok(false);
    }
    let mut input = Input { file, offset: 0, sum: Xxh3::new() };
    let (end, mut bytes) = (len - SUM_LEN as u64, Vec::new());
    while input.offset < end {
        input.take_into(&mut bytes, (end - input.offset).min(READ_CHUNK as u64))?;
    }
    input.is_summed()
}

/// Reads forward and keeps the checksum.
struct Input<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    sum: Xxh3,
}

impl Input<'_> {
    /// The next bytes; the caller has checked that the file is that long.
    fn take(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take_into(&mut bytes, len)?;
        Ok(bytes)
    }

    fn take_into(&mut self, bytes: &mut Vec<u8>, len: u64) -> io::Result<()> {
        bytes.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        read_exact_at(self.file, bytes, self.offset)?;
        self.offset += len;
        self.sum.update(bytes);
        Ok(())
    }

    /// Whether the checksum that follows is that of all before.
    fn is_summed(&self) -> io::Result<bool> {
        let mut sum = [0; SUM_LEN];
        read_exact_at(self.file, &mut sum, self.offset)?;
        Ok(u128::from_le_bytes(sum) == self.sum.digest128())
    }
}

#[cfg(test)]
#[path = "restore_test.rs"]
mod tests;
