//! Takes in what recovery reads, record by record.

use super::{AlreadyDone, Index, KeyId, Undo};
use crate::format::record::{Item, Record, put_lease_started};
use cofferdam_pipeline_core::OutcomeKind;

impl Index {
    /// Takes over a record that recovery read; `lsn` is that of its first outcome.
    pub(crate) fn apply(&mut self, record: &Record<'_>, lsn: u64) -> Result<(), AlreadyDone> {
        if record.outcomes() > 0 && lsn <= self.covered {
            self.settle_again(record);
            return Ok(());
        }
        match record {
            Record::CompletedRun { first, count, .. } => {
                let mut undo = Undo::default();
                self.insert_run(*first, *count, &mut undo)?;
                self.accept(&undo);
            }
            Record::Completed { item, .. }
            | Record::CompletedBlob { item, .. }
            | Record::CompletedFiles { item, .. } => {
                self.apply_outcome(*item, OutcomeKind::Completed, lsn)?;
            }
            Record::SetAside { item, kind, .. } => self.apply_outcome(*item, *kind, lsn)?,
            Record::Note { key, note } => self.set_note(*key, *note),
            Record::LeaseStarted { epoch, worker, lease, items } => {
                let mut record = Vec::new();
                put_lease_started(&mut record, (*epoch, *worker, *lease), items.iter().copied());
                self.lease_started((*epoch, *worker, *lease), lsn, &record);
            }
            Record::Added { key, content } => {
                self.take_in_gathered_of(key)?;
                self.add(key, content);
            }
            Record::SavedState { item, state } => self.set_saved_state(*item, (*state).into()),
            Record::Dropped { .. } | Record::Other => {}
        }
        Ok(())
    }

    fn apply_outcome(&mut self, item: Item<'_>, kind: OutcomeKind, lsn: u64) -> Result<(), AlreadyDone> {
        if self.gathered.is_some()
            && let KeyId::Hash(hash) = self.id(item.key)
        {
            return self.insert_later(hash, item.fingerprint, kind, lsn);
        }
        let mut undo = Undo::default();
        self.insert(item, kind, lsn, &mut undo)?;
        self.accept(&undo);
        Ok(())
    }
}
