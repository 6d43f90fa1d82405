//! What a host may ask for when space matters.

use crate::journal::garbage::Effort;
use crate::{JobStore, StoreError};

/// What [`JobStore::compact`] has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    /// Outcomes that later ones superseded.
    pub outcomes: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Blobs that no outcome names any more.
    pub blobs: u64,
}

impl JobStore {
    /// Writes a snapshot and removes what no reader needs any more: outcomes that later ones superseded, settled leases and notes,
    /// blobs that no outcome names. Commits and readers go on meanwhile; blocks for as long as reading and writing take.
    ///
    /// The store does so by itself where more than half of what it holds is of that kind. Nothing goes of what was written behind
    /// the snapshot before the newest one, which stays as a backup; nor do blobs that were put in this session.
    ///
    /// # Errors
    /// Those of [`Self::snapshot`], and those of reading and writing, of which only a failed sync of the directory poisons the handle.
    pub fn compact(&self) -> Result<CompactionReport, StoreError> {
        self.snapshot()?;
        self.journal.compact(Effort::All)
    }
}
