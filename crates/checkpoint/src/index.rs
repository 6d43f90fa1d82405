//! What the store knows without reading: which items have an outcome, and what is known against the others.

mod apply;
pub(crate) mod copy;
mod gathered;

use self::gathered::Gathered;
use crate::added::{Added, Kept};
use crate::format::record::{Item, LeaseItems, Record, records};
use crate::keyed::{Entry, KeyHash, KeyedTable, Refused};
use crate::limits::LEASES_PER_WORKER_MAX;
use crate::seeded::has_bug;
use crate::states::SavedStates;
use crate::{Counts, KeyRef, Lookup, Note, OpenLease};
use cofferdam_pipeline_core::{Fingerprint, OutcomeKind, SavedState};
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// The done set, the keyed index, notes and counts.
#[derive(Debug)]
pub(crate) struct Index {
    seed: u64,
    done: RoaringTreemap,
    keyed: KeyedTable,
    notes: HashMap<KeyId, Note>,
    states: SavedStates,
    pub(crate) counts: Counts,
    /// The last leases of each worker of the last session.
    leases: BTreeMap<u32, VecDeque<RawLease>>,
    leases_epoch: u64,
    added: Added,
    /// Outcomes up to this lsn came with a snapshot.
    covered: u64,
    /// Outcomes with keys that were read and are not taken in yet; only while a journal is read.
    gathered: Option<Gathered>,
}

const FLAG_SEEN: u64 = 0b100;
/// It was added to the job: no source has it, and it is not gone for that.
const FLAG_ADDED: u64 = 0b1000;
const KIND_MASK: u64 = 0b011;

/// An item, as small as it can be and still be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyId {
    Ordinal(u64),
    Hash(KeyHash),
}

#[derive(Clone, Debug)]
struct RawLease {
    lease: u32,
    /// The lsn that came next when it was started: older outcomes of its keys are of another input.
    next_lsn: u64,
    /// As it is in the journal.
    record: Arc<[u8]>,
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
    Key { hash: KeyHash, before: Option<Entry>, kind: OutcomeKind, added: Option<Kept> },
}

impl Index {
    /// An empty index. `seed` is secret to the job, so that nobody can prepare keys that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            done: RoaringTreemap::new(),
            keyed: KeyedTable::default(),
            notes: HashMap::new(),
            states: SavedStates::default(),
            counts: Counts::default(),
            leases: BTreeMap::new(),
            leases_epoch: 0,
            added: Added::default(),
            covered: 0,
            gathered: None,
        }
    }

    /// Tells how many outcomes are going to come, at least.
    pub(crate) fn expect(&mut self, outcomes: u64) {
        self.keyed.expect(outcomes);
    }

    pub(crate) fn done_ordinals(&self) -> &RoaringTreemap {
        &self.done
    }

    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Whether the key has an outcome, for whatever input.
    pub(crate) fn is_known(&self, key: &[u8]) -> bool {
        self.lookup(KeyRef::Bytes(key), None) != Lookup::New
    }

    pub(crate) fn keys_len(&self) -> usize {
        self.keyed.len()
    }

    /// Completed ordinals; all or nothing. See [`Self::accept`].
    pub(crate) fn insert_run(&mut self, first: u64, count: u32, undo: &mut Undo) -> Result<(), AlreadyDone> {
        if self.is_any_done(first, count) && !has_bug("an outcome is accepted twice") {
            return Err(AlreadyDone);
        }
        let range = first..first + u64::from(count);
        let surplus = u64::from(has_bug("the done set is off by one"));
        self.done.insert_range(range.start + surplus..range.end + surplus);
        self.counts.completed += u64::from(count);
        undo.steps.push(UndoStep::Ordinals { first, count, kind: OutcomeKind::Completed });
        Ok(())
    }

    /// One outcome; supersedes that of another fingerprint. See [`Self::accept`].
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
                let flags = self.added_flag(hash) | kind_flags(kind) | FLAG_SEEN;
                let before = self.place(Entry::new(hash, lsn, flags, fold(item.fingerprint)))?;
                let added = self.added.take(hash);
                undo.steps.push(UndoStep::Key { hash, before, kind, added });
            }
        }
        *self.counts.of(kind) += 1;
        Ok(())
    }

    /// The steps will not be taken back: what only matters of items without an outcome is forgotten.
    pub(crate) fn accept(&mut self, steps: &Undo) {
        if self.notes.is_empty() && self.states.is_empty() {
            return;
        }
        for step in &steps.steps {
            match *step {
                UndoStep::Ordinals { first, count, .. } => self.settle_run(first..first + u64::from(count)),
                UndoStep::Key { hash, .. } => self.settle(KeyId::Hash(hash)),
            }
        }
    }

    /// Forgets what only matters of items without an outcome.
    fn settle(&mut self, id: KeyId) {
        if !self.notes.is_empty() {
            self.notes.remove(&id);
        }
        self.states.remove(id);
    }

    fn settle_run(&mut self, range: Range<u64>) {
        if !self.notes.is_empty() {
            self.notes.retain(|id, _| !matches!(id, KeyId::Ordinal(ordinal) if range.contains(ordinal)));
        }
        self.states.retain(|id| !matches!(id, KeyId::Ordinal(ordinal) if range.contains(ordinal)));
    }

    fn added_flag(&self, hash: KeyHash) -> u64 {
        if self.added.contains(hash) { FLAG_ADDED } else { 0 }
    }

    /// Puts an entry in unless there is one for the same input; the one that it replaces.
    fn place(&mut self, entry: Entry) -> Result<Option<Entry>, AlreadyDone> {
        let is_refused = |found: &Entry, new: &mut Entry| {
            if found.flags() & FLAG_ADDED != 0 {
                new.set_flag(FLAG_ADDED, true);
            }
            is_same_input(found.fingerprint, new.fingerprint)
                && !has_bug("a key with the same input is accepted twice")
        };
        let before = self.keyed.insert_unless(entry, is_refused).map_err(|Refused| AlreadyDone)?;
        if let Some(before) = before {
            *self.counts.of(kind_of(&before)) -= 1;
        }
        Ok(before)
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
                    match before {
                        Some(before) => {
                            *self.counts.of(kind_of(&before)) += 1;
                            self.keyed.insert(before);
                        }
                        None => drop(self.keyed.remove(hash)),
                    }
                }
            }
        }
    }

    pub(crate) fn lookup(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        match self.id(key) {
            KeyId::Ordinal(ordinal) if self.done.contains(ordinal) => Lookup::Done,
            KeyId::Ordinal(_) => Lookup::New,
            KeyId::Hash(hash) => match self.keyed.get(hash) {
                None => Lookup::New,
                Some(found) if is_same_input(found.fingerprint, fold(fingerprint)) => Lookup::Done,
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
        self.keyed.iter_mut().for_each(|entry| entry.set_flag(FLAG_SEEN, false));
    }

    /// Looks a key up and remembers that the source has it.
    pub(crate) fn see(&mut self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Lookup {
        if let KeyId::Hash(hash) = self.id(key)
            && let Some(entry) = self.keyed.get_mut(hash)
        {
            entry.set_flag(FLAG_SEEN, true);
        }
        self.lookup(key, fingerprint)
    }

    /// Keys with an outcome that were not seen since [`Self::begin_pass`].
    pub(crate) fn unseen(&self) -> u64 {
        self.keyed.iter().filter(|entry| is_gone(entry)).count() as u64
    }

    /// Keys with an outcome that were added to the job and not seen since [`Self::begin_pass`].
    pub(crate) fn added_unseen(&self) -> u64 {
        let flags = |entry: &&Entry| entry.flags() & (FLAG_SEEN | FLAG_ADDED) == FLAG_ADDED;
        self.keyed.iter().filter(flags).count() as u64
    }

    /// The lsn of the key's newest outcome; `None` for an ordinal, of which there is one at most.
    pub(crate) fn outcome_lsn(&self, key: KeyRef<'_>) -> Option<u64> {
        match self.id(key) {
            KeyId::Ordinal(_) => None,
            KeyId::Hash(hash) => self.keyed.get(hash).map(Entry::lsn),
        }
    }

    /// The lsns of the keys in one part of the table; `None` behind the last part.
    pub(crate) fn lsns_of_part(&self, part: usize) -> Option<impl Iterator<Item = u64>> {
        self.keyed.shard(part).map(|entries| entries.map(Entry::lsn))
    }

    /// The last session that leased anything.
    pub(crate) fn leases_epoch(&self) -> u64 {
        self.leases_epoch
    }

    /// Whether the outcome `lsn` of `key` still counts, and whether the source still has the key.
    pub(crate) fn standing(&self, key: KeyRef<'_>, lsn: u64) -> Standing {
        let KeyId::Hash(hash) = self.id(key) else { return Standing::Current };
        match self.keyed.get(hash) {
            Some(entry) if entry.lsn() > lsn => Standing::Superseded,
            Some(entry) if is_gone(entry) => Standing::Gone,
            Some(_) | None => Standing::Current,
        }
    }

    /// Takes an item in that was added; false if it has an outcome or was added before.
    pub(crate) fn add(&mut self, key: &[u8], content: &[u8]) -> bool {
        let KeyId::Hash(hash) = self.id(KeyRef::Bytes(key)) else { return false };
        let is_done = self.keyed.get(hash).is_some();
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
        is_same_input(of, fold(fingerprint)).then_some(state)
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
        let Some(Ok(Record::LeaseStarted { items: parts, .. })) = records(&raw.record).next() else {
            unreachable!("only such records are remembered")
        };
        for part in parts {
            match part {
                LeaseItems::Ordinals { first, count } => {
                    (0..count).for_each(|i| push(KeyRef::Ordinal(first + u64::from(i)), position + i));
                    position += count;
                }
                LeaseItems::Key(key) => {
                    push(KeyRef::Bytes(key), position);
                    position += 1;
                }
            }
        }
        items
    }

    /// A worker of the session `epoch` is about to get what `record` names; `next_lsn` comes next.
    pub(crate) fn lease_started(
        &mut self,
        (epoch, worker, lease): (u64, u32, u32),
        next_lsn: u64,
        record: &[u8],
    ) {
        if epoch > self.leases_epoch {
            self.leases.clear();
            self.leases_epoch = epoch;
        }
        self.remember_lease(worker, RawLease { lease, next_lsn, record: record.into() });
    }

    fn remember_lease(&mut self, worker: u32, raw: RawLease) {
        let leases = self.leases.entry(worker).or_default();
        // A snapshot may hold what is read again behind it.
        leases.retain(|known| known.lease != raw.lease);
        if leases.len() == LEASES_PER_WORKER_MAX {
            leases.pop_front();
        }
        leases.push_back(raw);
    }

    fn is_settled_since(&self, key: KeyRef<'_>, next_lsn: u64) -> bool {
        match self.id(key) {
            KeyId::Ordinal(ordinal) => self.done.contains(ordinal),
            KeyId::Hash(hash) => self.keyed.get(hash).is_some_and(|entry| entry.lsn() >= next_lsn),
        }
    }

    fn id(&self, key: KeyRef<'_>) -> KeyId {
        match key {
            KeyRef::Ordinal(ordinal) => KeyId::Ordinal(ordinal),
            KeyRef::Bytes(bytes) => KeyId::Hash(KeyHash::new(xxh3_128_with_seed(bytes, self.seed))),
        }
    }
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

fn kind_of(entry: &Entry) -> OutcomeKind {
    match entry.flags() & KIND_MASK {
        0 => OutcomeKind::Completed,
        1 => OutcomeKind::Failed,
        2 => OutcomeKind::Quarantined,
        _ => OutcomeKind::Cancelled,
    }
}

fn kind_flags(kind: OutcomeKind) -> u64 {
    crate::format::record::outcome_code(kind).into()
}

/// The source no longer has it, and it was not added either.
fn is_gone(entry: &Entry) -> bool {
    entry.flags() & (FLAG_SEEN | FLAG_ADDED) == 0
}

fn fold(fingerprint: Option<Fingerprint>) -> u64 {
    fingerprint.map_or(0, |f| xxh3_64(&f.0).max(1))
}

/// Both as [`fold`] makes them.
fn is_same_input(stored: u64, asked: u64) -> bool {
    asked == 0 || stored == asked
}
