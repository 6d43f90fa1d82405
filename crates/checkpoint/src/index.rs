//! What the store knows without reading: which items have an outcome, and what is known against the others.

use crate::added::{Added, Kept};
use crate::format::record::{Item, LeaseItems, Record};
use crate::limits::LEASES_PER_WORKER_MAX;
use crate::seeded::has_bug;
use crate::states::SavedStates;
use crate::{Counts, KeyRef, Lookup, Note, OpenLease};
use cofferdam_pipeline_core::{Fingerprint, OutcomeKind, SavedState};
use hashbrown::HashTable;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap, VecDeque};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The done set, the keyed index, notes and counts.
#[derive(Debug)]
pub(crate) struct Index {
    seed: u64,
    done: RoaringTreemap,
    keyed: HashTable<Entry>,
    notes: HashMap<KeyId, Note>,
    states: SavedStates,
    pub(crate) counts: Counts,
    /// The last leases of each worker of the last session.
    leases: BTreeMap<u32, VecDeque<RawLease>>,
    leases_epoch: u64,
    added: Added,
}

/// 32 bytes for each keyed item, plus a byte and the slack of the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: [u64; 2],
    /// lsn, then a bit for "added", one for "seen in this pass", then two for the outcome's kind.
    lsn_and_flags: u64,
    /// 0 for none.
    fingerprint: u64,
}

const FLAG_SEEN: u64 = 0b100;
/// It was added to the job: no source has it, and it is not gone for that.
const FLAG_ADDED: u64 = 0b1000;
const KIND_MASK: u64 = 0b011;
const LSN_SHIFT: u32 = 8;

/// An item, as small as it can be and still be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyId {
    Ordinal(u64),
    Hash([u64; 2]),
}

#[derive(Clone, Debug)]
struct RawLease {
    lease: u32,
    /// The lsn that came next when it was started: older outcomes of its keys are of another input.
    next_lsn: u64,
    items: Vec<OwnedLeaseItems>,
}

#[derive(Clone, Debug)]
enum OwnedLeaseItems {
    Ordinals { first: u64, count: u32 },
    Key(Box<[u8]>),
}

/// The item has an outcome for the same input.
#[derive(Debug)]
pub(crate) struct AlreadyDone;

/// How to take back what a refused batch has changed.
#[derive(Debug, Default)]
pub(crate) struct Undo {
    steps: Vec<UndoStep>,
}

#[derive(Debug)]
enum UndoStep {
    Ordinals { first: u64, count: u32, kind: OutcomeKind },
    Key { hash: [u64; 2], before: Option<Entry>, kind: OutcomeKind, added: Option<Kept> },
}

impl Index {
    /// An empty index. `seed` is secret to the job, so that nobody can prepare keys that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            done: RoaringTreemap::new(),
            keyed: HashTable::new(),
            notes: HashMap::new(),
            states: SavedStates::default(),
            counts: Counts::default(),
            leases: BTreeMap::new(),
            leases_epoch: 0,
            added: Added::default(),
        }
    }

    pub(crate) fn done_ordinals(&self) -> &RoaringTreemap {
        &self.done
    }

    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    pub(crate) fn keys_len(&self) -> usize {
        self.keyed.len()
    }

    /// Takes over a record that recovery read; `lsn` is that of its first outcome.
    pub(crate) fn apply(&mut self, record: &Record<'_>, lsn: u64) -> Result<(), AlreadyDone> {
        let mut undo = Undo::default();
        match record {
            Record::CompletedRun { first, count, .. } => self.insert_run(*first, *count, &mut undo),
            Record::Completed { item, .. } | Record::CompletedBlob { item, .. } => {
                self.insert(*item, OutcomeKind::Completed, lsn, &mut undo)
            }
            Record::SetAside { item, kind, .. } => self.insert(*item, *kind, lsn, &mut undo),
            Record::Note { key, note } => {
                self.set_note(*key, *note);
                Ok(())
            }
            Record::LeaseStarted { epoch, worker, lease, items } => {
                if *epoch > self.leases_epoch {
                    self.leases.clear();
                    self.leases_epoch = *epoch;
                }
                self.remember_lease(*worker, RawLease { lease: *lease, next_lsn: lsn, items: own(items) });
                Ok(())
            }
            Record::Added { key, content } => {
                self.add(key, content);
                Ok(())
            }
            Record::SavedState { item, state } => {
                self.set_saved_state(*item, (*state).into());
                Ok(())
            }
            Record::Other => Ok(()),
        }
    }

    /// Completed ordinals; all or nothing.
    pub(crate) fn insert_run(&mut self, first: u64, count: u32, undo: &mut Undo) -> Result<(), AlreadyDone> {
        if self.is_any_done(first, count) && !has_bug("an outcome is accepted twice") {
            return Err(AlreadyDone);
        }
        let range = first..first + u64::from(count);
        let surplus = u64::from(has_bug("the done set is off by one"));
        self.done.insert_range(range.start + surplus..range.end + surplus);
        self.counts.completed += u64::from(count);
        if !self.notes.is_empty() {
            self.notes.retain(|id, _| !matches!(id, KeyId::Ordinal(ordinal) if range.contains(ordinal)));
        }
        self.states.retain(|id| !matches!(id, KeyId::Ordinal(ordinal) if range.contains(ordinal)));
        undo.steps.push(UndoStep::Ordinals { first, count, kind: OutcomeKind::Completed });
        Ok(())
    }

    /// One outcome; supersedes that of another fingerprint.
    pub(crate) fn insert(
        &mut self,
        item: Item<'_>,
        kind: OutcomeKind,
        lsn: u64,
        undo: &mut Undo,
    ) -> Result<(), AlreadyDone> {
        let id = self.id(item.key);
        match id {
            KeyId::Ordinal(ordinal) => {
                if !self.done.insert(ordinal) {
                    return Err(AlreadyDone);
                }
                undo.steps.push(UndoStep::Ordinals { first: ordinal, count: 1, kind });
            }
            KeyId::Hash(hash) => {
                let flag = if self.added.contains(hash) { FLAG_ADDED } else { 0 };
                let before = self.insert_key(hash, item.fingerprint, kind, lsn << LSN_SHIFT | flag)?;
                let added = self.added.take(hash);
                undo.steps.push(UndoStep::Key { hash, before, kind, added });
            }
        }
        *self.counts.of(kind) += 1;
        if !self.notes.is_empty() {
            self.notes.remove(&id);
        }
        self.states.remove(id);
        Ok(())
    }

    fn insert_key(
        &mut self,
        hash: [u64; 2],
        fingerprint: Option<Fingerprint>,
        kind: OutcomeKind,
        lsn_and_added: u64,
    ) -> Result<Option<Entry>, AlreadyDone> {
        let mut entry = Entry {
            hash,
            lsn_and_flags: lsn_and_added | FLAG_SEEN | u64::from(crate::format::record::outcome_code(kind)),
            fingerprint: fold(fingerprint),
        };
        match self.keyed.find_mut(hash[0], |e| e.hash == hash) {
            Some(found)
                if is_same_input(found.fingerprint, fingerprint)
                    && !has_bug("a key with the same input is accepted twice") =>
            {
                Err(AlreadyDone)
            }
            Some(found) => {
                entry.lsn_and_flags |= found.lsn_and_flags & FLAG_ADDED;
                let before = std::mem::replace(found, entry);
                *self.counts.of(before.kind()) -= 1;
                Ok(Some(before))
            }
            None => {
                self.keyed.insert_unique(hash[0], entry, |e| e.hash[0]);
                Ok(None)
            }
        }
    }

    /// Takes back the steps, the last one first.
    pub(crate) fn undo(&mut self, undo: Undo) {
        for step in undo.steps.into_iter().rev() {
            match step {
                UndoStep::Ordinals { first, count, kind } => {
                    self.done.remove_range(first..first + u64::from(count));
                    *self.counts.of(kind) -= u64::from(count);
                }
                UndoStep::Key { hash, before, kind, added } => {
                    self.added.restore(added);
                    *self.counts.of(kind) -= 1;
                    let found = self.keyed.find_entry(hash[0], |e| e.hash == hash);
                    let mut found = found.expect("what a batch inserted is there until it is taken back");
                    match before {
                        Some(before) => {
                            *self.counts.of(before.kind()) += 1;
                            *found.get_mut() = before;
                        }
                        None => drop(found.remove()),
                    }
                }
            }
        }
    }

    pub(crate) fn lookup(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        match self.id(key) {
            KeyId::Ordinal(ordinal) if self.done.contains(ordinal) => Lookup::Done,
            KeyId::Ordinal(_) => Lookup::New,
            KeyId::Hash(hash) => match self.keyed.find(hash[0], |e| e.hash == hash) {
                None => Lookup::New,
                Some(found) if is_same_input(found.fingerprint, fingerprint) => Lookup::Done,
                Some(_) => Lookup::Changed,
            },
        }
    }

    /// Whether any ordinal of the run has an outcome.
    pub(crate) fn is_any_done(&self, first: u64, count: u32) -> bool {
        self.done.range_cardinality(first..first + u64::from(count)) != 0
    }

    /// Forgets which keys were seen.
    pub(crate) fn begin_pass(&mut self) {
        self.keyed.iter_mut().for_each(|entry| entry.lsn_and_flags &= !FLAG_SEEN);
    }

    /// Looks a key up and remembers that the source has it.
    pub(crate) fn see(&mut self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        if let KeyId::Hash(hash) = self.id(key)
            && let Some(entry) = self.keyed.find_mut(hash[0], |e| e.hash == hash)
        {
            entry.lsn_and_flags |= FLAG_SEEN;
        }
        self.lookup(key, fingerprint)
    }

    /// Keys with an outcome that were not seen since [`Self::begin_pass`].
    pub(crate) fn unseen(&self) -> u64 {
        self.keyed.iter().filter(|entry| entry.is_gone()).count() as u64
    }

    /// Keys with an outcome that were added to the job and not seen since [`Self::begin_pass`].
    pub(crate) fn added_unseen(&self) -> u64 {
        let flags = |entry: &&Entry| entry.lsn_and_flags & (FLAG_SEEN | FLAG_ADDED) == FLAG_ADDED;
        self.keyed.iter().filter(flags).count() as u64
    }

    /// Whether the outcome `lsn` of `key` still counts, and whether the source still has the key.
    pub(crate) fn standing(&self, key: KeyRef<'_>, lsn: u64) -> Standing {
        let KeyId::Hash(hash) = self.id(key) else { return Standing::Current };
        match self.keyed.find(hash[0], |e| e.hash == hash) {
            Some(entry) if entry.lsn_and_flags >> LSN_SHIFT > lsn => Standing::Superseded,
            Some(entry) if entry.is_gone() => Standing::Gone,
            Some(_) | None => Standing::Current,
        }
    }

    /// Takes an item in that was added; false if it has an outcome or was added before.
    pub(crate) fn add(&mut self, key: &[u8], content: &[u8]) -> bool {
        let KeyId::Hash(hash) = self.id(KeyRef::Bytes(key)) else { return false };
        let is_done = self.keyed.find(hash[0], |entry| entry.hash == hash).is_some();
        !is_done && self.added.insert(hash, key, content)
    }

    /// It could not be written.
    pub(crate) fn forget_added(&mut self, key: &[u8]) {
        if let KeyId::Hash(hash) = self.id(KeyRef::Bytes(key)) {
            self.added.take(hash);
        }
    }

    pub(crate) fn added(&self) -> &Added {
        &self.added
    }

    pub(crate) fn note(&self, key: KeyRef<'_>) -> Option<Note> {
        if self.notes.is_empty() {
            return None;
        }
        self.notes.get(&self.id(key)).copied()
    }

    pub(crate) fn set_note(&mut self, key: KeyRef<'_>, note: Note) {
        let id = self.id(key);
        self.notes.insert(id, note);
    }

    /// What was saved for this input; a state of another one is of no use.
    pub(crate) fn saved_state(
        &self,
        key: KeyRef<'_>,
        fingerprint: Option<Fingerprint>,
    ) -> Option<SavedState> {
        if self.states.is_empty() {
            return None;
        }
        let (of, state) = self.states.get(self.id(key))?;
        is_same_input(of, fingerprint).then_some(state)
    }

    pub(crate) fn has_saved_states(&self) -> bool {
        !self.states.is_empty()
    }

    pub(crate) fn set_saved_state(&mut self, item: Item<'_>, state: SavedState) {
        let id = self.id(item.key);
        self.states.set(id, fold(item.fingerprint), state);
    }

    /// Leases of the last session, with their items that have no outcome.
    pub(crate) fn open_leases(&self) -> Vec<OpenLease> {
        let mut open = Vec::new();
        for (&worker, leases) in &self.leases {
            for raw in leases {
                let items = self.unsettled(raw);
                if !items.is_empty() {
                    open.push(OpenLease { worker, lease: raw.lease, items });
                }
            }
        }
        open
    }

    fn unsettled(&self, raw: &RawLease) -> Vec<(u32, cofferdam_pipeline_core::Key)> {
        let mut position = 0;
        let mut items = Vec::new();
        let mut push = |key: KeyRef<'_>, position: u32| {
            if !self.is_settled_since(key, raw.next_lsn) {
                items.push((position, key.to_key()));
            }
        };
        for part in &raw.items {
            match part {
                OwnedLeaseItems::Ordinals { first, count } => {
                    (0..*count).for_each(|i| push(KeyRef::Ordinal(first + u64::from(i)), position + i));
                    position += count;
                }
                OwnedLeaseItems::Key(key) => {
                    push(KeyRef::Bytes(key), position);
                    position += 1;
                }
            }
        }
        items
    }

    fn remember_lease(&mut self, worker: u32, raw: RawLease) {
        let leases = self.leases.entry(worker).or_default();
        if leases.len() == LEASES_PER_WORKER_MAX {
            leases.pop_front();
        }
        leases.push_back(raw);
    }

    fn is_settled_since(&self, key: KeyRef<'_>, next_lsn: u64) -> bool {
        match self.id(key) {
            KeyId::Ordinal(ordinal) => self.done.contains(ordinal),
            KeyId::Hash(hash) => self
                .keyed
                .find(hash[0], |e| e.hash == hash)
                .is_some_and(|entry| entry.lsn_and_flags >> LSN_SHIFT >= next_lsn),
        }
    }

    fn id(&self, key: KeyRef<'_>) -> KeyId {
        match key {
            KeyRef::Ordinal(ordinal) => KeyId::Ordinal(ordinal),
            KeyRef::Bytes(bytes) => {
                let hash = xxh3_128_with_seed(bytes, self.seed);
                KeyId::Hash([hash as u64, (hash >> 64) as u64])
            }
        }
    }
}

fn own(items: &[LeaseItems<'_>]) -> Vec<OwnedLeaseItems> {
    let own = |item: &LeaseItems<'_>| match *item {
        LeaseItems::Ordinals { first, count } => OwnedLeaseItems::Ordinals { first, count },
        LeaseItems::Key(key) => OwnedLeaseItems::Key(key.into()),
    };
    items.iter().map(own).collect()
}

/// What an outcome in the journal means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Current,
    /// A later outcome of the same key counts.
    Superseded,
    /// It counts, but the source no longer has the key.
    Gone,
}

impl Entry {
    /// The source does not have it any more.
    fn is_gone(&self) -> bool {
        self.lsn_and_flags & (FLAG_SEEN | FLAG_ADDED) == 0
    }

    fn kind(&self) -> OutcomeKind {
        match self.lsn_and_flags & KIND_MASK {
            0 => OutcomeKind::Completed,
            1 => OutcomeKind::Failed,
            2 => OutcomeKind::Quarantined,
            _ => OutcomeKind::Cancelled,
        }
    }
}

fn fold(fingerprint: Option<Fingerprint>) -> u64 {
    fingerprint.map_or(0, |f| xxh3_64(&f.0).max(1))
}

fn is_same_input(stored: u64, asked: Option<Fingerprint>) -> bool {
    asked.is_none() || stored == fold(asked)
}
