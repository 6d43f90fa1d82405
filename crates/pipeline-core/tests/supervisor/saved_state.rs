//! What an item saves on its way is there for its next attempt.

use crate::harness::{Harness, SECOND, policy, segv};
use cofferdam_pipeline_core::supervisor::{Control, Prior};
use cofferdam_pipeline_core::{
    Exit, Failure, FailureKind, ItemIndex, LeaseLimits, Policy, SAVED_STATE_BYTES_MAX, Supervisor,
};

fn patient(crashes_max: u32) -> Policy {
    Policy { crashes_max, ..policy(1) }
}

#[test]
fn a_saved_state_is_told_to_the_store_and_given_to_the_next_attempt() {
    let mut h = Harness::with_policy_and_items(patient(3), 1);
    assert_eq!(h.save(1, 1, 0, &[1]), ["save 0 [1]"]);
    assert_eq!(h.save(1, 1, 0, &[2]), ["save 0 [2]"], "the newest counts");
    h.exit(1, segv(), &[(1, 0)]);
    assert_eq!(h.ready(2)[1], "assign w2 l2 0..1 #2 from [2]");
}

#[test]
fn the_trial_that_may_convict_begins_anew() {
    let mut h = Harness::with_policy_and_items(patient(3), 1);
    h.save(1, 1, 0, &[7]);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    h.exit(2, segv(), &[(2, 0)]);
    assert_eq!(h.ready(3)[1], "assign w3 l3 0..1 #3", "the state may be what it dies of");
}

#[test]
fn a_failure_and_a_stop_keep_the_state() {
    let mut h = Harness::with_one_worker(1);
    h.save(1, 1, 0, &[7]);
    h.fail(1, 1, 0, Failure::transient("busy"));
    assert_eq!(h.wait(SECOND), ["assign w1 l2 0..1 #2 from [7]"]);
    let mut h = Harness::with_policy_and_items(policy(2), 6);
    h.save(1, 1, 0, &[8]);
    h.exit(1, Exit::Signal { number: 15, name: "SIGTERM", address: None }, &[]);
    h.ready(3);
    assert_eq!(h.count("assign w3 l5 0..1 #1 from [8]"), 1, "nothing was open: uncharged. {:#?}", h.log);
}

#[test]
fn an_item_of_a_larger_lease_that_saved_its_state_comes_back_by_itself() {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    let lens = h.lease_lens();
    assert_eq!(lens, [1, 1, 4, 2], "the third lease has four items");
    h.reply(1, 3, 0, 1);
    h.save(1, 3, 1, &[9]);
    h.exit(1, segv(), &[]);
    h.ready(2);
    assert_eq!(h.count("assign w2 l5 3..4 #1 from [9]"), 1, "{:#?}", h.log);
}

#[test]
fn a_result_ends_the_state_and_a_late_one_is_fenced() {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    h.save(1, 3, 0, &[1]);
    h.reply(1, 3, 0, 1);
    assert!(h.save(1, 3, 0, &[2]).is_empty(), "settled");
    assert!(h.save(1, 1, 0, &[2]).is_empty(), "the lease is over");
    h.exit(1, segv(), &[]);
    h.ready(2);
    assert!(!h.log.iter().any(|line| line.contains(" from ")), "{:#?}", h.log);
}

#[test]
fn a_state_that_is_too_long_or_of_no_item_is_a_violation() {
    let mut h = Harness::with_one_worker(1);
    assert_eq!(
        h.save(1, 1, 0, &vec![0; SAVED_STATE_BYTES_MAX + 1]),
        ["kill w1 ProtocolViolation", "spawn w2 s0"]
    );
    let mut h = Harness::with_one_worker(1);
    assert_eq!(h.save(1, 1, 1, &[]), ["kill w1 ProtocolViolation", "spawn w2 s0"]);
    let mut h = Harness::with_one_worker(1);
    assert_eq!(h.save(1, 2, 0, &[]), ["kill w1 ProtocolViolation", "spawn w2 s0"]);
}

#[test]
fn a_worker_of_one_slot_has_one_state_at_a_time() {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    h.save(1, 3, 0, &[1]);
    h.save(1, 3, 1, &[2]);
    h.exit(1, segv(), &[]);
    h.ready(2);
    let with_state: Vec<_> = h.log.iter().filter(|line| line.contains(" from ")).collect();
    assert_eq!(with_state, ["assign w2 l5 3..4 #1 from [2]"]);
}

#[test]
fn waiting_states_are_bounded_in_bytes() {
    let items = 70;
    let lease = LeaseLimits { items_max: 1, ..LeaseLimits::default() };
    let mut h = Harness::with_policy_and_items(Policy { lease, ..policy(1) }, items);
    for lease in 1..=items {
        h.save(1, lease, 0, &vec![1; SAVED_STATE_BYTES_MAX]);
        h.fail(1, lease, 0, Failure::transient("busy"));
    }
    h.wait(SECOND);
    for lease in items + 1..=2 * items {
        h.reply(1, lease, 0, 1);
    }
    let with_state = h.log.iter().filter(|line| line.contains(" from ")).count();
    assert_eq!(with_state, 64, "MiB");
}

#[test]
fn a_state_of_an_earlier_session_comes_with_the_item() {
    let mut h = Harness::of(Supervisor::new(policy(1), false));
    let saved_state = Some([5][..].into());
    h.feed_known(2, &[Prior { index: ItemIndex(1), saved_state, ..Prior::default() }]);
    h.ready(1);
    assert_eq!(h.count("assign w1 l1 1..2 #1 from [5]"), 1, "{:#?}", h.log);
}

#[test]
fn a_lost_store_is_told_nothing() {
    let mut h = Harness::with_one_worker(1);
    h.step(cofferdam_pipeline_core::supervisor::Input::StoreFailed("EIO".into()));
    assert!(h.save(1, 1, 0, &[1]).is_empty());
    h.control(Control::Cancel);
}

#[test]
fn states_of_items_that_wait_for_their_retry_count_against_the_bound() {
    let items = 65;
    let lease = LeaseLimits { items_max: 1, ..LeaseLimits::default() };
    let mut h = Harness::with_policy_and_items(Policy { lease, ..policy(1) }, items);
    for lease in 1..items {
        h.save(1, lease, 0, &vec![1; SAVED_STATE_BYTES_MAX]);
        let slow = FailureKind::RateLimited { retry_after: 60 * SECOND };
        h.fail(1, lease, 0, Failure::new(slow, "later"));
    }
    h.save(1, items, 0, &[1]);
    h.fail(1, items, 0, Failure::transient("busy"));
    assert_eq!(h.wait(SECOND), ["assign w1 l66 64..65 #2"], "64 MiB wait already");
}
