//! Threads that commit, submit and read at once.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, CommitEvent, FillAhead, JobState, JobStore, KeyRef, Lookup, Note, OutcomeBody, Store, StoreError,
    StoreOptions,
};
use cofferdam_pipeline_core::{Fingerprint, Key, Keying};
use cofferdam_testkit::{Fault, FaultPlan, PacedDisk, SimDisk, Step};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;
use support::{JOB, entries, limits, open_store, options, spec};

#[test]
fn threads_that_commit_and_submit_get_every_outcome_once_and_in_order_of_their_lsn() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(dir.path(), StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() })
            .unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let (threads, rounds) = (6u64, 40u64);
    let read = std::thread::scope(|scope| {
        for thread in 0..threads {
            let job = &job;
            scope.spawn(move || {
                for round in 0..rounds {
                    let ordinal = thread * rounds + round;
                    let outputs = entries(&[&ordinal.to_le_bytes()]);
                    let batch = Batch::completed_dense(ordinal, 1, 1, &outputs).unwrap();
                    if thread % 2 == 0 {
                        let lsn = job.commit(batch).unwrap();
                        assert!(job.durable_lsn() >= lsn);
                    } else {
                        job.submit(batch).unwrap();
                    }
                }
            });
        }
        let mut outcomes = job.outcomes(0);
        let mut read = Vec::new();
        while (read.len() as u64) < threads * rounds {
            match outcomes.next() {
                Some(outcome) => read.push(outcome.unwrap()),
                None => {
                    let _ = job.wait_durable_after(read.len() as u64, Duration::from_secs(10));
                }
            }
        }
        read
    });
    let lsns: Vec<_> = read.iter().map(|outcome| outcome.lsn).collect();
    assert_eq!(lsns, (1..=threads * rounds).collect::<Vec<_>>());
    let keys: BTreeSet<_> = read.iter().map(|outcome| outcome.key.clone()).collect();
    assert_eq!(keys, (0..threads * rounds).map(Key::Ordinal).collect());
    for outcome in read {
        let Key::Ordinal(ordinal) = outcome.key else { panic!() };
        assert_eq!(outcome.body, OutcomeBody::Output(ordinal.to_le_bytes().to_vec()));
    }
}

fn commit(job: &JobStore, ordinal: u64) -> Result<u64, StoreError> {
    job.commit(Batch::completed_dense(ordinal, 1, 1, &entries(&[b"x"])).unwrap())
}

/// A disk on which each sync of a segment waits until it is let go, while the gate is closed.
#[derive(Clone)]
struct Gate {
    is_closed: Arc<AtomicBool>,
    arrived: Arc<Mutex<mpsc::Receiver<()>>>,
    let_go: mpsc::Sender<()>,
}

impl Gate {
    fn new(disk: &SimDisk) -> (Self, PacedDisk) {
        let (arrive, arrived) = mpsc::channel();
        let (let_go, is_let_go) = mpsc::channel();
        let is_closed = Arc::new(AtomicBool::new(false));
        let (is_closed_now, is_let_go) = (is_closed.clone(), Mutex::new(is_let_go));
        let disk = PacedDisk::new(disk.shared(), move |_, step| {
            if step == Step::Sync && is_closed_now.load(Ordering::SeqCst) {
                arrive.send(()).unwrap();
                let let_go = is_let_go.lock().unwrap();
                if is_closed_now.load(Ordering::SeqCst) {
                    let_go.recv_timeout(Duration::from_secs(60)).unwrap();
                }
            }
        });
        (Self { is_closed, arrived: Arc::new(Mutex::new(arrived)), let_go }, disk)
    }

    fn wait_for_sync(&self) {
        self.arrived.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
    }

    fn syncs_within(&self, time: Duration) -> bool {
        self.arrived.lock().unwrap().recv_timeout(time).is_ok()
    }

    /// The first that waits goes on, and then all others; nobody waits after that.
    fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
        self.let_go.send(()).unwrap();
    }
}

#[test]
fn whoever_leaves_after_a_group_leaves_nobody_waiting() {
    let until_submitted = |job: &JobStore, ordinal| {
        while job.lookup(KeyRef::Ordinal(ordinal), None) == Lookup::New {
            std::thread::yield_now();
        }
    };
    // The journal's own thread may be faster than who comes back after the first group; not ten times.
    for _ in 0..10 {
        let sim = SimDisk::new();
        let (gate, disk) = Gate::new(&sim);
        // Or the journal's thread would look by itself, and whoever leads would have other things to do.
        let options = StoreOptions { disk: Arc::new(disk), fill_ahead: FillAhead::Off, ..options(&sim) };
        let store = Store::open(std::path::Path::new("store"), options).unwrap();
        let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
        gate.is_closed.store(true, Ordering::SeqCst);
        let (ended, has_ended) = mpsc::channel();
        std::thread::scope(|scope| {
            let commits = |ordinals: &'static [u64]| {
                let (job, ended) = (&job, ended.clone());
                scope.spawn(move || {
                    ordinals.iter().for_each(|ordinal| assert!(commit(job, *ordinal).is_ok()));
                    ended.send(()).unwrap();
                });
            };
            // The first leads a group, and then one in which the second waits; meanwhile the third comes. Then the first leaves.
            commits(&[1, 2]);
            gate.wait_for_sync();
            commits(&[3]);
            until_submitted(&job, 3);
            gate.let_go.send(()).unwrap();
            gate.wait_for_sync();
            until_submitted(&job, 2);
            commits(&[4]);
            until_submitted(&job, 4);
            gate.open();

            let all = (0..3).all(|_| has_ended.recv_timeout(Duration::from_secs(10)).is_ok());
            job.flush();
            assert!(all, "every commit ends by itself");
        });
    }
}

/// A job on a disk whose gate is open, with much in its segment that the next one leaves out.
fn gated_job() -> (SimDisk, Gate, JobStore) {
    let sim = SimDisk::new();
    let (gate, disk) = Gate::new(&sim);
    let options = StoreOptions { disk: Arc::new(disk), fill_ahead: FillAhead::Off, ..options(&sim) };
    let store = Store::open(std::path::Path::new("store"), options).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    for crashes in 0..100 {
        job.note(KeyRef::Ordinal(7), Note { crashes, ..Note::default() }).unwrap();
    }
    (sim, gate, job)
}

/// Another thread commits an outcome, and the job fails before the disk has it.
fn fail_beside_a_group<'scope>(
    scope: &'scope Scope<'scope, '_>,
    (disk, gate): (&SimDisk, &Gate),
    job: &'scope JobStore,
) -> ScopedJoinHandle<'scope, Result<u64, StoreError>> {
    gate.is_closed.store(true, Ordering::SeqCst);
    let commits = scope.spawn(|| commit(job, 0));
    gate.wait_for_sync();
    disk.set_fault(Some(FaultPlan { at: disk.calls(), for_ever: false, fault: Fault::Eio }));
    job.note(KeyRef::Ordinal(9), Note::default()).unwrap_err();
    commits
}

/// Outcomes that were acknowledged are there for the next owner.
fn assert_continues_with(disk: &SimDisk, outcomes: usize) {
    let disk = disk.after_process_end();
    assert_eq!(
        open_store(&disk).unwrap().open_job(JOB).unwrap().outcomes(0).map(Result::unwrap).count(),
        outcomes
    );
}

/// Long enough for whoever does not wait for somebody else to get as far as the disk.
const MOMENT: Duration = Duration::from_millis(200);

#[test]
fn a_job_that_failed_is_opened_again_only_after_whoever_was_writing() {
    let (sim, gate, job) = gated_job();
    std::thread::scope(|scope| {
        let commits = fail_beside_a_group(scope, (&sim, &gate), &job);
        let reopens = scope.spawn(|| job.reopen());
        let is_beside = gate.syncs_within(MOMENT);
        gate.open();
        assert!(!is_beside, "the journal is continued while a group is written");
        assert_eq!(commits.join().unwrap().unwrap(), 1);
        assert_eq!(reopens.join().unwrap().unwrap().durable_through, 1);
    });
    commit(&job, 1).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    assert_continues_with(&sim, 2);
}

#[test]
fn a_job_that_failed_is_given_up_only_after_whoever_was_writing() {
    let (sim, gate, job) = gated_job();
    std::thread::scope(|scope| {
        let commits = fail_beside_a_group(scope, (&sim, &gate), &job);
        let (ended, has_ended) = mpsc::channel();
        let (job, ends) = (&job, ended);
        scope.spawn(move || ends.send(job.finish(JobState::Interrupted)).unwrap());
        let is_over = has_ended.recv_timeout(MOMENT).is_ok();
        gate.open();
        assert!(!is_over, "the lock is released while a group is written");
        commits.join().unwrap().unwrap();
        has_ended.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
    });
    assert_continues_with(&sim, 1);
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let (tx, rx) = mpsc::channel();
    let seen = disk.clone();
    // The worst that a power cut could leave at the very moment of the acknowledgement.
    job.on_commit(move |event| {
        let nothing_unsynced = seen.after_power_cut(limits(0, 0)).next().unwrap();
        tx.send((event, nothing_unsynced)).unwrap();
    });
    for ordinal in 0..5 {
        let outputs = entries(&[b"x"]);
        job.submit(Batch::completed_dense(ordinal, 1, 1, &outputs).unwrap()).unwrap();
        job.flush();
        let (event, image) = rx.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(
            matches!(event, CommitEvent::Durable { through, lsn } if (through, lsn) == (ordinal + 1, ordinal + 1))
        );
        let found = open_store(&image).unwrap().open_job(JOB).unwrap().outcomes(0).count();
        assert_eq!(found as u64, ordinal + 1);
    }
}

#[test]
fn submitted_outcomes_are_durable_after_finish_and_after_drop() {
    for finishes in [true, false] {
        let disk = SimDisk::new();
        let store = open_store(&disk).unwrap();
        let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
        let outputs = entries(&[b"x"]);
        job.submit(Batch::completed_dense(0, 1, 1, &outputs).unwrap()).unwrap();
        if finishes {
            job.finish(JobState::Finished).unwrap();
            let batch = Batch::completed_dense(1, 1, 1, &outputs).unwrap();
            assert!(matches!(job.submit(batch), Err(StoreError::Closed)));
        }
        drop(job);
        let image = disk.after_power_cut(limits(0, 0)).next().unwrap();
        let state = if finishes { JobState::Finished } else { JobState::Running };
        let listed = open_store(&image).unwrap().list().unwrap();
        assert_eq!((listed[0].state, listed[0].counts.completed), (state, 1));
    }
}

#[test]
fn an_output_of_more_than_a_mebibyte_becomes_a_blob_by_itself_and_damage_to_it_is_found() {
    let disk = SimDisk::new();
    let store = Store::open(std::path::Path::new("store"), options(&disk)).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let large = vec![5u8; (1 << 20) + 1];
    let outputs = entries(&[b"a", &large, b"c"]);
    job.commit(Batch::completed_dense(0, 3, 1, &outputs).unwrap()).unwrap();
    let read: Vec<_> = job.outcomes(0).map(Result::unwrap).collect();
    assert_eq!(
        read.iter().map(|o| o.key.clone()).collect::<Vec<_>>(),
        (0..3).map(Key::Ordinal).collect::<Vec<_>>()
    );
    let OutcomeBody::Blob(blob) = read[1].body else { panic!("{:?}", read[1].body) };
    assert_eq!(job.read_blob(&blob).unwrap(), large);
    let path = disk.files().into_iter().find(|path| path.parent().unwrap().ends_with("blobs")).unwrap();
    let mut content = large;
    content[77] ^= 1;
    disk.poke(&path, content).unwrap();
    assert!(matches!(job.read_blob(&blob), Err(StoreError::BlobDamaged { .. })));
}

#[test]
fn a_batch_that_is_refused_changes_nothing() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let outputs = entries(&[b"x", b"y"]);
    job.commit(Batch::completed_dense(5, 2, 1, &outputs).unwrap()).unwrap();
    let mut batch = Batch::completed_dense(0, 2, 1, &outputs).unwrap();
    batch.append(Batch::completed_dense(6, 2, 1, &outputs).unwrap());
    assert!(matches!(job.submit(batch), Err(StoreError::AlreadyDone(Key::Ordinal(6)))));
    assert!(matches!(Batch::completed_dense(0, 3, 1, &outputs), Err(StoreError::MalformedBatch)));
    assert!(matches!(Batch::completed_dense(0, 1, 1, &outputs), Err(StoreError::MalformedBatch)));
    assert_eq!(job.commit(Batch::completed_dense(0, 2, 1, &outputs).unwrap()).unwrap(), 4);
    assert_eq!(job.done_ordinals().iter().collect::<Vec<_>>(), [0, 1, 5, 6]);
    assert_eq!(job.counts().completed, 4);
}

#[test]
fn a_key_is_taken_once_for_each_input() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Keyed)).unwrap();
    let outputs = entries(&[b"x"]);
    let batch = |print: Option<u8>| {
        let print = print.map(|print| Fingerprint([print; 16]));
        Batch::completed_keyed([(&b"k"[..], print)], 1, &outputs).unwrap()
    };
    job.commit(batch(Some(1))).unwrap();
    assert!(matches!(job.commit(batch(Some(1))), Err(StoreError::AlreadyDone(_))));
    job.commit(batch(Some(2))).unwrap();
    assert!(matches!(job.commit(batch(Some(2))), Err(StoreError::AlreadyDone(_))));
    assert_eq!((job.counts().completed, job.durable_lsn()), (1, 2));
}
