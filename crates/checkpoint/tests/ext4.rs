//! Real power cuts: an ext4 file system on a loop device is shut down without its log, mounted again, and opened; and a real
//! disk that is full. Needs root, so it is built on demand: `cargo test -p cofferdam-checkpoint --features root-tests --test ext4`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
#![cfg(target_os = "linux")]

mod support;

use cofferdam_checkpoint::{Disk, FillAhead, JobStore, RealDisk, Store, StoreError, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{Ext4, HookedDisk, Moment};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::proof::pick;
use support::{JOB, Model, spec};

/// What a file system may be told; they differ in what a power cut leaves of data that was not synced.
const MOUNT_OPTIONS: [&str; 4] = ["data=ordered", "data=writeback", "data=journal", "nodelalloc"];
/// Threads that commit, and the first ordinal of each is its number times this.
const THREADS: u64 = 4;
const ORDINALS_PER_THREAD: u64 = 1_000_000;

fn ordered_options() -> StoreOptions {
    StoreOptions { fill_ahead: FillAhead::Inline, idle_mark: Duration::MAX, ..StoreOptions::default() }
}

/// A store on a file system whose power goes at call `at`, and what it was told.
fn cut_in_the_small_job(at: u64, moment: Moment, options: &'static str) -> Model {
    let dir = tempfile::tempdir().unwrap();
    let ext4 = Ext4::create(dir.path(), options).expect("this test needs root and e2fsprogs");
    let root = ext4.root().join("store");
    let switch = ext4.switch();
    let disk = Arc::new(HookedDisk::new(RealDisk::shared(), at, moment, move || switch.cut().unwrap()));
    let mut model = Model::default();
    // Whether it could tell of the error is not the question: the last calls are those of a drop.
    let _ = model.small_job_in(&root, StoreOptions { disk: disk.clone(), ..ordered_options() });
    assert!(disk.calls() > at, "call {at} was never made");
    ext4.restart().unwrap();
    model.check_store(&Store::open(&root, StoreOptions::default()).unwrap());
    model
}

fn calls_of_the_small_job() -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let ext4 = Ext4::create(dir.path(), MOUNT_OPTIONS[0]).expect("this test needs root and e2fsprogs");
    let disk = Arc::new(HookedDisk::new(RealDisk::shared(), u64::MAX, Moment::Before, || {}));
    let options = StoreOptions { disk: disk.clone(), ..ordered_options() };
    Model::default().small_job_in(&ext4.root().join("store"), options).unwrap();
    disk.calls()
}

#[test]
fn a_real_power_cut_at_any_call_loses_nothing_and_doubles_nothing() {
    let calls = calls_of_the_small_job();
    let (mut cuts, mut in_flight) = (0, 0);
    for (turn, options) in MOUNT_OPTIONS.into_iter().enumerate().take(pick(1, 1, 4)) {
        for at in 0..calls {
            for moment in [Moment::Before, Moment::Within] {
                // Each call once with every kind of file system in a soak, in CI with one of them.
                let options = pick(MOUNT_OPTIONS[at as usize % 4], MOUNT_OPTIONS[at as usize % 4], options);
                let model = cut_in_the_small_job(at, moment, options);
                in_flight += u64::from(model.acknowledged.len() < model.submitted.len());
                cuts += 1;
            }
        }
        println!("{cuts} power cuts at {calls} calls, {in_flight} with something in flight (turn {turn})");
    }
    assert!(cuts >= 100 && in_flight > 0);
}

/// Commits until the disk fails; what it was told.
fn commit_until_the_cut(job: &JobStore, thread: u64) -> Model {
    let mut model = Model::default();
    let mut next = thread * ORDINALS_PER_THREAD;
    loop {
        let count = 1 + next % 5;
        if model.commit_run(job, next, count).is_err() {
            return model;
        }
        next += count;
    }
}

/// A store with all its threads at work, whose power goes a little after call `at` while the calls go on.
fn cut_while_threads_commit(root: &Path, ext4: &Ext4, at: u64) -> Model {
    let is_time = Arc::new(AtomicBool::new(false));
    let set = is_time.clone();
    let disk =
        HookedDisk::new(RealDisk::shared(), at, Moment::Before, move || set.store(true, Ordering::Relaxed));
    let store = Store::open(root, StoreOptions { disk: Arc::new(disk), ..StoreOptions::default() }).unwrap();
    let job = match store.open_job(JOB) {
        Ok(job) => job,
        Err(_) => store.create_job(JOB, &spec(Keying::Dense)).unwrap(),
    };
    let mut model = Model { is_created: true, ..Model::default() };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let job = &job;
                scope.spawn(move || commit_until_the_cut(job, thread))
            })
            .collect();
        while !is_time.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        (0..at * 7919 % 50_000).for_each(|_| std::hint::spin_loop());
        ext4.switch().cut().unwrap();
        for thread in threads {
            let Model { submitted, acknowledged, .. } = thread.join().unwrap();
            model.submitted.extend(submitted);
            model.acknowledged.extend(acknowledged);
        }
    });
    model
}

#[test]
fn a_real_power_cut_at_any_instant_loses_nothing_and_doubles_nothing() {
    let cuts = pick(4, 50, 2_000);
    let mut acknowledged = 0;
    for cut in 0..cuts {
        let dir = tempfile::tempdir().unwrap();
        let ext4 = Ext4::create(dir.path(), MOUNT_OPTIONS[cut as usize % 4]).unwrap();
        let root = ext4.root().join("store");
        let model = cut_while_threads_commit(&root, &ext4, 60 + cut * 37 % 400);
        ext4.restart().unwrap();
        model.check_store(&Store::open(&root, StoreOptions::default()).unwrap());
        acknowledged += model.acknowledged.len();
    }
    println!("{cuts} power cuts, {acknowledged} acknowledged outcomes");
    assert!(acknowledged > 0);
}

/// A file that leaves `len` bytes of the file system.
fn fill_up(root: &Path, len: u64) -> PathBuf {
    let ballast = root.join("ballast");
    let file = std::fs::File::create(&ballast).unwrap();
    let free = RealDisk.free(root).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free - len).unwrap();
    ballast
}

/// Commits until there is no room; the next ordinal.
fn commit_until_full(job: &JobStore, model: &mut Model) -> u64 {
    for first in (10_000..).step_by(100) {
        match model.commit_run(job, first, 100) {
            Ok(()) => {}
            Err(StoreError::NoSpace { .. }) => return first,
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("a disk has an end")
}

#[test]
fn a_real_disk_that_gets_full_keeps_its_reserve_and_the_job_ends_in_an_orderly_way() {
    for fill_ahead in [FillAhead::Background, FillAhead::Off] {
        let dir = tempfile::tempdir().unwrap();
        let ext4 = Ext4::create(dir.path(), MOUNT_OPTIONS[0]).unwrap();
        let root = ext4.root().join("store");
        let store = Store::open(&root, StoreOptions { fill_ahead, ..StoreOptions::default() }).unwrap();
        let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
        let mut model = Model { is_created: true, ..Model::default() };
        let ballast = fill_up(ext4.root(), 6 << 20);

        let next = commit_until_full(&job, &mut model);

        // The file system's own blocks come and go in between.
        let free = RealDisk.free(ext4.root()).unwrap();
        assert!(next > 10_000 && free >= (1 << 20) - (64 << 10), "{fill_ahead:?}: {free}");
        drop(job);
        std::fs::remove_file(ballast).unwrap();
        let job = store.open_job(JOB).unwrap();
        assert_eq!(job.recovery().torn, None, "{fill_ahead:?}");
        model.commit_run(&job, next, 100).unwrap();
        drop(job);
        model.check_store(&store);
    }
}

#[test]
fn a_real_disk_that_others_fill_loses_nothing_and_the_job_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let ext4 = Ext4::create(dir.path(), MOUNT_OPTIONS[0]).unwrap();
    let root = ext4.root().join("store");
    let options = StoreOptions { fill_ahead: FillAhead::Off, ..StoreOptions::default() };
    let store = Store::open(&root, options).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model { is_created: true, ..Model::default() };
    // It has asked for room, and will not ask again so soon.
    model.commit_run(&job, 0, 100).unwrap();
    let ballast = fill_up(ext4.root(), 64 << 10);

    let next = commit_until_full(&job, &mut model);

    assert!(RealDisk.free(ext4.root()).unwrap() < 64 << 10, "a write found it");
    assert!(matches!(job.reopen(), Err(StoreError::NoSpace { .. })));
    std::fs::remove_file(ballast).unwrap();
    job.reopen().unwrap();
    model.commit_run(&job, next, 100).unwrap();
    model.check_outcomes(&job);
    drop(job);
    model.check_store(&store);
}
