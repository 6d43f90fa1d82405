//! What is believed and what is not.

use crate::harness::{Harness, SECOND, policy, segv};
use cofferdam_pipeline_core::WorkerEvent;

const VIOLATION: &str = "kill w1 ProtocolViolation";

/// One worker with a lease (number 3) of the four items 2..6 and another behind it.
fn with_a_lease_of_four() -> Harness {
    let mut h = Harness::new(policy(1));
    h.feed(1000);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.reply(1, 2, 0, 1);
    assert_eq!(h.log.iter().find(|line| line.starts_with("assign w1 l3")).unwrap(), "assign w1 l3 2..6 #1");
    h
}

#[test]
fn replies_are_committed_as_ranges_with_rising_tickets() {
    let mut h = with_a_lease_of_four();
    assert_eq!(h.reply(1, 3, 0, 3)[0], "commit t3 2..5 completed x1");
    assert_eq!(h.reply(1, 3, 3, 1)[0], "commit t4 5..6 completed x1");
    assert_eq!(h.supervisor.counters().attempts, 6);
}

#[test]
fn a_reply_out_of_order_is_a_violation() {
    assert_eq!(with_a_lease_of_four().reply(1, 3, 1, 1)[0], VIOLATION);
}

#[test]
fn a_reply_for_a_settled_item_of_a_live_lease_is_a_violation() {
    let mut h = with_a_lease_of_four();
    h.reply(1, 3, 0, 2);
    assert_eq!(h.reply(1, 3, 0, 1)[0], VIOLATION);
}

#[test]
fn a_reply_beyond_the_lease_is_a_violation() {
    assert_eq!(with_a_lease_of_four().reply(1, 3, 0, 5)[0], VIOLATION);
}

#[test]
fn a_reply_without_items_is_a_violation() {
    assert_eq!(with_a_lease_of_four().reply(1, 3, 0, 0)[0], VIOLATION);
}

#[test]
fn a_reply_for_a_lease_that_never_was_is_a_violation() {
    assert_eq!(with_a_lease_of_four().reply(1, 99, 0, 1)[0], VIOLATION);
    assert_eq!(with_a_lease_of_four().reply(1, 0, 0, 1)[0], VIOLATION);
}

#[test]
fn a_reply_for_somebody_elses_lease_is_a_violation() {
    let mut h = Harness::with_policy_and_items(policy(2), 4);
    assert_eq!(h.reply(1, 3, 0, 1)[0], VIOLATION);
    assert_eq!(h.reply(2, 3, 0, 1)[0], "commit t1 2..3 completed x1", "whose it is can still settle it");
}

#[test]
fn a_late_duplicate_for_a_lease_that_is_over_is_ignored() {
    let mut h = with_a_lease_of_four();
    assert!(h.reply(1, 1, 0, 1).is_empty());
}

#[test]
fn a_failure_out_of_order_is_a_violation() {
    let failure = cofferdam_pipeline_core::Failure::invalid_input("no");
    assert_eq!(with_a_lease_of_four().fail(1, 3, 1, failure)[0], VIOLATION);
}

#[test]
fn items_that_were_not_asked_for_cannot_be_given_back() {
    assert_eq!(with_a_lease_of_four().returned(1, 3, 2)[0], VIOLATION);
}

#[test]
fn becoming_ready_twice_is_a_violation() {
    assert_eq!(with_a_lease_of_four().ready(1)[0], VIOLATION);
}

#[test]
fn after_a_violation_nothing_from_that_worker_is_believed() {
    let mut h = with_a_lease_of_four();
    h.reply(1, 3, 1, 1);
    assert!(h.reply(1, 3, 0, 1).is_empty());
    assert!(h.returned(1, 3, 0).is_empty());
    assert_eq!(h.count("kill"), 1);
}

#[test]
fn replies_that_are_read_after_the_first_sign_of_death_count() {
    let mut h = with_a_lease_of_four();
    h.lost(1);
    assert_eq!(h.reply(1, 3, 0, 2)[0], "commit t3 2..4 completed x1");
    h.exit(1, segv(), &[(3, 2)]);
    assert!(h.log.contains(&"suspected 4".to_owned()));
    h.ready(2);
    assert!(h.log.contains(&"assign w2 l5 4..5 #2".to_owned()), "{:#?}", h.log);
}

#[test]
fn nothing_is_believed_after_the_verdict() {
    let mut h = with_a_lease_of_four();
    h.exit(1, segv(), &[(3, 0)]);
    assert!(h.reply(1, 3, 0, 1).is_empty());
    assert!(h.worker(1, WorkerEvent::Lost).is_empty());
    assert!(h.exit(1, segv(), &[(3, 0)]).is_empty());
}

#[test]
fn what_has_a_result_cannot_be_given_back() {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    h.cancel_item(5);
    h.reply(1, 3, 0, 2);
    assert_eq!(h.returned(1, 3, 1)[0], "kill w1 ProtocolViolation");
}

#[test]
fn a_reply_for_the_newest_lease_that_is_over_is_ignored() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    assert_eq!(h.reply(1, 1, 0, 1), [""; 0]);
}
