//! All workloads of one to three operations: the machine stops before every disk call, and every state that this can
//! leave is opened again; then it stops inside that opening, and inside the one after that.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{JobState, JobStore, KeyRef, Note, Store, StoreError};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::ops::Range;
use support::proof::pick;
use support::{JOB, Model, lease, limits, open_store, spec};

/// What a workload does to its job. `n` numbers the operation within the workload, so that no item comes twice.
type Operation = fn(&mut Model, &mut Session, n: u64) -> Result<(), StoreError>;

/// A new operation joins here by one line, and with it all its workloads.
const OPERATIONS: &[Operation] = &[
    |model, session, n| model.commit_run(session.job(), n * 100, 3),
    |model, session, n| model.commit_run(session.job(), n * 100, 90),
    |model, session, n| model.commit_failed(session.job(), n * 100 + 7),
    |model, session, n| model.commit_blob(session.job(), n * 100 + 8),
    |model, session, n| model.commit_files(session.job(), n * 100 + 9),
    |_, session, n| lease(session.job(), n as u32, n * 100..n * 100 + 9),
    |_, session, n| session.job().note(KeyRef::Ordinal(n * 100 + 50), Note { crashes: 1, ..Note::default() }),
    |model, session, n| {
        model.commit_run(session.job(), n * 100 + 60, 2)?;
        session.job().snapshot().map(drop)
    },
    |_, session, _| session.open_again(JobState::Interrupted),
    |_, session, _| session.open_again(JobState::Finished),
];

/// Unsynced pages and entries of which all subsets are looked at: 2 to the power of 10.
const SUBSETS_MAX: usize = 1 << 10;
/// The same for workloads of three operations, outside a soak.
const SUBSETS_MAX_LONG: usize = 1 << 5;

struct Session {
    store: Store,
    job: Option<JobStore>,
}

impl Session {
    fn begin(disk: &SimDisk) -> Self {
        let store = open_store(disk).unwrap();
        let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
        Self { store, job: Some(job) }
    }

    fn job(&self) -> &JobStore {
        self.job.as_ref().expect("an operation that failed is the last one")
    }

    fn open_again(&mut self, state: JobState) -> Result<(), StoreError> {
        let finished = self.job().finish(state);
        self.job = None;
        finished?;
        self.job = Some(self.store.open_job(JOB)?);
        Ok(())
    }
}

/// Runs the workload with a stop before call `at`; the calls of its last operation and of the end, and what it was told.
fn run(workload: &[usize], disk: &SimDisk, at: u64) -> (Range<u64>, Model) {
    let mut session = Session::begin(disk);
    let mut model = Model { is_created: true, ..Model::default() };
    disk.crash_at(at);
    let mut began = disk.calls();
    for (&operation, n) in workload.iter().zip(1..) {
        began = disk.calls();
        if OPERATIONS[operation](&mut model, &mut session, n).is_err() {
            break;
        }
    }
    let Session { store, job } = session;
    drop(job);
    drop(store);
    (began..disk.calls() + 1, model)
}

fn workloads(len_max: u32) -> Vec<Vec<usize>> {
    let count = OPERATIONS.len();
    (1..=len_max)
        .flat_map(|len| (0..count.pow(len)).map(move |number| (number, len)))
        .map(|(number, len)| (0..len).map(|digit| number / count.pow(digit) % count).collect())
        .collect()
}

/// Every call at which the workload can stop; those of all but its last operation belong to shorter workloads.
fn stops(workload: &[usize]) -> Range<u64> {
    run(workload, &SimDisk::new(), u64::MAX).0
}

/// Power cuts in a workload, and the states that were opened after them.
fn cut_everywhere(workload: &[usize]) -> (u64, u64) {
    let (mut cuts, mut states) = (0, 0);
    let long = pick(SUBSETS_MAX_LONG, SUBSETS_MAX_LONG, SUBSETS_MAX);
    let subsets_max = if workload.len() < 3 { SUBSETS_MAX } else { long };
    for at in stops(workload) {
        let disk = SimDisk::new();
        let (_, model) = run(workload, &disk, at);
        for image in disk.after_power_cut(limits(subsets_max, at)).step_by(pick(4, 1, 1)) {
            model.check(&image);
            states += 1;
        }
        model.check(&disk.after_process_end());
        cuts += 1;
    }
    (cuts, states)
}

#[test]
fn a_power_cut_in_any_small_workload_loses_nothing_and_doubles_nothing() {
    let workloads = workloads(pick(1, 3, 3));
    let threads = std::thread::available_parallelism().unwrap().get();
    let (cuts, states) = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads)
            .map(|first| {
                let share = workloads.iter().skip(first).step_by(threads);
                scope.spawn(move || share.map(|workload| cut_everywhere(workload)).collect::<Vec<_>>())
            })
            .collect();
        let counts = shares.into_iter().flat_map(|share| share.join().unwrap());
        counts.fold((0u64, 0u64), |sum, (cuts, states)| (sum.0 + cuts, sum.1 + states))
    });
    println!("{} workloads, {cuts} power cuts, {states} states", workloads.len());
    assert!(states >= pick(500, 200_000, 200_000), "{states} states are too few");
}

/// Opens the job, with a stop before call `at`; whether that call was ever made.
fn stop_in_opening(disk: &SimDisk, at: u64) -> bool {
    disk.crash_at(at);
    // Whether it opens is not the question: what it leaves on the disk is.
    let _ = open_store(disk).and_then(|store| store.open_job(JOB).map(drop));
    disk.calls() > at
}

#[test]
fn power_cuts_inside_recoveries_of_recoveries_lose_nothing_and_double_nothing() {
    let (mut second, mut third) = (0u64, 0u64);
    let (len_max, every_cut, every_image, every_third) = pick((1, 25, 3, 41), (2, 11, 3, 11), (3, 1, 1, 3));
    let mut turn = 0usize;
    for workload in &workloads(len_max) {
        for at in stops(workload).step_by(every_cut) {
            let disk = SimDisk::new();
            let (_, model) = run(workload, &disk, at);
            for image in disk.after_power_cut(limits(4, at)).step_by(every_image) {
                for inner in 0.. {
                    let again = image.after_process_end();
                    let stopped = stop_in_opening(&again, inner);
                    for image in again.after_power_cut(limits(4, inner)).step_by(every_image) {
                        turn += 1;
                        if turn.is_multiple_of(every_third) {
                            third += stop_once_more(&image, &model, turn as u64 % 30);
                        }
                        model.check(&image);
                        second += 1;
                    }
                    if !stopped {
                        break;
                    }
                }
            }
        }
    }
    println!("{second} states at depth 2, {third} at depth 3");
    assert!(second >= pick(200, 50_000, 2_000_000), "{second} states are too few");
    assert!(third >= pick(5, 5_000, 200_000), "{third} states are too few");
}

fn stop_once_more(image: &SimDisk, model: &Model, at: u64) -> u64 {
    let disk = image.after_process_end();
    stop_in_opening(&disk, at);
    let mut states = 0;
    for image in disk.after_power_cut(limits(2, at)) {
        model.check(&image);
        states += 1;
    }
    states
}
