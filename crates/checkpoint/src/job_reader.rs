//! One job, open for reading.

use crate::disk::{Disk, DiskFile};
use crate::format::description::Description;
use crate::index::{Index, Standing};
use crate::journal::chain::Chain;
use crate::journal::recovery::{Recovered, Scope, recover};
use crate::limits::LOOKS_MAX;
use crate::outcomes::{Outcomes, View};
use crate::seeded::has_bug;
use crate::{BlobRef, Blobs, Counts, JobSpec, JobState, KeyRef, Lookup, StoreError, blob};
use cofferdam_pipeline_core::Fingerprint;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A job, open for reading beside whoever works on it.
#[derive(Debug)]
pub struct JobReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    frozen: Arc<Frozen>,
    description: Description,
    state: JobState,
}

/// A frame that was not there yet when its place was read looks like damage once a later claim is seen that it is durable. It was
/// whole before that claim was written, so it is intact when it is read again: damage is what is found twice in the same place.
fn recover_beside_a_writer(disk: &dyn Disk, dir: &Path, scope: Scope) -> Result<Recovered, StoreError> {
    let mut seen = None;
    for _ in 1..LOOKS_MAX {
        match recover(disk, dir, scope) {
            Err(StoreError::Corrupt(damage)) if seen.as_ref() != Some(&damage) => seen = Some(damage),
            Err(error) if error.is_missing_file() => {}
            decided => return decided,
        }
    }
    recover(disk, dir, scope)
}

/// A segment that replaces others counts as soon as it is whole, and says of nothing in it yet that it is durable. Until HEAD names it
/// the others are there, and say of how much of them it was.
fn recover_what_was_durable(disk: &dyn Disk, dir: &Path) -> Result<Recovered, StoreError> {
    let mut recovered = recover_beside_a_writer(disk, dir, Scope::Durable)?;
    for _ in 1..LOOKS_MAX {
        let Some(seq) = recovered.void_segment() else { break };
        if has_bug("a reader takes a segment that nothing says is durable for the journal") {
            break;
        }
        if let Ok(before) = recover_beside_a_writer(disk, dir, Scope::DurableBefore(seq)) {
            recovered = before;
            continue;
        }
        // HEAD names it by now, unless somebody put an older HEAD back.
        recovered = recover_beside_a_writer(disk, dir, Scope::Durable)?;
        if recovered.void_segment() == Some(seq) {
            break;
        }
    }
    Ok(recovered)
}

/// A journal as it was when a reader opened it.
#[derive(Debug)]
struct Frozen {
    chain: Chain,
    index: Index,
    files: HashMap<u64, Arc<dyn DiskFile>>,
}

impl JobReader {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let Recovered { index, chain, content, files, .. } = recover_what_was_durable(disk.as_ref(), dir)?;
        let (description, state) = (content.description, content.head.state);
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            frozen: Arc::new(Frozen { chain, index, files }),
            description,
            state,
        })
    }

    /// The job's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.description.name
    }

    /// What the job was made with.
    #[must_use]
    pub fn spec(&self) -> &JobSpec {
        &self.description.spec
    }

    /// Where the job stands.
    #[must_use]
    pub fn state(&self) -> JobState {
        self.state
    }

    /// Outcomes by kind, those that were known to be durable when this was opened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.frozen.index.counts
    }

    /// What is known about an item.
    #[must_use]
    pub fn lookup(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        self.frozen.index.lookup(key, fingerprint)
    }

    /// Outcomes after `after_lsn` (0 for all), in order.
    #[must_use]
    pub fn outcomes(&self, after_lsn: u64) -> Outcomes {
        Outcomes::new(self.disk.clone(), &self.dir, self.frozen.clone(), after_lsn)
    }

    /// The committed large outputs, for readers that may outlive this one.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        Blobs::of_job(&self.disk, &self.dir)
    }

    /// Reads a blob, verified against its length and hash.
    ///
    /// # Errors
    /// [`StoreError::BlobGone`] when its outcome was superseded since this was opened, and compaction has removed it;
    /// [`StoreError::BlobDamaged`] when it is not what was committed.
    pub fn read_blob(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        blob::read(self.disk.as_ref(), &self.dir, blob)
    }
}

impl View for Frozen {
    fn chain(&self) -> Chain {
        self.chain.clone()
    }

    fn progress(&self) -> (u64, u64, u64) {
        (self.chain.version, self.chain.durable_end, self.chain.durable_lsn)
    }

    fn file(&self, seq: u64) -> Option<Arc<dyn DiskFile>> {
        self.files.get(&seq).cloned()
    }

    fn standing(&self, outcomes: &[(KeyRef<'_>, u64)]) -> Vec<Standing> {
        outcomes.iter().map(|&(key, lsn)| self.index.standing(key, lsn)).collect()
    }
}
