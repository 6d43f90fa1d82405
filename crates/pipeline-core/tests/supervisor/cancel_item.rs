//! One item is cancelled: in each state that an item can be in, and in each phase of the job.

use crate::harness::{Harness, MS, SECOND, policy, segv, sigkill};
use cofferdam_pipeline_core::supervisor::{Control, Input, Prior, Supervisor};
use cofferdam_pipeline_core::{Exit, Failure, FailureKind, ItemIndex, KillReason, LeaseLimits, Policy};

fn interrupted() -> Failure {
    Failure::new(FailureKind::Interrupted, "told to stop")
}

/// One worker with a lease of four items (2 to 5) and one of two (6 and 7), and one item that is ready.
fn with_a_long_lease() -> Harness {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    assert_eq!(h.lease_lens(), [1, 1, 4, 2]);
    h
}

#[test]
fn an_item_that_is_ready_is_cancelled_at_once() {
    let mut h = Harness::new(policy(1));
    h.feed(5);
    assert_eq!(h.cancel_item(2), ["commit t1 2..3 cancelled x0"]);
    assert!(h.cancel_item(2).is_empty(), "once");
    h.step(Input::SourceEnded);
    h.ready(1);
    h.work_off(1, 4, MS);
    h.exit(1, Exit::Stopped, &[]);
    assert!(h.commit_all().contains(&"durable 1 cancelled".to_owned()));
    assert_eq!(h.log.last().unwrap(), "finish Complete");
    assert_eq!(h.supervisor.counters().cancelled, 1);
    assert_eq!(h.count("commit"), 5, "and the others ran");
}

#[test]
fn an_item_that_the_source_has_not_delivered_is_cancelled_when_it_comes() {
    let mut h = Harness::new(policy(1));
    h.feed(2);
    assert!(h.cancel_item(3).is_empty());
    assert_eq!(h.feed(3)[0], "commit t1 3..4 cancelled x0");
    h.step(Input::SourceEnded);
    assert!(h.cancel_item(77).is_empty(), "there is none");
}

#[test]
fn an_item_that_waits_for_its_retry_or_its_trial_is_cancelled() {
    let mut h = Harness::with_one_worker(2);
    h.fail(1, 1, 0, Failure::transient("busy"));
    assert_eq!(h.cancel_item(0), ["commit t1 0..1 cancelled x1"]);
    let mut h = Harness::with_one_worker(1);
    h.exit(1, segv(), &[(1, 0)]);
    assert_eq!(h.cancel_item(0)[0], "commit t1 0..1 cancelled x1");
    let mut h = Harness::with_one_worker(1);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!(h.cancel_item(0)[0], "commit t1 0..1 cancelled x1");
}

#[test]
fn an_item_that_waits_for_its_last_trial_is_cancelled_and_the_job_ends() {
    let mut h = Harness::new(policy(1));
    h.feed_known(1, &[Prior { index: ItemIndex(0), host_deaths: 2, ..Prior::default() }]);
    h.step(Input::SourceEnded);
    h.cancel_item(0);
    h.commit_all();
    h.exit(1, Exit::Killed(KillReason::JobOver), &[]);
    assert_eq!(h.log.last().unwrap(), "finish Complete");
}

#[test]
fn an_item_that_may_not_run_in_threads_is_cancelled() {
    let mut h = Harness::of(Supervisor::in_threads(policy(1)));
    h.feed_known(1, &[Prior { index: ItemIndex(0), crashes: 1, ..Prior::default() }]);
    assert_eq!(h.cancel_item(0)[0], "commit t1 0..1 cancelled x1");
    h.step(Input::SourceEnded);
    h.commit_all();
    h.exit(1, Exit::Killed(KillReason::JobOver), &[]);
    assert_eq!(h.log.last().unwrap(), "finish Complete");
}

#[test]
fn an_open_item_is_interrupted_and_its_neighbours_are_not() {
    let mut h = Harness::with_policy_and_items(policy(2), 4);
    assert_eq!(h.cancel_item(0), ["cancel w1 l1.0", "take back w1 lease 1"]);
    assert!(h.cancel_item(0).is_empty(), "once");
    assert_eq!(h.returned(1, 1, 1), ["cancel w1 l1.0"], "it has begun");
    assert_eq!(h.fail(1, 1, 0, interrupted())[0], "commit t1 0..1 cancelled x1");
    assert!(h.wait(10 * SECOND).iter().all(|line| !line.starts_with("kill")));
}

#[test]
fn an_item_that_has_not_begun_comes_back_and_those_behind_it_run() {
    let mut h = with_a_long_lease();
    assert_eq!(h.cancel_item(4), ["cancel w1 l3.2", "take back w1 lease 3"]);
    assert_eq!(h.returned(1, 3, 1)[0], "commit t3 4..5 cancelled x0");
    h.reply(1, 3, 0, 1);
    h.reply(1, 4, 0, 2);
    h.work_off_from(1, 5, 3);
    let settled: u32 = h.commits.iter().map(|commit| commit.range.end - commit.range.start).sum();
    assert_eq!(settled, 9, "{:#?}", h.log);
}

#[test]
fn an_item_that_completes_before_it_is_reached_stays_completed() {
    let mut h = Harness::with_one_worker(1);
    h.cancel_item(0);
    assert_eq!(h.reply(1, 1, 0, 1)[0], "commit t1 0..1 completed x1");
}

#[test]
fn whatever_failure_a_cancelled_item_reports_it_is_cancelled() {
    for failure in [Failure::transient("x"), Failure::invalid_input("x"), interrupted()] {
        let mut h = Harness::with_one_worker(1);
        h.cancel_item(0);
        assert_eq!(h.fail(1, 1, 0, failure)[0], "commit t1 0..1 cancelled x1");
    }
    let mut h = Harness::with_one_worker(1);
    h.cancel_item(0);
    let lines = h.fail(1, 1, 0, Failure::fatal("x"));
    assert_eq!(lines[..2], ["commit t1 0..1 cancelled x1", "stop w1"], "the job ends all the same");
}

#[test]
fn an_item_that_does_not_end_within_the_grace_costs_its_worker_and_nobody_else_anything() {
    let mut h = with_a_long_lease();
    h.cancel_item(2);
    assert_eq!(h.returned(1, 3, 1)[0], "cancel w1 l3.0", "it has begun");
    assert!(h.wait(4 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND), ["kill w1 ItemCancelled", "spawn w2 s0"]);
    let lines = h.exit(1, sigkill(), &[(3, 0)]);
    assert_eq!(lines[..2], ["exited w1 killed-by-us", "commit t3 2..3 cancelled x0"]);
    assert_eq!(h.count("suspected") + h.count("note"), 0);
    h.ready(2);
    assert!(h.log.last().unwrap().ends_with("#1"), "the others run again, uncharged: {:?}", h.log.last());
}

#[test]
fn an_item_that_crashes_while_it_is_cancelled_is_cancelled() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 1);
    h.cancel_item(0);
    assert_eq!(h.exit(1, segv(), &[(1, 0)])[1], "commit t1 0..1 cancelled x1");
    let mut h = Harness::with_one_worker(1);
    h.cancel_item(0);
    assert_eq!(h.exit(1, sigkill(), &[(1, 0)])[1], "commit t1 0..1 cancelled x1");
}

#[test]
fn an_item_of_a_worker_that_leaves_or_dies_is_cancelled_with_the_verdict() {
    let mut h = Harness::with_one_worker(1);
    h.control(Control::Cancel);
    assert!(h.cancel_item(0).is_empty(), "it was asked to leave anyway");
    assert_eq!(h.fail(1, 1, 0, interrupted()), ["commit t1 0..1 cancelled x0"]);
    let mut h = Harness::with_one_worker(1);
    h.lost(1);
    assert!(h.cancel_item(0).is_empty());
    assert_eq!(h.exit(1, segv(), &[])[1], "commit t1 0..1 cancelled x0");
}

#[test]
fn a_paused_and_a_draining_job_cancel_items_too() {
    let mut h = with_a_long_lease();
    h.control(Control::Pause);
    assert_eq!(h.cancel_item(8), ["commit t3 8..9 cancelled x0"]);
    assert_eq!(h.cancel_item(2), ["cancel w1 l3.0", "take back w1 lease 3"], "interrupted where it is held");
    let mut h = with_a_long_lease();
    h.control(Control::Drain);
    assert_eq!(h.cancel_item(2), ["cancel w1 l3.0"], "what has not begun was taken back before");
    assert_eq!(h.fail(1, 3, 0, interrupted())[0], "commit t3 2..3 cancelled x1");
}

#[test]
fn the_machine_standing_still_extends_the_grace() {
    let mut h = Harness::with_one_worker(1);
    h.cancel_item(0);
    h.now = h.now + 60 * SECOND;
    h.step(Input::ClockGap(60 * SECOND));
    assert!(h.wait(4 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND)[0], "kill w1 ItemCancelled");
}

#[test]
fn an_item_in_the_middle_of_what_is_ready_leaves_the_others_in_order() {
    let lease = LeaseLimits { items_max: 1, ..LeaseLimits::default() };
    let mut h = Harness::new(Policy { lease, ..policy(1) });
    h.feed(3);
    h.cancel_item(1);
    h.cancel_item(0);
    h.cancel_item(2);
    h.feed(2);
    h.ready(1);
    assert_eq!((h.count("assign w1 l1 3..4"), h.count("assign w1 l2 4..5")), (1, 1));
}

#[test]
fn cancelled_items_that_have_not_come_are_remembered_up_to_a_bound_while_the_source_delivers() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.ready(1);
    for ordinal in 1..=1 << 16 {
        assert!(h.cancel_item(ordinal).is_empty());
    }
    assert!(h.cancel_item(1 << 17)[0].starts_with("Degraded"));
    assert_eq!(h.cancel_item(0).len(), 2, "a worker holds this one: it is interrupted, and not awaited");
    h.step(Input::SourceEnded);
    assert!(h.cancel_item(1 << 18).is_empty(), "nothing more will come");
}

#[test]
fn an_item_whose_last_trial_was_cancelled_is_not_waited_for() {
    let host_died = |index| Prior { index: ItemIndex(index), host_deaths: 2, ..Prior::default() };
    let mut h = Harness::new(policy(1));
    h.feed_known(2, &[host_died(0), host_died(1)]);
    h.ready(1);
    h.cancel_item(0);
    h.step(Input::SourceEnded);
    assert_eq!(
        h.wait(5 * SECOND),
        ["assign w1 l1 1..2 #3"],
        "the host stood idle for five seconds, not sixty"
    );
}
