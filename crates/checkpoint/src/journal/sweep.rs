//! Removes blobs that no outcome names.

use super::lead::{Journal, lock};
use crate::StoreError;
use crate::blob::{BLOBS, file_name};
use crate::error::DamageKind;
use crate::format::frame::TYPE_RECORDS;
use crate::format::record::records;
use crate::seeded::has_bug;
use std::collections::HashSet;

impl Journal {
    /// Reads the journal for the blobs that it names, and removes the others; says how many went. What was put in this session
    /// stays: its outcome may be yet to come.
    pub(super) fn sweep_blobs(&self) -> Result<u64, StoreError> {
        let dir = self.dir.join(BLOBS);
        let names = self.disk.read_dir(&dir).map_err(|error| StoreError::io("list", &dir, error))?;
        let mut unnamed: HashSet<_> = names.iter().filter_map(|name| name.to_str()).collect();
        let chain = lock(&self.chain).clone();
        for (position, link) in chain.links.iter().enumerate() {
            let tail = self.tail_of(link, chain.readable_end(position));
            tail.each(self.disk.as_ref(), |frame| {
                if frame.header.kind != TYPE_RECORDS {
                    return Ok(());
                }
                for record in records(frame.body) {
                    let malformed = |_| {
                        StoreError::corrupt(&tail.path, frame.offset, DamageKind::Records, link.first_lsn)
                    };
                    for blob in record.map_err(malformed)?.blobs() {
                        unnamed.remove(file_name(blob).as_str());
                    }
                }
                Ok(())
            })?;
        }
        let mut removed = 0;
        for name in unnamed {
            // Held for the removal: who puts the same content meanwhile does so afterwards.
            let fresh = lock(&self.compaction.fresh_blobs);
            if fresh.contains(name) && !has_bug("a sweep takes blobs whose outcomes are yet to come") {
                continue;
            }
            let path = dir.join(name);
            self.disk.remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
            removed += 1;
        }
        Ok(removed)
    }
}
