//! What each policy of syncing promises, after a power cut and without one.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{Durability, FillAhead, JobState, JobStore, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{JOB, Model, limits, options, spec};

const HOUR: Duration = Duration::from_secs(3600);
const WEAK: [Durability; 3] =
    [Durability::Every(HOUR), Durability::Adaptive { percent: 1 }, Durability::Process];
const STRONG: [Durability; 4] = [
    Durability::Power,
    Durability::EachItem,
    Durability::Every(Duration::ZERO),
    Durability::Adaptive { percent: 100 },
];

fn job(disk: &SimDisk, durability: Durability) -> JobStore {
    let options = StoreOptions { durability, ..options(disk) };
    Store::open(Path::new("store"), options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap()
}

fn commits(job: &JobStore) -> Model {
    let mut model = Model { is_created: true, ..Model::default() };
    for n in 0..12 {
        model.commit_run(job, n * 10, 2).unwrap();
    }
    model
}

#[test]
fn what_is_synced_before_it_is_acknowledged_survives_a_power_cut() {
    for durability in STRONG {
        let disk = SimDisk::new();
        let job = job(&disk, durability);
        let model = commits(&job);
        // An adaptive one may have left the very last group for the next sync.
        let is_exact = !matches!(durability, Durability::Adaptive { .. });
        assert!(
            job.sync_stats().syncs >= if is_exact { 12 } else { 1 },
            "{durability:?}: {:?}",
            job.sync_stats()
        );
        for image in disk.after_power_cut(limits(32, 1)).filter(|_| is_exact) {
            model.check(&image);
        }
    }
}

#[test]
fn what_is_synced_later_survives_every_process_and_what_a_power_cut_leaves_is_whole() {
    for durability in WEAK {
        let disk = SimDisk::new();
        let job = job(&disk, durability);
        let model = commits(&job);
        model.check(&disk.after_process_end());
        let nothing_promised = Model { acknowledged: BTreeMap::new(), ..model.clone() };
        for image in disk.after_power_cut(limits(32, 1)) {
            nothing_promised.check(&image);
        }
        job.finish(JobState::Interrupted).unwrap();
        for image in disk.after_power_cut(limits(32, 2)) {
            model.check(&image);
        }
    }
}

#[test]
fn fewer_syncs_are_what_the_weaker_policies_are_for() {
    let syncs = |durability| {
        let disk = SimDisk::new();
        let job = job(&disk, durability);
        commits(&job);
        job.sync_stats().syncs
    };
    assert!(syncs(Durability::EachItem) >= 12);
    assert_eq!(syncs(Durability::Every(HOUR)), 0);
    assert_eq!(syncs(Durability::Process), 0);
}

#[test]
fn a_pause_is_long_enough_for_what_is_to_be_synced_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        durability: Durability::Every(Duration::from_millis(20)),
        accept_weak_file_system: true,
        ..StoreOptions::default()
    };
    let job = Store::open(dir.path(), options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let before = job.sync_stats().syncs;
    Model::default().commit_run(&job, 0, 1).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while job.sync_stats().syncs == before {
        assert!(Instant::now() < deadline, "nothing was synced");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(job.sync_stats().share() <= 1.0);
}

#[test]
fn the_first_commit_starts_the_thread_that_fills_the_segment_ahead() {
    let disk = SimDisk::new();
    let ahead = StoreOptions { fill_ahead: FillAhead::Background, ..options(&disk) };
    let job = Store::open(Path::new("store"), ahead).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    Model { is_created: true, ..Model::default() }.commit_run(&job, 0, 2).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let segment = disk.files().into_iter().find(|path| path.to_string_lossy().contains("seg-")).unwrap();
    while disk.peek(&segment).unwrap().len() < 256 << 10 {
        assert!(Instant::now() < deadline, "nothing is filled");
        std::thread::yield_now();
    }
}
