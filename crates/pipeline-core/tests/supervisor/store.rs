//! Commits, durable counts, and a store that is full or lost.

use crate::harness::{Harness, SECOND, policy, segv};
use cofferdam_pipeline_core::supervisor::{Control, Input};
use cofferdam_pipeline_core::{Exit, Failure, Policy};

#[test]
fn only_durable_outcomes_are_counted() {
    let mut h = Harness::with_one_worker(3);
    h.reply(1, 1, 0, 1);
    h.reply(1, 2, 0, 1);
    assert_eq!(h.supervisor.counters().completed, 0);
    assert_eq!(h.step(Input::Committed { through: 1, lsn: 1 }), ["durable 1 completed"]);
    assert_eq!(h.supervisor.counters().completed, 1);
    assert!(h.step(Input::Committed { through: 1, lsn: 1 }).is_empty(), "told twice, counted once");
    assert_eq!(h.step(Input::Committed { through: 2, lsn: 2 }), ["durable 1 completed"]);
}

#[test]
fn outcomes_of_one_group_are_told_in_one_event_for_each_kind() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 4);
    h.reply(1, 1, 0, 1);
    h.fail(1, 2, 0, cofferdam_pipeline_core::Failure::invalid_input("no"));
    h.reply(1, 3, 0, 1);
    h.exit(1, segv(), &[(4, 0)]);
    let lines = h.commit_all();
    assert_eq!(lines[..3], ["durable 2 completed", "durable 1 failed", "durable 1 quarantined"]);
}

#[test]
fn no_lease_is_handed_out_beyond_the_uncommitted_bytes() {
    let mut h = Harness::with_policy_and_items(Policy { uncommitted_bytes_max: 100, ..policy(1) }, 9);
    assert_eq!(h.reply(1, 1, 0, 1).len(), 2, "one small outcome is no reason to wait");
    assert_eq!(h.reply(1, 2, 0, 1), ["commit t2 1..2 completed x1"]);
    let lines = h.commit_all();
    assert!(lines[1].starts_with("assign"), "{lines:?}");
}

#[test]
fn a_full_store_stops_new_leases_and_open_ones_run_on() {
    let mut h = Harness::with_one_worker(9);
    assert_eq!(h.step(Input::StoreFull), ["StoreFull"]);
    assert!(h.step(Input::StoreFull).is_empty());
    assert_eq!(h.reply(1, 1, 0, 1), ["commit t1 0..1 completed x1"]);
    let lines = h.step(Input::StoreRecovered);
    assert_eq!(lines[0], "StoreRecovered");
    assert!(lines[1].starts_with("assign"));
    assert!(h.step(Input::StoreRecovered).is_empty());
}

#[test]
fn a_transient_failure_while_the_store_is_full_charges_nobody_and_is_tried_again_when_there_is_room() {
    let mut h = Harness::with_one_worker(9);
    h.step(Input::StoreFull);
    let lines = h.fail(1, 1, 0, Failure::transient("no space"));
    assert!(lines.is_empty(), "{lines:?}");
    let lines = h.step(Input::StoreRecovered);
    assert!(lines[1].starts_with("assign"), "{lines:?}");
    assert_eq!((h.count("RetryIn"), h.count("commit")), (0, 0));
}

#[test]
fn a_lost_store_ends_the_job_and_gets_nothing_more() {
    let mut h = Harness::with_one_worker(9);
    h.reply(1, 1, 0, 1);
    assert_eq!(h.step(Input::StoreFailed("EIO".into())), ["stop w1"]);
    assert!(h.reply(1, 2, 0, 1).is_empty(), "its item stays pending");
    assert_eq!(h.exit(1, Exit::Stopped, &[]).last().unwrap(), "finish StoreFailed(\"EIO\")");
}

#[test]
fn a_store_that_is_lost_before_the_last_commit_is_durable_makes_the_job_fail() {
    let mut h = Harness::with_one_worker(1);
    h.reply(1, 1, 0, 1);
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.step(Input::StoreFailed("EIO".into())), ["Ended", "finish StoreFailed(\"EIO\")"]);
}

#[test]
fn a_store_that_is_lost_after_the_last_commit_changes_nothing() {
    let mut h = Harness::with_one_worker(1);
    h.reply(1, 1, 0, 1);
    h.commit_all();
    h.step(Input::StoreFailed("EIO".into()));
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.log.last().unwrap(), "finish Complete");
}

#[test]
fn a_cancel_with_a_full_store_waits_for_what_was_handed_out() {
    let mut h = Harness::with_one_worker(9);
    h.reply(1, 1, 0, 1);
    h.step(Input::StoreFull);
    h.control(Control::Cancel);
    h.exit(1, Exit::Stopped, &[]);
    h.wait(SECOND);
    assert_eq!(h.count("finish"), 0);
    h.step(Input::StoreRecovered);
    assert_eq!(h.commit_all().last().unwrap(), "finish Cancelled");
}

#[test]
fn an_outcome_that_is_durable_makes_room_for_its_own_bytes_only() {
    let mut h = Harness::with_policy_and_items(Policy { uncommitted_bytes_max: 100, ..policy(1) }, 9);
    (1..=3).for_each(|lease| drop(h.reply(1, lease, 0, 1)));
    assert_eq!(h.step(Input::Committed { through: 1, lsn: 1 }), ["durable 1 completed"], "two are too many");
    assert!(h.step(Input::Committed { through: 2, lsn: 2 })[1].starts_with("assign"));
}

#[test]
fn a_full_store_and_a_source_at_its_end_are_no_reason_to_ask_for_items() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.ready(1);
    h.step(Input::StoreFull);
    h.feed(1);
    let wants = h.count("want");
    h.reply(1, 1, 0, 1);
    h.wait(SECOND);
    assert_eq!(h.count("want"), wants, "the store is full");
    h.step(Input::SourceEnded);
    h.step(Input::StoreRecovered);
    assert_eq!(h.count("want"), wants, "nothing more will come");
}
