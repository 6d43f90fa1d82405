//! Items that are added to a job: kept whole until they have an outcome.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![allow(missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, JobState, KeyRef, Store, StoreError, StoreOptions};
use cofferdam_pipeline_core::{Evidence, Fingerprint, Key, Keying, OutcomeKind};
use support::{entries, spec};

fn options() -> StoreOptions {
    StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() }
}

fn items(job: &cofferdam_checkpoint::JobStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    job.added_items().into_iter().map(|item| (item.key.into_vec(), item.content.into_vec())).collect()
}

#[test]
fn added_items_are_there_at_the_next_opening_until_they_have_an_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let job = store.create_job("job", &spec(Keying::Keyed)).unwrap();
    for (key, content) in [("b", "second"), ("a", "first"), ("c", "")] {
        assert!(job.add_item(key.as_bytes(), content.as_bytes()).unwrap());
    }
    assert!(!job.add_item(b"a", b"again").unwrap(), "it is there");
    assert_eq!(job.added_bytes(), 3 + 11);
    let outputs = entries(&[b"done"]);
    job.commit(Batch::completed_keyed([(&b"a"[..], None)], 1, &outputs).unwrap()).unwrap();
    assert!(!job.add_item(b"a", b"again").unwrap(), "it has an outcome");
    drop(job); // without an orderly end

    let job = store.open_job("job").unwrap();
    assert_eq!(items(&job), [(b"b".to_vec(), b"second".to_vec()), (b"c".to_vec(), b"".to_vec())]);
    let evidence = Evidence::default();
    let cancelled =
        Batch::set_aside(KeyRef::Bytes(b"b"), None, OutcomeKind::Cancelled, 0, &evidence).unwrap();
    job.commit(cancelled).unwrap();
    job.finish(JobState::Interrupted).unwrap();
    drop(job);

    let job = store.open_job("job").unwrap();
    assert_eq!(items(&job), [(b"c".to_vec(), b"".to_vec())]);
    assert_eq!(job.counts().total(), 2);
}

#[test]
fn an_added_item_is_not_gone_because_no_source_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let job = store.create_job("job", &spec(Keying::Keyed)).unwrap();
    job.add_item(b"added", b"x").unwrap();
    let outputs = entries(&[b"1", b"2"]);
    let keys = [(&b"added"[..], None), (&b"of the source"[..], None)];
    job.commit(Batch::completed_keyed(keys, 1, &outputs).unwrap()).unwrap();
    drop(job);
    let job = store.open_job("job").unwrap();
    job.begin_pass();
    assert_eq!(job.unseen_keys(), 1, "the source's");
    let keys: Vec<_> = job.outcomes(0).without_gone().map(|outcome| outcome.unwrap().key).collect();
    assert_eq!(keys, [Key::Bytes((*b"added").into())]);
}

#[test]
fn a_batch_that_is_refused_leaves_what_was_added() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let job = store.create_job("job", &spec(Keying::Keyed)).unwrap();
    let outputs = entries(&[b"1"]);
    job.commit(Batch::completed_keyed([(&b"old"[..], None)], 1, &outputs).unwrap()).unwrap();
    job.add_item(b"new", b"x").unwrap();
    let both = entries(&[b"1", b"2"]);
    let keys = [(&b"new"[..], None::<Fingerprint>), (&b"old"[..], None)];
    let refused = job.submit(Batch::completed_keyed(keys, 1, &both).unwrap());
    assert!(matches!(refused, Err(StoreError::AlreadyDone(_))), "{refused:?}");
    assert_eq!(items(&job), [(b"new".to_vec(), b"x".to_vec())]);
    job.commit(Batch::completed_keyed([(&b"new"[..], None)], 1, &outputs).unwrap()).unwrap();
    assert!(items(&job).is_empty());
}
