//! How work is cut and shared.

use crate::harness::{Harness, MS, chunk, policy};
use cofferdam_pipeline_core::supervisor::Input;
use cofferdam_pipeline_core::{LeaseLimits, Policy};
use std::time::Duration;

#[test]
fn the_first_leases_hold_one_item_and_the_next_at_most_four_times_as_many() {
    let mut h = Harness::new(policy(1));
    h.feed(10_000);
    h.ready(1);
    h.work_off(1, 2_000, Duration::from_nanos(40));
    let lens = h.lease_lens();
    assert_eq!(lens[..2], [1, 1], "nothing is known yet");
    let mut largest_done = 0;
    for pair in lens.windows(3) {
        largest_done = largest_done.max(pair[0]);
        assert!(pair[2] <= largest_done * 4, "{lens:?}");
    }
    assert!(*lens.iter().max().unwrap() > 1_000, "trivial items end up in large leases: {lens:?}");
}

#[test]
fn a_lease_holds_about_the_target_of_work() {
    let mut h = Harness::new(policy(1));
    h.feed(2_000);
    h.ready(1);
    h.work_off(1, 200, Duration::from_micros(500));
    assert_eq!(h.lease_lens().pop(), Some(10), "5 ms of items of half a millisecond");
}

#[test]
fn items_as_long_as_the_target_are_leased_one_by_one() {
    let mut h = Harness::new(policy(1));
    h.feed(100);
    h.ready(1);
    h.work_off(1, 20, 8 * MS);
    assert!(h.lease_lens().iter().all(|&len| len == 1));
}

#[test]
fn a_lease_never_exceeds_its_bytes_but_a_larger_item_travels_alone() {
    let lease = LeaseLimits { bytes_max: 100, ..LeaseLimits::default() };
    let mut h = Harness::new(Policy { lease, ..policy(1) });
    h.step(Input::Fed { chunk: chunk(0, 200, 20), priors: vec![] });
    h.step(Input::Fed { chunk: chunk(200, 3, 120), priors: vec![] });
    h.ready(1);
    h.work_off(1, 203, Duration::from_nanos(10));
    let lens = h.lease_lens();
    assert_eq!(*lens.iter().max().unwrap(), 5, "five items of 20 bytes");
    assert_eq!(lens[lens.len() - 3..], [1, 1, 1]);
}

#[test]
fn a_lease_never_exceeds_its_items() {
    let lease = LeaseLimits { items_max: 7, ..LeaseLimits::default() };
    let mut h = Harness::new(Policy { lease, ..policy(1) });
    h.feed(200);
    h.ready(1);
    h.work_off(1, 100, Duration::from_nanos(10));
    assert_eq!(h.lease_lens().into_iter().max(), Some(7));
}

#[test]
fn a_worker_holds_two_leases_so_that_it_never_waits_for_the_host() {
    let mut h = Harness::new(policy(1));
    h.feed(100);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 0..1 #1", "assign w1 l2 1..2 #1"]);
    let lines = h.reply(1, 1, 0, 1);
    assert!(lines[1].starts_with("assign w1 l3"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn everybody_gets_a_first_lease_before_anybody_gets_a_second() {
    let mut h = Harness::new(policy(2));
    h.feed(3);
    h.worker(1, cofferdam_pipeline_core::WorkerEvent::Ready);
    // Two went to the first worker while it was alone; the second one gets the third item.
    assert_eq!(h.ready(2), ["ready w2", "assign w2 l3 2..3 #1"]);
}

#[test]
fn near_the_end_leases_shrink_so_that_workers_finish_together() {
    let mut h = Harness::new(policy(2));
    h.feed(4_000);
    h.ready(1);
    h.work_off(1, 1_500, Duration::from_micros(10));
    let before = *h.lease_lens().last().unwrap();
    h.step(Input::SourceEnded);
    h.ready(2);
    let shared = *h.lease_lens().last().unwrap();
    assert!(shared >= before / 8, "not smaller than an eighth");
    h.work_off(2, 1_000, Duration::from_micros(10));
    let last = *h.lease_lens().last().unwrap();
    assert!(before == 500 && last < 100, "{before} {last}");
}

#[test]
fn what_stands_behind_a_long_item_is_taken_back_for_an_idle_worker() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    assert_eq!(h.open_lease(1, &[]), Some((1, 1)));
    h.reply(2, 3, 0, 1);
    assert_eq!(h.count("take back"), 0, "the first worker may be quick");
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 5 * MS));
    assert_eq!(h.wait(5 * MS), ["take back w1 lease 2"]);
    assert_eq!(h.wait(5 * MS), [""; 0], "asked once");
    assert_eq!(h.returned(1, 2, 0), ["assign w2 l4 1..2 #1"]);
}

#[test]
fn a_lease_whose_items_were_all_started_is_not_asked_for_again() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    h.reply(2, 3, 0, 1);
    assert_eq!(h.wait(5 * MS), ["take back w1 lease 2"]);
    assert!(h.returned(1, 2, 1).is_empty(), "it had been started");
    assert!(h.wait(50 * MS).is_empty());
    assert_eq!(h.supervisor.next_deadline(), None);
}

#[test]
fn items_that_are_known_to_be_long_are_taken_back_at_once() {
    let mut h = Harness::with_policy_and_items(policy(2), 5);
    h.now = h.now + 20 * MS;
    assert_eq!(h.reply(2, 3, 0, 1)[1], "assign w2 l5 4..5 #1", "first what is ready");
    h.now = h.now + 20 * MS;
    assert_eq!(h.reply(2, 4, 0, 1).len(), 1, "it has another lease");
    assert_eq!(h.reply(2, 5, 0, 1)[1], "take back w1 lease 2");
}

#[test]
fn the_item_that_may_have_begun_is_never_asked_for() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    h.reply(1, 1, 0, 1);
    h.reply(2, 3, 0, 1);
    h.wait(100 * MS);
    assert_eq!(h.count("take back"), 0, "one worker idles, the other holds a single item");
    assert_eq!(h.supervisor.next_deadline(), None);
}

#[test]
fn items_given_back_are_the_next_to_be_handed_out() {
    let mut h = Harness::new(policy(1));
    h.feed(1_000);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.reply(1, 2, 0, 1);
    // Leases of 2..6 and 6..10; the third of the first one is open when the worker dies.
    h.reply(1, 3, 0, 2);
    h.exit(1, crate::harness::segv(), &[(3, 2)]);
    h.ready(2);
    h.reply(2, 5, 0, 1);
    assert_eq!(h.log[h.log.len() - 2..], ["assign w2 l6 5..9 #1", "assign w2 l7 9..13 #1"]);
}

#[test]
fn only_a_bounded_number_of_chunks_is_asked_for() {
    let mut h = Harness::new(policy(2));
    assert_eq!(h.count("want"), 4);
    h.feed(10);
    assert_eq!(h.count("want"), 4, "the chunk is still there");
    h.ready(1);
    h.work_off(1, 10, MS);
    assert_eq!(h.count("want"), 5, "it was handed out");
}

#[test]
fn no_chunk_is_asked_for_beyond_the_bytes_that_are_ready() {
    let mut h = Harness::new(policy(2));
    let mut index = 0;
    for _ in 0..4 {
        h.step(Input::Fed { chunk: chunk(index, 64, 70 << 10), priors: vec![] });
        index += 64;
    }
    h.ready(1);
    assert_eq!(h.count("want"), 4, "17 MiB are ready");
}

#[test]
fn the_source_is_not_read_while_too_many_items_wait_for_a_retry() {
    let mut h = Harness::new(Policy { waiting_items_max: 2, ..policy(1) });
    h.feed(3);
    h.ready(1);
    let wants = h.count("want");
    for lease in 1..=3 {
        h.fail(1, lease, 0, cofferdam_pipeline_core::Failure::transient("later"));
    }
    assert_eq!(h.count("want"), wants + 1, "after the first failure only");
}

#[test]
fn eight_mebibytes_that_are_ready_are_enough_and_a_byte_less_is_not() {
    for (item_bytes, wants) in [((64 << 10) - 2, 3), ((64 << 10) - 3, 4)] {
        let lease = LeaseLimits { depth: 1, ..LeaseLimits::default() };
        let mut h = Harness::new(Policy { lease, ..policy(1) });
        h.step(Input::Fed { chunk: chunk(0, 1, 8), priors: vec![] });
        h.step(Input::Fed { chunk: chunk(1, 128, item_bytes), priors: vec![] }); // with lengths of three bytes
        assert_eq!(h.count("want"), 3);
        assert_eq!(h.ready(1).len(), 2, "the small chunk is handed out");
        assert_eq!(h.count("want"), wants, "{item_bytes}");
    }
}

#[test]
fn as_many_waiting_items_as_may_wait_hold_the_source_too() {
    let mut h = Harness::new(Policy { waiting_items_max: 2, ..policy(1) });
    h.feed(1);
    h.feed(1);
    h.ready(1);
    h.fail(1, 1, 0, cofferdam_pipeline_core::Failure::transient("later"));
    h.fail(1, 2, 0, cofferdam_pipeline_core::Failure::transient("later"));
    let wants = h.count("want");
    h.feed(1);
    assert_eq!(h.count("want"), wants, "two wait, though the chunk was handed out");
}
