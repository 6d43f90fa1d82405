//! A job that is driven through random operations, beside oracles that must always say the same.
#![allow(clippy::unwrap_used, missing_docs)]

pub mod map_oracle;

use crate::support::proof::pick;
use crate::support::{JOB, content_of, entries, limits, open_store, spec, with_files};
use cofferdam_checkpoint::{
    AddedItem, Batch, Counts, JobState, JobStore, KeyRef, Lookup, Note, OutcomeRecord, Store, StoreError,
};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Key, Keying, OutcomeKind, SavedState};
use cofferdam_testkit::SimDisk;
use proptest::prelude::{Just, Strategy, any};
use proptest::test_runner::{Config, TestRunner};
use proptest::{collection::vec, prop_oneof};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Nothing in here takes nearly as long.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Numbers of keys are below it, those of runs, too.
const KEYS_MAX: u8 = 32;

/// One step of a job. Numbers stand for keys and fingerprints: see [`key`] and [`print`].
#[derive(Clone, Debug)]
pub enum Op {
    /// Several outputs in one batch; whether to wait until they are durable.
    Complete {
        items: Vec<(u8, u8, u8)>,
        waits: bool,
    },
    SetAside {
        key: u8,
        print: u8,
        kind: u8,
    },
    Blob {
        key: u8,
        print: u8,
        len: u8,
    },
    Note {
        key: u8,
        crashes: u32,
    },
    SaveState {
        key: u8,
        print: u8,
        state: u8,
    },
    Add {
        key: u8,
        content: u8,
    },
    Compact,
    BeginPass,
    See {
        key: u8,
        print: u8,
    },
    /// Ends in an orderly way, and opens again.
    Close {
        finished: bool,
    },
    /// The process ends, the machine does not.
    EndProcess,
    /// One of the states that a power cut can leave.
    CutPower {
        image: u8,
    },
}

/// An outcome as an oracle keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub lsn: u64,
    pub key: Vec<u8>,
    pub print: Option<[u8; 16]>,
    pub kind: OutcomeKind,
    pub body: Vec<u8>,
}

/// What a store must say, known in another way.
pub trait Oracle {
    /// Takes outcomes in, all or none: false if one has an outcome for the same input.
    fn append(&mut self, rows: &[Row]) -> bool;
    /// A power cut took everything after `lsn`.
    fn forget_after(&mut self, lsn: u64);
    fn lookup(&self, key: &[u8], print: Option<[u8; 16]>) -> Lookup;
    /// Outcomes that no later one supersedes, in the order of their lsn.
    fn current(&self) -> Vec<Row>;
    fn counts(&self) -> Counts;
}

pub fn operations() -> impl Strategy<Value = Vec<Op>> {
    let key = 0..24u8;
    let print = 0..3u8;
    let items = vec((0..24u8, 0..3u8, any::<u8>()), 1..6);
    let op = prop_oneof![
        6 => (items, any::<bool>()).prop_map(|(items, waits)| Op::Complete { items, waits }),
        2 => (key.clone(), print.clone(), 0..3u8).prop_map(|(key, print, kind)| Op::SetAside { key, print, kind }),
        1 => (key.clone(), print.clone(), any::<u8>()).prop_map(|(key, print, len)| Op::Blob { key, print, len }),
        1 => (key.clone(), 1..9u32).prop_map(|(key, crashes)| Op::Note { key, crashes }),
        1 => (key.clone(), print.clone(), any::<u8>())
            .prop_map(|(key, print, state)| Op::SaveState { key, print, state }),
        1 => (key.clone(), any::<u8>()).prop_map(|(key, content)| Op::Add { key, content }),
        1 => Just(Op::Compact),
        1 => Just(Op::BeginPass),
        2 => (key, print).prop_map(|(key, print)| Op::See { key, print }),
        1 => any::<bool>().prop_map(|finished| Op::Close { finished }),
        1 => Just(Op::EndProcess),
        1 => any::<u8>().prop_map(|image| Op::CutPower { image }),
    ];
    vec(op, 1..30)
}

/// Plays random operations; each oracle is made anew for each of them.
pub fn play(keying: Keying, small: u32, ci: u32, soak: u32, oracles: impl Fn() -> Vec<Box<dyn Oracle>>) {
    let cases = pick(small, ci, soak);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    // The same operations in every run: a failure can be repeated. A soak takes others each time.
    let mut runner = pick(TestRunner::new, TestRunner::new, TestRunner::new)(config.clone());
    if pick(true, true, false) {
        let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
        runner = TestRunner::new_with_rng(config, rng);
    }
    let played = runner.run(&operations(), |ops| {
        let mut machine = Machine::new(keying, oracles());
        ops.iter().for_each(|op| machine.step(op));
        machine.close(JobState::Finished);
        Ok(())
    });
    played.unwrap();
    println!("{cases} cases");
}

/// Any bytes may be a key: the empty one, some that are no UTF-8, some that begin others.
fn key(number: u8) -> Vec<u8> {
    vec![number.wrapping_mul(11); usize::from(number) % 5 + usize::from(number > 0)]
}

fn print(number: u8) -> Option<[u8; 16]> {
    (number > 0).then_some([number; 16])
}

fn content(number: u8) -> Vec<u8> {
    vec![number; usize::from(number) * 3]
}

struct Machine {
    keying: Keying,
    disk: SimDisk,
    store: Store,
    job: Option<JobStore>,
    oracles: Vec<Box<dyn Oracle>>,
    next_lsn: u64,
    durable_lsn: u64,
    /// Where each batch ends that may not be durable yet: a power cut leaves all or nothing of it.
    batch_ends: BTreeSet<u64>,
    notes: BTreeMap<Vec<u8>, u32>,
    states: BTreeMap<Vec<u8>, (Option<[u8; 16]>, u8)>,
    added: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of keys with an outcome: those that this pass has come to, and those that were added to the job.
    seen: BTreeSet<Vec<u8>>,
    was_added: BTreeSet<Vec<u8>>,
}

impl Machine {
    fn new(keying: Keying, oracles: Vec<Box<dyn Oracle>>) -> Self {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        let job = Some(store.create_job(JOB, &spec(keying)).unwrap());
        Self {
            keying,
            disk,
            store,
            job,
            oracles,
            next_lsn: 1,
            durable_lsn: 0,
            batch_ends: BTreeSet::new(),
            notes: BTreeMap::new(),
            states: BTreeMap::new(),
            added: Vec::new(),
            seen: BTreeSet::new(),
            was_added: BTreeSet::new(),
        }
    }

    fn job(&self) -> &JobStore {
        self.job.as_ref().unwrap()
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Complete { ref items, waits } => self.complete(items, waits),
            Op::SetAside { key, print, kind } => self.set_aside(key, print, kind),
            Op::Blob { key, print, len } => self.blob(key, print, len),
            Op::Note { key, crashes } => self.note(key, crashes),
            Op::SaveState { key, print, state } => self.save_state(key, print, state),
            Op::Add { key, content } => self.add(key, content),
            Op::Compact => {
                self.job().compact().unwrap();
                self.all_is_durable();
            }
            Op::BeginPass => {
                self.job().begin_pass();
                self.seen.clear();
            }
            Op::See { key, print } => self.see(key, print),
            Op::Close { finished } => {
                self.close(if finished { JobState::Finished } else { JobState::Interrupted })
            }
            Op::EndProcess => self.go_on_with(self.disk.after_process_end(), true),
            Op::CutPower { image } => {
                let images: Vec<_> = self.disk.after_power_cut(limits(8, image.into())).collect();
                self.go_on_with(images[usize::from(image) % images.len()].clone(), false);
            }
        }
        self.compare_lookups();
    }

    fn item(&self, number: u8) -> Vec<u8> {
        item(self.keying, number)
    }

    fn print(&self, number: u8) -> Option<[u8; 16]> {
        match self.keying {
            Keying::Dense => None,
            Keying::Keyed => print(number),
        }
    }

    fn row(&self, number: u8, print: u8, kind: OutcomeKind, body: Vec<u8>) -> Row {
        Row { lsn: 0, key: self.item(number), print: self.print(print), kind, body }
    }

    fn complete(&mut self, items: &[(u8, u8, u8)], waits: bool) {
        // A dense batch is a run: its first item, and as many as there are.
        let first = items[0].0;
        let number = |i: usize| if self.keying == Keying::Dense { first + i as u8 } else { items[i].0 };
        let numbers: Vec<_> = (0..items.len()).map(number).collect();
        let bodies: Vec<_> = items.iter().map(|item| content(item.2)).collect();
        let rows: Vec<_> = (numbers.iter().zip(items).zip(&bodies))
            .map(|((&number, item), body)| self.row(number, item.1, OutcomeKind::Completed, body.clone()))
            .collect();
        let outputs = entries(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let batch = match self.keying {
            Keying::Dense => Batch::completed_dense(first.into(), items.len() as u32, 1, &outputs),
            Keying::Keyed => {
                let items = rows.iter().map(|row| (row.key.as_slice(), row.print.map(Fingerprint)));
                Batch::completed_keyed(items, 1, &outputs)
            }
        };
        self.put(&rows, batch.unwrap(), waits);
    }

    fn set_aside(&mut self, key: u8, print: u8, kind: u8) {
        let kind = [OutcomeKind::Failed, OutcomeKind::Quarantined, OutcomeKind::Cancelled][usize::from(kind)];
        let evidence = Evidence { kind: format!("kind {kind:?}"), ..Evidence::default() };
        let row = self.row(key, print, kind, evidence.kind.clone().into_bytes());
        let fingerprint = row.print.map(Fingerprint);
        let batch =
            Batch::set_aside(key_ref(self.keying, &row.key), fingerprint, kind, 2, &evidence).unwrap();
        self.put(std::slice::from_ref(&row), batch, true);
    }

    fn blob(&mut self, key: u8, print: u8, len: u8) {
        let row = self.row(key, print, OutcomeKind::Completed, content(len));
        let (item, print) = (key_ref(self.keying, &row.key), row.print.map(Fingerprint));
        let batch = if len.is_multiple_of(2) {
            let blob = self.job().put_blob(&row.body).unwrap();
            Batch::completed_blob(item, print, 1, blob)
        } else {
            let stored = with_files(self.job(), &row.body).unwrap();
            Batch::completed_with_files(item, print, 1, stored)
        };
        let batch = batch.unwrap();
        self.put(std::slice::from_ref(&row), batch, true);
    }

    /// Gives the store a batch, and the oracles; all of them take it, or none.
    fn put(&mut self, rows: &[Row], batch: Batch<'_>, waits: bool) {
        let mut rows = rows.to_vec();
        rows.iter_mut().zip(self.next_lsn..).for_each(|(row, lsn)| row.lsn = lsn);
        let mut taken = self.oracles.iter_mut().map(|oracle| oracle.append(&rows));
        let is_taken = taken.next().unwrap();
        assert!(taken.all(|taken| taken == is_taken), "the oracles disagree about {rows:?}");
        let result = if waits { self.job().commit(batch) } else { self.job().submit(batch) };
        match result {
            Ok(_) => assert!(is_taken, "the store took {rows:?}"),
            Err(StoreError::AlreadyDone(_)) => assert!(!is_taken, "the store refused {rows:?}"),
            Err(other) => panic!("{other}"),
        }
        if !is_taken {
            return;
        }
        self.next_lsn += rows.len() as u64;
        self.batch_ends.insert(self.next_lsn - 1);
        for row in rows {
            self.notes.remove(&row.key);
            self.states.remove(&row.key);
            if let Some(at) = self.added.iter().position(|(key, _)| *key == row.key) {
                self.added.remove(at);
                self.was_added.insert(row.key.clone());
            }
            self.seen.insert(row.key);
        }
        if waits {
            self.all_is_durable();
        }
    }

    fn all_is_durable(&mut self) {
        self.durable_lsn = self.next_lsn - 1;
        self.batch_ends.clear();
        self.compare_outcomes();
    }

    fn note(&mut self, number: u8, crashes: u32) {
        let item = self.item(number);
        if self.lookup(&item, None) == Lookup::New {
            let note = Note { crashes, ..Note::default() };
            self.job().note(key_ref(self.keying, &item), note).unwrap();
            self.notes.insert(item, crashes);
        }
    }

    fn save_state(&mut self, number: u8, print: u8, state: u8) {
        let (item, print) = (self.item(number), self.print(print));
        if self.lookup(&item, None) == Lookup::New {
            let saved: SavedState = content(state).into();
            self.job().save_state(key_ref(self.keying, &item), print.map(Fingerprint), saved).unwrap();
            self.states.insert(item, (print, state));
        }
    }

    fn add(&mut self, number: u8, what: u8) {
        if self.keying == Keying::Dense {
            return;
        }
        let item = self.item(number);
        let is_new =
            self.lookup(&item, None) == Lookup::New && self.added.iter().all(|(key, _)| *key != item);
        assert_eq!(self.job().add_item(&item, &content(what)).unwrap(), is_new);
        if is_new {
            self.added.push((item, content(what)));
        }
    }

    fn see(&mut self, number: u8, print: u8) {
        let (item, print) = (self.item(number), self.print(print));
        let said = self.job().see(key_ref(self.keying, &item), print.map(Fingerprint));
        assert_eq!(said, self.lookup(&item, print));
        if said != Lookup::New {
            self.seen.insert(item);
        }
    }

    fn lookup(&self, item: &[u8], print: Option<[u8; 16]>) -> Lookup {
        let said: Vec<_> = self.oracles.iter().map(|oracle| oracle.lookup(item, print)).collect();
        assert!(said.iter().all(|&other| other == said[0]), "the oracles disagree: {said:?}");
        said[0]
    }

    fn close(&mut self, state: JobState) {
        self.job().finish(state).unwrap();
        self.all_is_durable();
        self.job = None;
        let listed = self.store.list().unwrap();
        assert_eq!((listed[0].state, listed[0].counts), (state, self.oracles[0].counts()));
        for report in Store::verify(&self.disk, Path::new("store")).unwrap() {
            assert!(report.findings.is_empty(), "{report:?}");
        }
        self.open();
    }

    fn go_on_with(&mut self, disk: SimDisk, keeps_what_is_not_durable: bool) {
        self.job = None;
        self.store = open_store(&disk).unwrap();
        self.disk = disk;
        let before = self.added.clone();
        self.open();
        let found = owned(&self.job().added_items());
        self.added.retain(|added| found.contains(added));
        if keeps_what_is_not_durable {
            let is_kept = |(key, _): &&(Vec<u8>, Vec<u8>)| self.lookup(key, None) == Lookup::New;
            let kept: Vec<_> = before.iter().filter(is_kept).cloned().collect();
            assert_eq!(self.added, kept);
        }
        self.forget_what_need_not_be_durable();
        self.compare_outcomes();
    }

    /// Opens the job, and finds out which batches that were not acknowledged are there.
    fn open(&mut self) {
        self.job = Some(self.store.open_job(JOB).unwrap());
        let found = self.job().wait_durable_after(0, Duration::ZERO);
        assert!(found >= self.durable_lsn, "{found}, and {} was acknowledged", self.durable_lsn);
        assert!(found == self.durable_lsn || self.batch_ends.contains(&found), "{found} lies within a batch");
        self.oracles.iter_mut().for_each(|oracle| oracle.forget_after(found));
        (self.next_lsn, self.durable_lsn) = (found + 1, found);
        self.batch_ends.clear();
        // A new session begins with every key counted as seen.
        self.seen = self.oracles[0].current().into_iter().map(|row| row.key).collect();
        self.was_added.retain(|key| self.seen.contains(key));
    }

    /// Notes, saved states and added items are as the store has them: a power cut may have taken the last ones.
    fn forget_what_need_not_be_durable(&mut self) {
        let (keying, job) = (self.keying, self.job.as_ref().unwrap());
        self.notes.clear();
        for item in (0..KEYS_MAX).map(|number| item(keying, number)) {
            if let Some(note) = job.prior(key_ref(keying, &item)) {
                self.notes.insert(item, note.crashes);
            }
        }
        self.states.retain(|item, (print, state)| {
            let saved = job.saved_state(key_ref(keying, item), print.map(Fingerprint));
            saved.is_some_and(|saved| *saved == content(*state))
        });
        self.added = owned(&job.added_items());
    }

    fn compare_lookups(&self) {
        for number in 0..KEYS_MAX {
            let item = self.item(number);
            for print in (0..3).map(|print| self.print(print)) {
                let said = self.job().lookup(key_ref(self.keying, &item), print.map(Fingerprint));
                assert_eq!(said, self.lookup(&item, print), "{item:?} {print:?}");
            }
            let note = self.job().prior(key_ref(self.keying, &item)).map(|note| note.crashes);
            assert_eq!(note, self.notes.get(&item).copied(), "{item:?}");
            if let Some((print, state)) = self.states.get(&item) {
                let saved = self.job().saved_state(key_ref(self.keying, &item), print.map(Fingerprint));
                assert_eq!(saved.as_deref(), Some(content(*state).as_slice()), "{item:?}");
            }
        }
        assert_eq!(owned(&self.job().added_items()), self.added);
    }

    fn compare_outcomes(&self) {
        let job = self.job();
        if let Some(before) = self.durable_lsn.checked_sub(1) {
            assert_eq!(job.wait_durable_after(before, WAIT_MAX), self.durable_lsn);
        }
        let found: Vec<_> = job.outcomes(0).map(|outcome| row(job, outcome.unwrap())).collect();
        for oracle in &self.oracles {
            assert_eq!(found, oracle.current());
            assert_eq!(job.counts(), oracle.counts());
        }
        let gone = |row: &&Row| !self.seen.contains(&row.key) && !self.was_added.contains(&row.key);
        match self.keying {
            Keying::Dense => {
                let mut ordinals: Vec<_> = found.iter().map(|row| row.key.clone()).collect();
                ordinals.sort();
                let done = job.done_ordinals();
                let done = done.iter().map(|ordinal| ordinal.to_be_bytes().to_vec());
                assert_eq!(done.collect::<Vec<_>>(), ordinals);
            }
            Keying::Keyed => {
                assert_eq!(job.keys_len(), found.len() as u64);
                assert_eq!(job.unseen_keys(), found.iter().filter(gone).count() as u64);
                let kept: Vec<_> = found.iter().filter(|row| !gone(row)).cloned().collect();
                let without_gone = job.outcomes(0).without_gone();
                let without_gone: Vec<_> = without_gone.map(|outcome| row(job, outcome.unwrap())).collect();
                assert_eq!(without_gone, kept);
            }
        }
    }
}

/// The item's key as the oracles have it.
fn item(keying: Keying, number: u8) -> Vec<u8> {
    match keying {
        Keying::Dense => u64::from(number).to_be_bytes().to_vec(),
        Keying::Keyed => key(number),
    }
}

/// The same as the store takes it.
fn key_ref(keying: Keying, item: &[u8]) -> KeyRef<'_> {
    match keying {
        Keying::Dense => KeyRef::Ordinal(u64::from_be_bytes(item.try_into().unwrap())),
        Keying::Keyed => KeyRef::Bytes(item),
    }
}

fn owned(items: &[AddedItem]) -> Vec<(Vec<u8>, Vec<u8>)> {
    items.iter().map(|item| (item.key.to_vec(), item.content.to_vec())).collect()
}

fn row(job: &JobStore, outcome: OutcomeRecord) -> Row {
    let key = match outcome.key {
        Key::Ordinal(ordinal) => ordinal.to_be_bytes().to_vec(),
        Key::Bytes(bytes) => bytes.to_vec(),
    };
    let body = content_of(&job.blobs(), outcome.body);
    Row { lsn: outcome.lsn, key, print: outcome.fingerprint.map(|print| print.0), kind: outcome.kind, body }
}
