//! A store that is opened often stays small, and what segments are replaced by says the same.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{Durability, JobState, KeyRef, Note, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::path::PathBuf;
use std::time::Duration;
use support::{JOB, Model, lease, open_store, spec};

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("seg-");
    let mut found: Vec<_> = disk.files().into_iter().filter(is_segment).collect();
    found.sort();
    found
}

#[test]
fn a_job_that_is_opened_hundreds_of_times_has_a_handful_of_segments() {
    let disk = SimDisk::new();
    let mut model = Model { is_created: true, ..Model::default() };
    drop(open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap());
    let mut most = 0;
    for n in 0..400 {
        let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
        if n % 3 != 0 {
            model.commit_run(&job, n * 50, 45).unwrap();
        }
        // Sometimes as if its owner had died.
        if n % 2 == 0 {
            job.finish(JobState::Interrupted).unwrap();
        }
        drop(job);
        most = most.max(segments(&disk).len());
    }
    assert!(most <= 12, "{most} segments");
    let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
    model.check_outcomes(&job);
    let bytes: usize = segments(&disk).iter().map(|path| disk.peek(path).unwrap().len()).sum();
    let live: usize = model.acknowledged.values().map(Vec::len).sum();
    assert!(bytes < 3 * live, "{bytes} bytes for {live}");
}

#[test]
fn what_is_known_of_unsettled_items_survives_and_what_is_void_goes() {
    let disk = SimDisk::new();
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    for page in 0..40u32 {
        job.save_state(KeyRef::Ordinal(10), None, vec![page as u8; 1000].into()).unwrap();
        job.save_state(KeyRef::Ordinal(20), None, vec![page as u8; 1000].into()).unwrap();
        job.note(KeyRef::Ordinal(11), Note { crashes: page, ..Note::default() }).unwrap();
        lease(&job, page, u64::from(page) + 100..u64::from(page) + 103).unwrap();
    }
    model.commit_run(&job, 20, 1).unwrap();
    let disk = disk.after_process_end();
    let before = disk.peek(&segments(&disk)[0]).unwrap().iter().filter(|byte| **byte != 0).count();
    let mut open = None;
    for _ in 0..3 {
        let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
        assert_eq!(job.saved_state(KeyRef::Ordinal(10), None).as_deref(), Some(&[39; 1000][..]));
        assert_eq!(job.saved_state(KeyRef::Ordinal(20), None), None);
        assert_eq!(job.prior(KeyRef::Ordinal(11)).map(|note| note.crashes), Some(39));
        let leases = job.open_leases().to_vec();
        assert_eq!(leases.len(), 16);
        assert_eq!(*open.get_or_insert(leases.clone()), leases);
        model.check_outcomes(&job);
    }
    assert_eq!(segments(&disk).len(), 1);
    let after = disk.peek(&segments(&disk)[0]).unwrap().iter().filter(|byte| **byte != 0).count();
    assert!(after * 10 < before, "{before} bytes before, {after} after");
}

/// A film of four hours saves where it is all the time, and has no outcome before its end.
#[test]
fn a_full_segment_of_saved_states_is_replaced_by_what_counts_of_it() {
    const STATE_LEN: usize = 1 << 20;
    let states = support::proof::pick(20, 300, 5_000);
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        accept_weak_file_system: true,
        durability: Durability::Process,
        idle_mark: Duration::from_millis(1),
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options()).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model::default();
    model.commit_run(&job, 0, 30).unwrap();
    job.snapshot().unwrap();
    let mut state = vec![0; STATE_LEN];
    for n in 0..states {
        state[0] = n as u8;
        job.save_state(KeyRef::Ordinal(100), None, state.clone().into()).unwrap();
        // As often as marks come; the driver is far slower.
        std::thread::sleep(Duration::from_micros(200));
    }
    model.commit_run(&job, 200, 1).unwrap();
    drop(job);
    let job = store.open_job(JOB).unwrap();
    model.check_outcomes(&job);
    assert_eq!(job.saved_state(KeyRef::Ordinal(100), None).map(|state| state[0]), Some((states - 1) as u8));
    assert_eq!(job.recovery().unusable_snapshots, [0u64; 0], "the snapshot's segment was not replaced");
    let jobs = std::fs::read_dir(dir.path().join("jobs-2")).unwrap().map(|entry| entry.unwrap().path());
    let files = jobs.flat_map(|job| std::fs::read_dir(job).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 290 << 20, "{bytes} bytes");
}

#[test]
fn a_torn_end_is_not_replaced() {
    let disk = SimDisk::new();
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    let disk = disk.after_process_end();
    let path = segments(&disk).remove(0);
    let mut content = disk.peek(&path).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    content[end..end + 90].fill(0xa5);
    disk.poke(&path, content.clone()).unwrap();
    drop(open_store(&disk).unwrap().open_job(JOB).unwrap());
    assert_eq!(disk.peek(&path).unwrap(), content);
}

#[test]
fn a_reader_that_came_before_goes_on_when_its_segments_are_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        accept_weak_file_system: true,
        durability: Durability::Process,
        ..StoreOptions::default()
    };
    let store = Store::open(dir.path(), options()).unwrap();
    let mut model = Model::default();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 30).unwrap();
    drop(job);
    let reader = store.read_job(JOB).unwrap();
    let mut outcomes = reader.outcomes(0);
    let job = store.open_job(JOB).unwrap();
    let verified = Store::verify(&cofferdam_checkpoint::RealDisk, dir.path()).unwrap().remove(0);
    assert!(verified.is_intact(), "{verified:?}");
    assert_eq!(outcomes.by_ref().map(Result::unwrap).count(), 30);
    assert_eq!(reader.outcomes(0).map(Result::unwrap).count(), 30);
    model.check_outcomes(&job);
}
