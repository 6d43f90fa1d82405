//! What is due beyond a length is not due at it.

use super::inside_test::{commit, job, links, rotate};
use super::lead::lock;
use crate::format::segment::FRAMES_START;
use crate::limits::{MERGE_BYTES_MAX, PROCESS_SYNC_BYTES, SEGMENT_LEN_MAX};
use crate::{JobStore, KeyRef};

/// How long a piece is, roughly: lengths of three bytes.
const PIECE: usize = (1 << 20) - 200;

fn offset(job: &JobStore) -> u64 {
    lock(&job.journal.tip).appender.offset()
}

/// Writes pieces so that the segment ends at `end`.
fn write_up_to(job: &JobStore, end: u64, write: impl Fn(u64, &[u8])) {
    let begin = offset(job);
    write(0, &vec![7; PIECE]);
    let beside = offset(job) - begin - PIECE as u64;
    for n in 1.. {
        let left = end - offset(job);
        let pieces = left.div_ceil(PIECE as u64 + beside);
        write(n, &vec![7; (left / pieces - beside) as usize]);
        if offset(job) == end {
            break;
        }
    }
}

fn commit_up_to(job: &JobStore, end: u64) {
    write_up_to(job, end, |ordinal, output| commit(job, ordinal, output));
}

#[test]
fn a_segment_is_full_beyond_its_length() {
    let (_dir, job) = job();
    commit_up_to(&job, SEGMENT_LEN_MAX);
    commit(&job, 100, b"output");
    assert_eq!(links(&job), [1]);
    commit(&job, 101, b"output");
    assert_eq!(links(&job), [1, 2]);
}

#[test]
fn a_mark_goes_on_in_the_next_segment_beyond_that_length() {
    let (_dir, job) = job();
    commit_up_to(&job, SEGMENT_LEN_MAX);
    job.journal.write_mark().unwrap();
    assert_eq!(links(&job), [1]);
    job.journal.write_mark().unwrap();
    assert_eq!(links(&job), [1, 2]);
}

#[test]
fn commits_that_only_have_to_survive_the_process_are_synced_beyond_a_length() {
    for (more, syncs) in [(0, 0), (1, 1)] {
        let (_dir, job) = job();
        let synced = lock(&job.journal.tip).appender.durable_end();
        commit_up_to(&job, synced + PROCESS_SYNC_BYTES + more);
        assert_eq!(job.sync_stats().syncs, syncs, "{more} bytes more");
    }
}

#[test]
fn records_that_no_commit_syncs_ask_for_a_mark_beyond_a_length() {
    for (more, is_unmarked) in [(0, false), (1, true)] {
        let (_dir, job) = job();
        let synced = lock(&job.journal.tip).appender.durable_end();
        write_up_to(&job, synced + PROCESS_SYNC_BYTES + more, |_, state| {
            job.save_state(KeyRef::Ordinal(0), None, state.into()).unwrap();
        });
        assert_eq!(lock(&job.journal.state).is_unmarked, is_unmarked, "{more} bytes more");
    }
}

#[test]
fn a_full_segment_is_taken_in_up_to_a_length() {
    for (more, after) in [(0, vec![2]), (1, vec![1, 2])] {
        let (_dir, job) = job();
        commit_up_to(&job, FRAMES_START + MERGE_BYTES_MAX + more);
        rotate(&job);
        assert_eq!(links(&job), after, "{more} bytes more");
    }
}
