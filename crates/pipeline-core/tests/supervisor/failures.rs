//! What processors report, and when it is tried again.

use crate::harness::{Harness, MS, SECOND, policy};
use cofferdam_pipeline_core::supervisor::{Control, Settled};
use cofferdam_pipeline_core::{Failure, FailureKind, LeaseId, OpenItem, Policy, WorkerEvent};
use std::time::Duration;

#[test]
fn a_transient_failure_is_retried_until_its_attempts_are_used_up() {
    let mut h = Harness::with_one_worker(1);
    let lines = h.fail(1, 1, 0, Failure::transient("busy"));
    assert_eq!(lines, ["note 0 crashes=0 failures=1 foreign=0 host=0", "retry 0"]);
    assert_eq!(h.supervisor.counters().waiting, 1);
    assert_eq!(h.wait(SECOND), ["assign w1 l2 0..1 #2"]);
    h.fail(1, 2, 0, Failure::new(FailureKind::Offline, "no network"));
    assert_eq!(h.wait(SECOND), ["assign w1 l3 0..1 #3"]);
    assert_eq!(h.fail(1, 3, 0, Failure::transient("busy"))[0], "commit t1 0..1 failed transient x3");
    assert_eq!(h.supervisor.counters().attempts, 3);
}

#[test]
fn backoff_doubles_with_full_jitter_and_never_exceeds_its_bounds() {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for seed in 0..200 {
        let mut h = Harness::with_policy_and_items(Policy { seed, ..policy(1) }, 1);
        h.fail(1, 1, 0, Failure::transient("busy"));
        let due = h.supervisor.next_deadline().unwrap();
        first.push(due.since(h.now));
        h.wait(due.since(h.now));
        h.fail(1, 2, 0, Failure::transient("busy"));
        second.push(h.supervisor.next_deadline().unwrap().since(h.now));
    }
    let spread = |delays: &[Duration], max: Duration| {
        assert!(delays.iter().all(|&delay| delay <= max));
        assert!(delays.iter().any(|&delay| delay < max / 10));
        assert!(delays.iter().any(|&delay| delay > max * 9 / 10));
    };
    spread(&first, 200 * MS);
    spread(&second, 400 * MS);
}

#[test]
fn a_rate_limit_is_honoured_as_a_lower_bound() {
    let mut h = Harness::with_one_worker(1);
    h.fail(1, 1, 0, Failure::new(FailureKind::RateLimited { retry_after: 90 * SECOND }, "slow down"));
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 90 * SECOND));
    assert!(h.wait(89 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND), ["assign w1 l2 0..1 #2"]);
}

#[test]
fn invalid_input_fails_at_once_with_its_message() {
    let mut h = Harness::with_one_worker(1);
    assert_eq!(
        h.fail(1, 1, 0, Failure::invalid_input("not a PDF"))[0],
        "commit t1 0..1 failed invalid-input x1"
    );
    let Settled::Failed(evidence) = &h.commits[0].settled else { panic!("it failed") };
    assert_eq!(evidence.message, "not a PDF");
}

#[test]
fn what_a_failed_item_had_said_is_evidence() {
    let mut h = Harness::with_one_worker(1);
    let said = OpenItem {
        lease: LeaseId(1),
        stage: "decode".into(),
        progress: Some((3, 14)),
        breadcrumbs: vec!["page 3".into()],
        ..OpenItem::default()
    };
    h.worker(1, WorkerEvent::Failed { item: said, failure: Failure::invalid_input("not a PDF") });
    let Settled::Failed(evidence) = &h.commits[0].settled else { panic!("it failed") };
    assert_eq!((&*evidence.stage, evidence.progress), ("decode", Some((3, 14))));
    assert_eq!(evidence.breadcrumbs, ["page 3"]);
}

#[test]
fn the_rest_of_a_lease_goes_on_after_a_failure() {
    let mut h = Harness::with_one_worker(3);
    h.fail(1, 1, 0, Failure::invalid_input("no"));
    assert_eq!(h.reply(1, 2, 0, 1)[0], "commit t2 1..2 completed x1");
}

#[test]
fn a_fatal_failure_stops_the_job_and_settles_nothing() {
    let mut h = Harness::with_one_worker(2);
    assert_eq!(h.fail(1, 1, 0, Failure::fatal("no model")), ["stop w1"]);
    let lines = h.exit(1, cofferdam_pipeline_core::Exit::Stopped, &[]);
    assert!(lines.last().unwrap().starts_with("finish Fatal"), "{lines:?}");
    assert_eq!(h.count("commit"), 0);
}

#[test]
fn an_item_that_was_asked_to_stop_and_did_is_pending_and_uncharged() {
    let mut h = Harness::with_one_worker(1);
    h.control(Control::Cancel);
    assert!(h.fail(1, 1, 0, Failure::new(FailureKind::Interrupted, "told to stop")).is_empty());
    assert_eq!(h.supervisor.counters().attempts, 0);
    h.exit(1, cofferdam_pipeline_core::Exit::Stopped, &[]);
    assert_eq!(h.log.last().unwrap(), "finish Cancelled");
}

#[test]
fn an_item_that_says_interrupted_though_nobody_asked_uses_up_its_attempts() {
    let mut h = Harness::with_one_worker(1);
    for lease in 1..=3 {
        h.fail(1, lease, 0, Failure::new(FailureKind::Interrupted, "told to stop"));
        h.wait(SECOND);
    }
    assert_eq!(h.count("commit t1 0..1 failed interrupted x3"), 1);
}

#[test]
fn failures_of_an_earlier_session_count() {
    let mut h = Harness::new(policy(1));
    let prior = cofferdam_pipeline_core::supervisor::Prior { failures: 2, ..Default::default() };
    h.feed_known(1, &[prior]);
    h.step(cofferdam_pipeline_core::supervisor::Input::SourceEnded);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 0..1 #3"]);
    assert_eq!(h.fail(1, 1, 0, Failure::transient("busy"))[0], "commit t1 0..1 failed transient x3");
}

#[test]
fn an_item_that_is_refused_fails_without_being_tried() {
    let mut h = Harness::new(policy(1));
    let refused =
        Some(cofferdam_pipeline_core::Evidence { kind: "duplicate-key".into(), ..Default::default() });
    let index = cofferdam_pipeline_core::ItemIndex(1);
    let prior = cofferdam_pipeline_core::supervisor::Prior { index, refused, ..Default::default() };
    assert_eq!(h.feed_known(3, &[prior])[0], "commit t1 1..2 failed duplicate-key x0");
    h.ready(1);
    assert_eq!((h.count("assign w1 l1 0..1"), h.count("assign w1 l2 2..3")), (1, 1));
}
