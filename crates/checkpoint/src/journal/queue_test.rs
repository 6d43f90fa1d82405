//! What the queue takes, when the journal's thread is woken for it, and how the thread ends.

use super::{Next, QUEUE_BYTES_MAX};
use crate::batch::Batch;
use crate::index::Index;
use crate::journal::group::State;
use crate::journal::inside_test::{job, job_with};
use crate::journal::lead::lock;
use crate::{CommitEvent, Durability, JobState, JobStore, StoreError, clock};
use cofferdam_pipeline_core::push_entry_len;
use std::time::Duration;

/// The outputs of one item whose batch takes `len` bytes of the queue.
fn outputs(len: usize) -> Vec<u8> {
    let mut outputs = Vec::new();
    push_entry_len(&mut outputs, len - 36);
    outputs.resize(len - 32, 7);
    outputs
}

fn batch(ordinal: u64, outputs: &[u8]) -> Batch<'_> {
    Batch::completed_dense(ordinal, 1, 1, outputs).unwrap()
}

fn until(job: &JobStore, what: impl Fn(&State) -> bool) {
    let deadline = clock::now() + Duration::from_secs(60);
    while !what(&lock(&job.journal.state)) {
        assert!(clock::now() < deadline, "nothing happens");
        std::thread::yield_now();
    }
}

#[test]
fn a_batch_as_long_as_the_queue_is_taken_and_a_longer_one_is_refused() {
    let (_dir, job) = job();
    let (longest, longer) = (outputs(QUEUE_BYTES_MAX), outputs(QUEUE_BYTES_MAX + 1));
    assert_eq!(batch(0, &longest).encoded_len_max(), QUEUE_BYTES_MAX);
    job.journal.submit(&batch(0, &longest)).unwrap();
    until(&job, |state| state.durable_lsn == 1);
    let refused = job.journal.submit(&batch(1, &longer));
    let Err(StoreError::BatchTooLarge { len, max }) = refused else { panic!("{refused:?}") };
    assert_eq!((len, max), (QUEUE_BYTES_MAX + 1, QUEUE_BYTES_MAX));
}

#[test]
fn a_batch_that_does_not_fit_beside_what_is_written_waits() {
    let (_dir, job) = job();
    let large = outputs(QUEUE_BYTES_MAX / 3 * 2);
    std::thread::scope(|scope| {
        // Whoever writes stands still here.
        let tip = lock(&job.journal.tip);
        scope.spawn(|| job.journal.commit(&batch(0, &large)).unwrap());
        until(&job, |state| state.is_led);
        scope.spawn(|| job.journal.submit(&batch(1, &large)).unwrap());
        until(&job, |state| state.flush || !state.forming.is_empty());
        let waits = lock(&job.journal.state).forming.is_empty();
        drop(tip);
        assert!(waits);
    });
    until(&job, |state| state.durable_lsn == 2);
}

#[test]
fn the_thread_is_woken_for_a_single_batch() {
    let (_dir, job) = job();
    let (told, is_told) = std::sync::mpsc::channel();
    job.on_commit(move |event| drop(told.send(event)));
    let ticket = job.journal.submit(&batch(0, &outputs(4 << 20))).unwrap();
    let event = is_told.recv_timeout(Duration::from_secs(60)).expect("it is written");
    assert!(matches!(event, CommitEvent::Durable { through, .. } if through == ticket));
}

#[test]
fn a_policy_of_each_item_keeps_no_group_waiting() {
    for (durability, is_due) in [(Durability::EachItem, true), (Durability::Power, false)] {
        let (_dir, job) = job_with(durability);
        let mut state = State::new(Index::new(1), 1, 1);
        state.forming.count = 1;
        state.forming.since = clock::now() + if is_due { Duration::ZERO } else { Duration::from_secs(3600) };
        assert_eq!(job.journal.next(&state) == Next::Group, is_due, "{durability:?}");
    }
}

#[test]
fn a_flush_is_asked_for_until_a_group_is_taken() {
    let (_dir, job) = job();
    job.flush();
    assert!(lock(&job.journal.state).flush);
}

#[test]
fn an_orderly_end_ends_the_filling_too() {
    let (_dir, job) = job();
    let filler = lock(&job.journal.tip).filler.clone();
    job.finish(JobState::Finished).unwrap();
    let thread = std::thread::spawn(move || filler.run().is_ok());
    let deadline = clock::now() + Duration::from_secs(60);
    while !thread.is_finished() {
        assert!(clock::now() < deadline, "it goes on");
        std::thread::yield_now();
    }
    assert!(thread.join().unwrap());
}
