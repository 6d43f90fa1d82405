//! A store that an older version of the library wrote.

mod support;

use cofferdam_checkpoint::{RealDisk, Store, StoreOptions};
use cofferdam_testkit::{Behaviour, Misbehave};
use std::path::Path;
use support::{assert_complete, job, run, tasks};

cofferdam::worker_test!(workers: Misbehave);

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/checkpoint/tests/golden/v1");

/// Version control keeps no empty directories; a job has these.
fn add_empty_directories(root: &Path) {
    for job in std::fs::read_dir(root.join("jobs")).expect("the jobs") {
        let job = job.expect("a job").path();
        for name in ["blobs", "staging"] {
            std::fs::create_dir_all(job.join(name)).expect("a directory");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("an entry");
        if from.is_dir() {
            copy(&from, &to.join(name));
        } else {
            std::fs::copy(from, to.join(name)).expect("a copy");
        }
    }
}

#[test]
fn a_job_that_starts_in_a_store_of_the_version_before_migrates_it_and_keeps_its_jobs() {
    let dir = tempfile::tempdir().expect("a directory");
    copy(Path::new(GOLDEN), dir.path());
    add_empty_directories(dir.path());
    let open = || Store::open(dir.path(), StoreOptions::default()).expect("the store opens");
    let outcomes = |store: &Store| {
        let mut jobs = store.list().expect("a list");
        jobs.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |name: &[u8]| {
            let reader = store.read_job(name).expect("the job is read");
            reader.outcomes(0).map(|outcome| outcome.expect("an outcome")).collect::<Vec<_>>()
        };
        jobs.into_iter().map(|job| (of(&job.name), job.name)).collect::<Vec<_>>()
    };
    let before = outcomes(&open());

    let (done, report) = run(job(dir.path(), workers::program()), tasks(&vec![Behaviour::Echo; 20]));

    assert_complete(&report);
    assert_eq!(done.len(), 20);
    let after = outcomes(&open());
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|job| after.contains(job)), "what the older version left is all there");
    let reports = Store::verify(&RealDisk, dir.path()).expect("a report");
    assert!(reports.iter().all(|report| report.is_intact()), "{reports:?}");
    assert!(open().open_job(&before[0].1).is_ok(), "and can be gone on with");
}
