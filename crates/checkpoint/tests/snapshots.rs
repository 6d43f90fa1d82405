//! With its snapshots a store knows what it knows without them: nothing less, nothing more, only sooner.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, Counts, Disk, DoneOrdinals, JobStore, KeyRef, Lookup, Note, OpenLease, RealDisk, Store,
    StoreError, StoreOptions,
};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Identities, KeyTable, Keying, OutcomeKind};
use cofferdam_testkit::{Fault, FaultPlan, SimDisk};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{JOB, Model, entries, lease, limits, open_store, spec};

const KEYS: u64 = 60;

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("key {n}").into_bytes()
}

fn print(n: u64) -> Option<Fingerprint> {
    Some(Fingerprint(u128::from(n + 1).to_le_bytes()))
}

fn snapshots(disk: &SimDisk) -> Vec<PathBuf> {
    let is_snapshot = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("snap-");
    let mut found: Vec<_> = disk.files().into_iter().filter(is_snapshot).collect();
    found.sort();
    found
}

/// Everything that a job tells about what was done.
#[derive(Debug, PartialEq)]
struct Knowledge {
    counts: Counts,
    keyed: Vec<(Lookup, Lookup)>,
    ordinals: Vec<u64>,
    notes: Vec<Option<Note>>,
    states: Vec<Option<Vec<u8>>>,
    added: Vec<(Vec<u8>, Vec<u8>)>,
    leases: Vec<OpenLease>,
    outcomes: Vec<String>,
}

fn knowledge(job: &JobStore, keying: Keying) -> Knowledge {
    let names: Vec<_> = (0..KEYS).map(key).collect();
    let of = |n: u64| match keying {
        Keying::Dense => KeyRef::Ordinal(n),
        Keying::Keyed => KeyRef::Bytes(&names[n as usize]),
    };
    let state = |n| job.saved_state(of(n), None).map(|state| state.to_vec());
    let added = job.added_items().into_iter().map(|item| (item.key.to_vec(), item.content.to_vec()));
    Knowledge {
        counts: job.counts(),
        keyed: (0..KEYS).map(|n| (job.lookup(of(n), print(0)), job.lookup(of(n), print(1)))).collect(),
        ordinals: DoneOrdinals::iter(&job.done_ordinals()).collect(),
        notes: (0..KEYS).map(|n| job.prior(of(n))).collect(),
        states: (0..KEYS).map(state).collect(),
        added: added.collect(),
        leases: job.open_leases().to_vec(),
        outcomes: job.outcomes(0).map(|outcome| format!("{:?}", outcome.unwrap())).collect(),
    }
}

fn commit(job: &JobStore, keying: Keying, random: &mut Random) {
    let n = random.below(KEYS);
    let committed = match (keying, random.below(3)) {
        (Keying::Keyed, 0) => {
            let what = Evidence { kind: "panic".into(), ..Evidence::default() };
            let name = key(n);
            let batch =
                Batch::set_aside(KeyRef::Bytes(&name), print(random.below(3)), OutcomeKind::Failed, 1, &what);
            job.commit(batch.unwrap())
        }
        (Keying::Keyed, _) => {
            let names = [key(n), key((n + 1) % KEYS)];
            let prints = [print(random.below(3)), print(random.below(3))];
            let items = names.iter().map(Vec::as_slice).zip(prints);
            job.commit(Batch::completed_keyed(items, 1, &entries(&[b"one", b"two"])).unwrap())
        }
        (Keying::Dense, _) => {
            let count = random.below(4).min(KEYS - n - 1) as u32 + 1;
            let outputs = vec![&b"output"[..]; count as usize];
            job.commit(Batch::completed_dense(n, count, 1, &entries(&outputs)).unwrap())
        }
    };
    assert!(matches!(committed, Ok(_) | Err(StoreError::AlreadyDone(_))), "{committed:?}");
}

fn step(job: &JobStore, keying: Keying, random: &mut Random, turn: u32) {
    let n = random.below(KEYS);
    let name = key(n);
    let of = match keying {
        Keying::Dense => KeyRef::Ordinal(n),
        Keying::Keyed => KeyRef::Bytes(&name),
    };
    let is_open = job.lookup(of, None) == Lookup::New;
    match random.below(8) {
        0 if is_open => job.note(of, Note { crashes: turn, ..Note::default() }).unwrap(),
        1 if is_open => job.save_state(of, None, name.clone().into()).unwrap(),
        2 if keying == Keying::Keyed => drop(job.add_item(&name, b"content").unwrap()),
        3 => match keying {
            Keying::Dense => lease(job, turn, n..n + 3).unwrap(),
            Keying::Keyed => {
                let mut table = KeyTable::default();
                table.push(&name, print(0));
                job.lease_started(0, turn, &Identities::Keys(table), 0..1).unwrap();
            }
        },
        4 => drop(job.snapshot().unwrap()),
        _ => commit(job, keying, random),
    }
}

/// What is known after reopening with all snapshots, with the previous one alone, and with none.
fn compare(disk: &SimDisk, keying: Keying, seed: u64) {
    let open = |disk: &SimDisk| open_store(disk).unwrap().open_job(JOB).unwrap();
    let with_all = disk.after_process_end();
    let found = snapshots(&with_all);
    let job = open(&with_all);
    let report = job.recovery();
    assert_eq!(report.snapshot.is_some(), !found.is_empty(), "seed {seed}");
    assert_eq!(report.unusable_snapshots, [0u64; 0], "seed {seed}");
    let known = knowledge(&job, keying);
    let mut left = found.len();
    let fewer = disk.after_process_end();
    for path in found.iter().rev() {
        fewer.remove_file(path).unwrap();
        left -= 1;
        let job = open(&fewer.after_process_end());
        assert_eq!(job.recovery().snapshot.is_some(), left > 0, "seed {seed}");
        assert!(!job.recovery().unusable_snapshots.is_empty(), "seed {seed}");
        assert_eq!(knowledge(&job, keying), known, "seed {seed}, {left} snapshots left");
    }
}

#[test]
fn whatever_happens_a_store_knows_the_same_with_and_without_its_snapshots() {
    let mut with_two = 0;
    for seed in 0..support::proof::pick(60, 2_000, 20_000) {
        let keying = if seed % 2 == 0 { Keying::Dense } else { Keying::Keyed };
        let disk = SimDisk::new();
        let mut random = Random(seed);
        let mut job = Some(open_store(&disk).unwrap().create_job(JOB, &spec(keying)).unwrap());
        for turn in 1..=random.below(60) as u32 {
            if random.below(12) == 0 {
                drop(job.take());
                job = Some(open_store(&disk).unwrap().open_job(JOB).unwrap());
            }
            step(job.as_ref().unwrap(), keying, &mut random, turn);
        }
        if random.below(2) == 0 {
            drop(job.take());
        }
        compare(&disk, keying, seed);
        with_two += u32::from(snapshots(&disk).len() == 2);
    }
    assert!(with_two > 5, "the newest one and the one before are kept");
}

/// A dense job with a snapshot and more behind it.
fn job_with_a_snapshot(disk: &SimDisk) -> Model {
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 20).unwrap();
    job.save_state(KeyRef::Ordinal(70), None, b"page 7"[..].into()).unwrap();
    assert_eq!(job.snapshot().unwrap(), 20);
    let calls = disk.calls();
    assert_eq!(job.snapshot().unwrap(), 20);
    assert_eq!(disk.calls(), calls, "there is nothing new");
    model.commit_run(&job, 100, 20).unwrap();
    model
}

#[test]
fn an_orderly_end_leaves_a_snapshot_when_a_quarter_of_what_makes_one_due_came_since() {
    for (outcomes, expected) in [(3, 0), (8, 1)] {
        let disk = SimDisk::new();
        let options = StoreOptions { snapshot_after_bytes: 4_000, ..support::options(&disk) };
        let store = Store::open(Path::new("store"), options).unwrap();
        let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
        Model::default().commit_run(&job, 0, outcomes).unwrap();
        drop(job);
        assert_eq!(snapshots(&disk).len(), expected);
    }
}

#[test]
fn no_change_of_any_bit_of_a_snapshot_is_believed() {
    let disk = SimDisk::new();
    let model = job_with_a_snapshot(&disk);
    let path = snapshots(&disk).remove(0);
    let content = disk.peek(&path).unwrap();
    for bit in 0..content.len() * 8 {
        let image = disk.after_process_end();
        let mut changed = content.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        image.poke(&path, changed).unwrap();
        let report = Store::verify(&image, Path::new("store")).unwrap().remove(0);
        assert_eq!(report.findings.len(), 1, "bit {bit}: {report:?}");
        assert_eq!(report.findings[0].path, path);
        let job = open_store(&image).unwrap().open_job(JOB).unwrap();
        assert_eq!(
            (job.recovery().snapshot, job.recovery().unusable_snapshots),
            (None, vec![20]),
            "bit {bit}"
        );
        model.check_outcomes(&job);
        assert_eq!(job.saved_state(KeyRef::Ordinal(70), None).as_deref(), Some(&b"page 7"[..]));
    }
}

#[test]
fn a_snapshot_of_another_job_or_of_an_older_state_of_the_journal_is_not_used() {
    let disk = SimDisk::new();
    job_with_a_snapshot(&disk);
    let other = SimDisk::new();
    let model = job_with_a_snapshot(&other);
    let foreign = disk.peek(&snapshots(&disk)[0]).unwrap();
    other.poke(&snapshots(&other)[0], foreign).unwrap();
    let job = open_store(&other.after_process_end()).unwrap().open_job(JOB).unwrap();
    assert_eq!(job.recovery().unusable_snapshots, [20]);
    model.check_outcomes(&job);
}

#[test]
fn a_snapshot_that_fails_at_any_call_loses_nothing() {
    let mut failed = 0;
    for fault in [Fault::Eio, Fault::Enospc, Fault::Eintr, Fault::ShortWrite] {
        for at in 0.. {
            let disk = SimDisk::new();
            let mut model = Model { is_created: true, ..Model::default() };
            let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
            model.commit_run(&job, 0, 3).unwrap();
            job.snapshot().unwrap();
            model.commit_run(&job, 10, 3).unwrap();
            let began = disk.calls();
            disk.set_fault(Some(FaultPlan { at: began + at, for_ever: false, fault }));
            let result = job.snapshot();
            let is_over = disk.calls() <= began + at;
            failed += u32::from(result.is_err());
            if job
                .commit(Batch::completed_dense(20, 1, 1, &entries(&[&support::output(20)])).unwrap())
                .is_err()
            {
                assert!(job.reopen().unwrap().renewed);
                model.commit_run(&job, 20, 1).unwrap();
            } else {
                model.submitted.insert(20, support::output(20));
                model.acknowledged.insert(20, support::output(20));
            }
            model.commit_run(&job, 30, 1).unwrap();
            assert_eq!(job.snapshot().unwrap(), 8, "the next one does it");
            model.check_outcomes(&job);
            drop(job);
            model.check(&disk.after_process_end());
            if is_over {
                break;
            }
        }
    }
    assert!(failed > 10);
}

/// Commits, submits without waiting, and writes a snapshot, on a machine that stops before call `at`.
fn snapshot_of_what_is_submitted(disk: &SimDisk, at: u64) -> Model {
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    let began = disk.calls();
    disk.crash_at(began.saturating_add(at));
    model.submitted.insert(10, support::output(10));
    let submitted = job.submit(Batch::completed_dense(10, 1, 1, &entries(&[&support::output(10)])).unwrap());
    submitted.unwrap();
    if job.snapshot().is_ok() {
        model.acknowledged.insert(10, support::output(10));
    }
    model
}

#[test]
fn a_snapshot_never_knows_more_than_the_journal() {
    let whole = SimDisk::new();
    snapshot_of_what_is_submitted(&whole, u64::MAX);
    let mut used = 0;
    for at in 0..whole.calls() {
        let disk = SimDisk::new();
        let model = snapshot_of_what_is_submitted(&disk, at);
        for image in disk.after_power_cut(limits(64, at)) {
            model.check(&image);
            used +=
                u32::from(open_store(&image).unwrap().open_job(JOB).unwrap().recovery().snapshot.is_some());
        }
        model.check(&disk.after_process_end());
    }
    assert!(used > 0);
}

fn has_snapshot(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().map(Result::unwrap).any(|entry| {
        let is_snapshot = entry.file_name().to_string_lossy().starts_with("snap-0");
        is_snapshot || (entry.file_type().unwrap().is_dir() && has_snapshot(&entry.path()))
    })
}

#[test]
fn snapshots_come_by_themselves_and_hold_nobody_up() {
    const BATCHES: u64 = 400;
    const THREADS: u64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        accept_weak_file_system: true,
        durability: cofferdam_checkpoint::Durability::Process,
        snapshot_after_bytes: 64 << 10,
        ..StoreOptions::default()
    };
    let job = Store::open(dir.path(), options()).unwrap().create_job(JOB, &spec(Keying::Keyed)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let job = &job;
            scope.spawn(move || {
                for n in 0..BATCHES {
                    let names = [key(thread * 1_000_000 + n), key(n % 50)];
                    let items =
                        [(names[0].as_slice(), print(0)), (names[1].as_slice(), print(n * THREADS + thread))];
                    let outputs = entries(&[&[7; 200], b"again"]);
                    let batch = Batch::completed_keyed(items, 1, &outputs).unwrap();
                    // Two threads may have the same input for the shared key.
                    if !matches!(job.commit(batch), Ok(_) | Err(StoreError::AlreadyDone(_))) {
                        panic!("a commit failed");
                    }
                }
            });
        }
    });
    let counts = job.counts();
    // Not only at the end: what was written is worth several.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !has_snapshot(dir.path()) {
        assert!(Instant::now() < deadline, "none comes");
        std::thread::yield_now();
    }
    drop(job);
    let job = Store::open(dir.path(), options()).unwrap().open_job(JOB).unwrap();
    let report = job.recovery();
    assert!(report.snapshot.is_some() && report.unusable_snapshots.is_empty(), "{report:?}");
    assert_eq!(job.counts(), counts);
    assert_eq!(job.outcomes(0).map(Result::unwrap).count() as u64, counts.total());
    let verified = Store::verify(&RealDisk, dir.path()).unwrap().remove(0);
    assert!(verified.is_intact(), "{verified:?}");
    assert_eq!(Store::open(dir.path(), options()).unwrap().read_job(JOB).unwrap().counts(), counts);
}
