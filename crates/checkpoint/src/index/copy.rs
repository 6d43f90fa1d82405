//! A copy of the index as it was at one moment, and an index made from one.

use super::{FLAG_ADDED, FLAG_SEEN, Index, KIND_MASK, KeyId, RawLease};
use crate::added::Added;
use crate::format::record::{Record, records};
use crate::format::snapshot::{Other, put_other};
use crate::keyed::Entry;
use crate::seeded::has_bug;
use crate::states::SavedStates;
use crate::{Counts, Note};
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Everything but the keys, which follow with [`Index::copy_keys`].
#[derive(Debug)]
pub(crate) struct IndexCopy {
    pub(crate) done: RoaringTreemap,
    pub(crate) counts: Counts,
    pub(crate) lease_epoch: u64,
    notes: HashMap<KeyId, Note>,
    states: SavedStates,
    added: Added,
    leases: BTreeMap<u32, VecDeque<RawLease>>,
}

/// Of an entry's flags those that outlast a session.
pub(crate) const LASTING_FLAGS: u64 = KIND_MASK | FLAG_ADDED;

impl Index {
    /// Begins a copy; no outcome in it has `end_lsn` or a higher one. Takes as long as it takes to copy the done set.
    pub(crate) fn begin_copy(&mut self, end_lsn: u64) -> IndexCopy {
        self.keyed.begin_copy(end_lsn);
        IndexCopy {
            done: self.done.clone(),
            counts: self.counts,
            lease_epoch: self.leases_epoch,
            notes: self.notes.clone(),
            states: self.states.clone(),
            added: self.added.clone(),
            leases: self.leases.clone(),
        }
    }

    /// Some more keys of the copy, in order; `None` when there are no more.
    pub(crate) fn copy_keys(&mut self) -> Option<Vec<Entry>> {
        self.keyed.copy_next()
    }

    /// The copy is not wanted any more.
    pub(crate) fn end_copy(&mut self) {
        self.keyed.end_copy();
    }

    /// Makes an index of what a snapshot says of ordinals.
    pub(crate) fn with_done(&mut self, done: RoaringTreemap, counts: Counts, lease_epoch: u64) {
        self.done = done;
        self.counts = counts;
        self.leases_epoch = lease_epoch;
    }

    /// Outcomes up to `lsn` are in the snapshot that this index was made from.
    pub(crate) fn set_covered(&mut self, lsn: u64) {
        self.covered = lsn;
    }

    /// Takes the next keys of a snapshot in, those of one shard; false if they are not in order. They count as seen until a pass begins.
    pub(crate) fn fill_keys(&mut self, entries: &mut [Entry]) -> bool {
        entries.iter_mut().for_each(|entry| entry.set_flag(FLAG_SEEN, true));
        self.keyed.fill_shard(entries)
    }

    /// Takes an entry of a snapshot in; false if it makes no sense.
    pub(crate) fn take_other(&mut self, other: &Other<'_>) -> bool {
        match *other {
            Other::Note { id, note } => drop(self.notes.insert(id, note)),
            Other::State { id, fingerprint, state } => self.states.set(id, fingerprint, state.into()),
            Other::Added { key, content } => return self.add(key, content),
            Other::Lease { next_lsn, record } => {
                let Some(Ok(Record::LeaseStarted { worker, lease, .. })) = records(record).next() else {
                    return false;
                };
                self.remember_lease(worker, RawLease { lease, next_lsn, record: record.into() });
            }
        }
        true
    }

    /// An outcome that a snapshot holds already: what is known of its item before it is of no use any more.
    pub(crate) fn settle_again(&mut self, record: &Record<'_>) {
        if has_bug("an outcome that a snapshot holds leaves what is known of its item") {
            return;
        }
        match record {
            Record::CompletedRun { first, count, .. } => self.settle_run(*first..*first + u64::from(*count)),
            Record::Completed { item, .. }
            | Record::CompletedBlob { item, .. }
            | Record::CompletedFiles { item, .. }
            | Record::SetAside { item, .. } => {
                let id = self.id(item.key);
                self.settle(id);
                if let KeyId::Hash(hash) = id {
                    self.added.take(hash);
                }
            }
            _ => {}
        }
    }
}

impl IndexCopy {
    /// The last section of a snapshot.
    pub(crate) fn others(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (&id, &note) in &self.notes {
            put_other(&mut out, &Other::Note { id, note });
        }
        for (id, fingerprint, state) in self.states.iter() {
            put_other(&mut out, &Other::State { id, fingerprint, state });
        }
        for (key, content) in self.added.iter() {
            put_other(&mut out, &Other::Added { key, content });
        }
        for RawLease { next_lsn, record, .. } in self.leases.values().flatten() {
            put_other(&mut out, &Other::Lease { next_lsn: *next_lsn, record });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{Item, LeaseItems, put_lease_started};
    use crate::format::snapshot::others;
    use crate::index::Undo;
    use crate::{KeyRef, Lookup};
    use cofferdam_pipeline_core::{Fingerprint, OutcomeKind};

    fn key(n: u64) -> [u8; 8] {
        n.to_le_bytes()
    }

    fn insert(index: &mut Index, n: u64, fingerprint: u8, lsn: u64) {
        let item = Item { key: KeyRef::Bytes(&key(n)), fingerprint: Some(Fingerprint([fingerprint; 16])) };
        index.insert(item, OutcomeKind::Completed, lsn, &mut Undo::default()).unwrap();
    }

    fn lookup(index: &Index, n: u64, fingerprint: u8) -> Lookup {
        index.lookup(KeyRef::Bytes(&key(n)), Some(Fingerprint([fingerprint; 16])))
    }

    fn restored(copy: &IndexCopy, pieces: &[Vec<Entry>]) -> Index {
        let mut index = Index::new(7);
        index.with_done(copy.done.clone(), copy.counts, copy.lease_epoch);
        for piece in pieces {
            assert!(index.fill_keys(&mut piece.clone()));
        }
        let bytes = copy.others();
        assert!(others(&bytes).all(|other| index.take_other(&other.unwrap())));
        index
    }

    #[test]
    fn a_copy_is_what_was_there_when_it_began_whatever_comes_meanwhile() {
        let mut index = Index::new(7);
        (1..=5_000).for_each(|n| insert(&mut index, n, 1, n));
        let copy = index.begin_copy(5_001);
        let mut pieces = Vec::new();
        let mut lsn = 5_001;
        while let Some(piece) = index.copy_keys() {
            pieces.push(piece);
            // New keys, new inputs of old ones, and changes that are taken back.
            for n in [lsn * 3, lsn % 5_000 + 1] {
                insert(&mut index, n, 2 + (lsn % 7) as u8, lsn);
                lsn += 1;
            }
            let mut undo = Undo::default();
            let of = key(lsn % 4_999 + 1);
            let item = Item { key: KeyRef::Bytes(&of), fingerprint: Some(Fingerprint([99; 16])) };
            index.insert(item, OutcomeKind::Failed, lsn, &mut undo).unwrap();
            index.undo(undo);
        }
        assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), 5_000);
        let restored = restored(&copy, &pieces);
        assert_eq!(restored.counts.completed, 5_000);
        assert!((1..=5_000).all(|n| lookup(&restored, n, 1) == Lookup::Done));
        assert!((1..=5_000).all(|n| lookup(&restored, n, 2) == Lookup::Changed));
        assert_eq!(lookup(&restored, 5_001 * 3, 3), Lookup::New);
    }

    #[test]
    fn what_is_known_of_unsettled_items_comes_back() {
        let mut index = Index::new(7);
        let mut undo = Undo::default();
        index.insert_run(10, 5, &mut undo).unwrap();
        index.set_note(KeyRef::Ordinal(3), Note { crashes: 1, ..Note::default() });
        let item = Item { key: KeyRef::Bytes(b"film"), fingerprint: None };
        index.set_saved_state(item, b"minute 190"[..].into());
        assert!(index.add(b"new", b"content"));
        let mut record = Vec::new();
        put_lease_started(&mut record, (4, 1, 2), [LeaseItems::Ordinals { first: 13, count: 4 }].into_iter());
        index.lease_started((4, 1, 2), 6, &record);

        let copy = index.begin_copy(6);
        let restored = restored(&copy, &[]);
        assert_eq!(restored.note(KeyRef::Ordinal(3)).map(|note| note.crashes), Some(1));
        assert_eq!(restored.saved_state(KeyRef::Bytes(b"film"), None).as_deref(), Some(&b"minute 190"[..]));
        assert_eq!(restored.added().iter().collect::<Vec<_>>(), [(&b"new"[..], &b"content"[..])]);
        let open = restored.open_leases();
        assert_eq!((open.len(), open[0].items.len()), (1, 2), "13 and 14 are done");
        assert_eq!(restored.done_ordinals().len(), 5);
    }

    #[test]
    fn an_outcome_that_is_in_the_copy_ends_what_is_read_of_its_item_behind_it() {
        let mut index = Index::new(7);
        insert(&mut index, 1, 1, 1);
        index.set_note(KeyRef::Bytes(&key(1)), Note::default());
        let item = Item { key: KeyRef::Bytes(&key(1)), fingerprint: None };
        index.settle_again(&Record::Completed { item, attempts: 1, step: 0, output: b"" });
        assert!(!index.has_notes());
        assert_eq!(index.counts.completed, 1);
    }
}
