//! Who has a job open, who had, and what they were doing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, CommitEvent, JobState, KeyRef, Note, OpenLease, Store, StoreError, StoreOptions, WorkerEntry,
};
use cofferdam_pipeline_core::{Identities, Key, KeyTable, Keying};
use cofferdam_testkit::SimDisk;
use std::sync::mpsc;
use std::time::Duration;
use support::{JOB, Model, entries, lease, open_store, spec};

fn real_options() -> StoreOptions {
    StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() }
}

#[test]
fn a_job_that_is_open_is_refused_with_the_name_of_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), real_options()).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let other = Store::open(dir.path(), real_options()).unwrap();
    match other.open_job(JOB) {
        Err(StoreError::Locked(owner)) => {
            assert_eq!(owner.pid, std::process::id());
            assert!(owner.is_alive_here());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(other.delete(JOB), Err(StoreError::Locked(_))));
    assert!(matches!(other.create_job(JOB, &spec(Keying::Dense)), Err(StoreError::JobExists)));
    assert_eq!(other.read_job(JOB).unwrap().counts().total(), 0);
    drop(job);
    other.open_job(JOB).unwrap();
}

#[test]
fn a_reused_pid_is_not_taken_for_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), real_options()).unwrap();
    drop(store.create_job(JOB, &spec(Keying::Dense)).unwrap());
    let job = store.open_job(JOB).unwrap();
    let mut owner = job.previous_owner().unwrap().clone();
    assert!(owner.is_alive_here(), "it was this very process");
    // Another process under the same pid started at another time.
    owner.start_time += 1;
    assert!(!owner.is_alive_here());
    owner.boot = "another".into();
    assert!(!owner.is_this_boot());
}

#[test]
fn workers_of_the_session_before_are_handed_over() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    assert_eq!(job.previous_owner(), None);
    let workers = [WorkerEntry { pid: 7, start_time: 8, recorder: b"/run/\xff".to_vec() }];
    job.set_workers(&[]).unwrap();
    job.set_workers(&workers).unwrap();
    let after = disk.after_process_end();
    let next = open_store(&after).unwrap().open_job(JOB).unwrap();
    assert_eq!(next.previous_workers(), workers);
    assert_eq!(next.recovery().torn, None);
}

#[test]
fn leases_that_were_open_at_the_end_name_the_items_without_an_outcome() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model::default();
    lease(&job, 1, 0..3).unwrap();
    lease(&job, 2, 3..6).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    model.commit_run(&job, 4, 1).unwrap();
    let open = |disk: &SimDisk| open_store(disk).unwrap().open_job(JOB).unwrap();
    let items = vec![(0, Key::Ordinal(3)), (2, Key::Ordinal(5))];
    let expected = [OpenLease { worker: 0, lease: 2, items }];
    let second = disk.after_process_end();
    let job = open(&second);
    assert_eq!(job.open_leases(), expected);
    // A session that ends before it has started a lease hands them on; one that has started some does not.
    let third = second.after_process_end();
    let job = open(&third);
    assert_eq!(job.open_leases(), expected);
    lease(&job, 1, 5..6).unwrap();
    let fourth = open(&third.after_process_end());
    assert_eq!(fourth.open_leases(), [OpenLease { worker: 0, lease: 1, items: vec![(0, Key::Ordinal(5))] }]);
}

#[test]
fn notes_survive_the_process_and_end_with_an_outcome() {
    let disk = SimDisk::new();
    let store = open_store(&disk).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Keyed)).unwrap();
    let note = Note { crashes: 1, failures: 2, foreign_kills: 3, host_deaths: 4 };
    job.note(KeyRef::Bytes(b"\xff"), Note::default()).unwrap();
    job.note(KeyRef::Bytes(b"\xff"), note).unwrap();
    let disk = disk.after_process_end();
    let store = open_store(&disk).unwrap();
    let job = store.open_job(JOB).unwrap();
    assert_eq!(job.prior(KeyRef::Bytes(b"\xff")), Some(note));
    let outputs = entries(&[b"x"]);
    job.commit(Batch::completed_keyed([(&b"\xff"[..], None)], 1, &outputs).unwrap()).unwrap();
    assert_eq!(job.prior(KeyRef::Bytes(b"\xff")), None);
    drop(job);
    assert_eq!(store.open_job(JOB).unwrap().prior(KeyRef::Bytes(b"\xff")), None);
}

#[test]
fn job_names_and_keys_may_be_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), real_options()).unwrap();
    let long = "x".repeat(5000);
    let names: Vec<&[u8]> = vec![
        b"",
        b".",
        b"..",
        b"a/b",
        b"a\\b",
        b"con",
        b"NUL.txt",
        b"a",
        b"A",
        b" a",
        b"a.",
        b"\0",
        b"\xff\xfe",
        "é".as_bytes(),
        "e\u{301}".as_bytes(),
        "\u{202e}abc".as_bytes(),
        "ſ".as_bytes(),
        "İ".as_bytes(),
        "\u{200b}".as_bytes(),
        "ﬁ".as_bytes(),
        long.as_bytes(),
    ];
    for (n, name) in names.iter().enumerate() {
        let job = store.create_job(name, &spec(Keying::Keyed)).unwrap();
        let mut table = KeyTable::default();
        names.iter().take(n + 1).for_each(|key| table.push(key, None));
        let outputs = entries(&names[..=n]);
        let identities = Identities::Keys(table);
        job.commit(Batch::completed(&identities, 0..n as u32 + 1, 1, &outputs).unwrap()).unwrap();
        job.finish(JobState::Finished).unwrap();
    }
    let mut listed: Vec<_> = store.list().unwrap().into_iter().map(|job| job.name).collect();
    let mut expected: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    for (n, name) in names.iter().enumerate() {
        let job = store.read_job(name).unwrap();
        let keys: Vec<_> = job.outcomes(0).map(|outcome| outcome.unwrap().key).collect();
        let expected: Vec<_> = names[..=n].iter().map(|key| Key::Bytes((*key).into())).collect();
        assert_eq!(keys, expected);
    }
}

#[test]
fn an_idle_journal_marks_its_last_group_as_durable_and_head_follows() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { idle_mark: Duration::from_millis(1), ..real_options() };
    let store = Store::open(dir.path(), options).unwrap();
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let (tx, rx) = mpsc::channel();
    job.on_commit(move |event| tx.send(event).unwrap());
    let outputs = entries(&[b"x"]);
    job.submit(Batch::completed_dense(0, 1, 1, &outputs).unwrap()).unwrap();
    let event = rx.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(matches!(event, CommitEvent::Durable { through: 1, lsn: 1 }));
    // A reader beside the owner takes in only what is known to be durable: the mark, and then HEAD, say so.
    let is_listed = || store.list().unwrap()[0].counts.completed == 1;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !is_listed() {
        assert!(std::time::Instant::now() < deadline, "HEAD was not refreshed");
        std::thread::yield_now();
    }
    assert_eq!(store.read_job(JOB).unwrap().outcomes(0).count(), 1);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_so_is_a_directory_of_something_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "text").unwrap();
    assert!(matches!(Store::open(dir.path(), real_options()), Err(StoreError::NotAStore { .. })));
    let other = dir.path().join("store");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("STORE"), "not ours").unwrap();
    assert!(matches!(Store::open(&other, real_options()), Err(StoreError::NotAStore { .. })));
}
