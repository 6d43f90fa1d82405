//! The plain path on the real disk.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![allow(missing_docs)]

mod support;

use cofferdam_checkpoint::{
    Batch, CommitEvent, Durability, JobState, KeyRef, Lookup, OutcomeBody, Store, StoreError, StoreOptions,
};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Key, Keying, OutcomeKind};
use std::sync::mpsc;
use std::time::Duration;
use support::{entries, spec};

fn options() -> StoreOptions {
    StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() }
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("a/b"), options()).unwrap();
    let job = store.create_job("job", &spec(Keying::Dense)).unwrap();
    let (tx, rx) = mpsc::channel();
    job.on_commit(move |event| tx.send(event).unwrap());
    let outputs = entries(&[b"zero", b"", b"two"]);
    assert_eq!(job.submit(Batch::completed_dense(0, 3, 1, &outputs).unwrap()).unwrap(), 1);
    match rx.recv_timeout(Duration::from_secs(10)).unwrap() {
        CommitEvent::Durable { through: 1, lsn: 3 } => {}
        other => panic!("{other:?}"),
    }
    let evidence = Evidence { kind: "panic".into(), ..Evidence::default() };
    let batch = Batch::set_aside(KeyRef::Ordinal(9), None, OutcomeKind::Quarantined, 2, &evidence).unwrap();
    assert_eq!(job.commit(batch).unwrap(), 4);
    assert!(matches!(
        job.submit(Batch::completed_dense(2, 1, 1, &entries(&[b"x"])).unwrap()),
        Err(StoreError::AlreadyDone(Key::Ordinal(2)))
    ));
    job.finish(JobState::Interrupted).unwrap();
    drop(job);
    assert_eq!(store.list().unwrap()[0].state, JobState::Interrupted);
    assert_eq!(store.list().unwrap()[0].counts.completed, 3);

    let store = Store::open(&dir.path().join("a/b"), options()).unwrap();
    let job = store.open_job("job").unwrap();
    assert_eq!((job.counts().completed, job.counts().quarantined), (3, 1));
    assert_eq!(job.recovery().rewritten, 0);
    let outcomes: Vec<_> = job.outcomes(0).map(Result::unwrap).collect();
    assert_eq!(outcomes.len(), 4);
    assert_eq!(outcomes[2].body, OutcomeBody::Output(b"two".to_vec()));
    assert_eq!((outcomes[3].key.clone(), outcomes[3].lsn), (Key::Ordinal(9), 4));
    assert_eq!(outcomes[3].body, OutcomeBody::Evidence(evidence));
    assert_eq!(job.outcomes(3).count(), 1);
    assert!(matches!(store.open_job("job"), Err(StoreError::Locked(_))));
    drop(job);
    store.delete("job").unwrap();
    assert!(matches!(store.open_job("job"), Err(StoreError::NoSuchJob)));
}

#[test]
fn a_changed_input_supersedes_and_a_gone_key_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { durability: Durability::Process, ..options() };
    let store = Store::open(dir.path(), options).unwrap();
    let job = store.create_job("job", &spec(Keying::Keyed)).unwrap();
    let print = |n| Some(Fingerprint([n; 16]));
    let keys: [(&[u8], _); 2] = [(b"a", print(1)), (b"b\xff", print(1))];
    job.commit(Batch::completed_keyed(keys, 1, &entries(&[b"1", b"2"])).unwrap()).unwrap();
    job.begin_pass();
    assert_eq!(job.see(KeyRef::Bytes(b"a"), print(2)), Lookup::Changed);
    assert_eq!(job.see(KeyRef::Bytes(b"c"), None), Lookup::New);
    assert_eq!(job.unseen_keys(), 1);
    job.commit(Batch::completed_keyed([(&b"a"[..], print(2))], 1, &entries(&[b"3"])).unwrap()).unwrap();
    let lsns =
        |outcomes: cofferdam_checkpoint::Outcomes| outcomes.map(|o| o.unwrap().lsn).collect::<Vec<_>>();
    assert_eq!(lsns(job.outcomes(0)), [2, 3]);
    assert_eq!(lsns(job.outcomes(0).without_gone()), [3]);
    assert_eq!(job.counts().completed, 2);
}

#[test]
fn a_saved_state_survives_its_owner_and_ends_with_the_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let job = store.create_job("job", &spec(Keying::Keyed)).unwrap();
    let (key, print) = (KeyRef::Bytes(b"film"), Some(Fingerprint([1; 16])));
    job.save_state(key, print, b"minute 100"[..].into()).unwrap();
    job.save_state(key, print, b"minute 190"[..].into()).unwrap();
    job.save_state(KeyRef::Bytes(b"other"), None, b"x"[..].into()).unwrap();
    drop(job); // as if it had died

    let job = store.open_job("job").unwrap();
    assert!(job.has_saved_states());
    assert_eq!(job.saved_state(key, print).as_deref(), Some(&b"minute 190"[..]));
    assert_eq!(job.saved_state(key, Some(Fingerprint([2; 16]))), None, "the input has changed");
    let outputs = entries(&[b"done"]);
    job.commit(Batch::completed_keyed([(&b"film"[..], print)], 2, &outputs).unwrap()).unwrap();
    assert_eq!(job.saved_state(key, print), None);
    drop(job);

    let job = store.open_job("job").unwrap();
    assert_eq!(job.saved_state(key, print), None);
    assert_eq!(job.saved_state(KeyRef::Bytes(b"other"), None).as_deref(), Some(&b"x"[..]));
}
