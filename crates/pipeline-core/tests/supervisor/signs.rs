//! Signs of life: which of the limits was the first to expire names the end.

use crate::harness::{Harness, SECOND, open_item, policy, sigkill};
use cofferdam_pipeline_core::supervisor::{Control, Input};
use cofferdam_pipeline_core::{Observation, OpenItem, Policy, WorkerId};

fn limited() -> Policy {
    Policy {
        item_wall_max: Some(30 * SECOND),
        item_stall_max: Some(10 * SECOND),
        heartbeat_silence_max: Some(20 * SECOND),
        ..policy(1)
    }
}

#[test]
fn an_item_that_says_nothing_new_has_stalled_and_is_charged() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe_signs(1, 1, &[(1, 0)], 3);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 10 * SECOND));
    assert!(h.wait(9 * SECOND).is_empty());
    h.observe_signs(1, 2, &[(1, 0)], 3);
    assert_eq!(h.wait(SECOND), ["kill w1 TimeLimit(Stall, 10s)", "spawn w2 s0"]);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!((h.count("exited w1 stalled"), h.count("suspected 0")), (1, 1));
}

#[test]
fn each_thing_that_an_item_says_is_a_sign() {
    let base = open_item(1, 0);
    let signs = [
        OpenItem { stage: "other".into(), ..base.clone() },
        OpenItem { progress: Some((15, 20)), ..base.clone() },
        OpenItem { progress: None, ..base.clone() },
        OpenItem { message: "other".into(), ..base.clone() },
        OpenItem { breadcrumbs: vec!["page 15".into()], ..base.clone() },
    ];
    for sign in signs {
        let mut h = Harness::with_policy_and_items(limited(), 1);
        h.observe(1, &[(1, 0)]);
        h.wait(6 * SECOND);
        let seen = Observation { open: vec![sign.clone()], ..Observation::default() };
        h.step(Input::Observed(WorkerId(1), seen));
        assert!(h.wait(9 * SECOND).is_empty(), "{sign:?}");
        assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Stall, 10s)", "{sign:?}");
    }
}

#[test]
fn an_item_that_goes_on_reporting_ends_by_its_wall_time() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    for second in 0..30 {
        h.observe_signs(1, second, &[(1, 0)], second);
        assert_eq!(h.count("kill"), 0);
        h.wait(SECOND);
    }
    assert_eq!(h.count("kill w1 TimeLimit(Item, 30s)"), 1);
}

#[test]
fn a_worker_whose_heart_stops_charges_nobody_and_the_item_is_tried_again() {
    let mut h = Harness::with_policy_and_items(Policy { item_stall_max: None, ..limited() }, 2);
    h.observe_signs(1, 7, &[(1, 0)], 1);
    h.wait(12 * SECOND);
    h.observe_signs(1, 8, &[(1, 0)], 1);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 18 * SECOND), "the item's wall time is nearer");
    h.observe_signs(1, 8, &[], 1);
    h.observe_signs(1, 8, &[(1, 0)], 1);
    assert!(h.wait(19 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND), ["kill w1 TimeLimit(Heartbeat, 20s)", "spawn w2 s0"]);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!((h.count("exited w1 no-heartbeat"), h.count("suspected")), (1, 0));
    assert_eq!(h.count("note 0 crashes=0 failures=0 foreign=1"), 1);
}

#[test]
fn an_idle_worker_whose_heart_stops_is_replaced() {
    let mut h = Harness::new(limited());
    h.feed(1);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.observe_signs(1, 1, &[], 0);
    assert_eq!(h.wait(20 * SECOND), ["kill w1 TimeLimit(Heartbeat, 20s)", "spawn w2 s0"]);
    h.exit(1, sigkill(), &[]);
    assert_eq!(h.count("exited w1 no-heartbeat"), 1);
    assert_eq!(h.count("suspected"), 0);
}

#[test]
fn a_worker_that_never_beats_is_not_held_to_its_heartbeat() {
    let mut h =
        Harness::with_policy_and_items(Policy { item_stall_max: None, item_wall_max: None, ..limited() }, 1);
    h.observe_signs(1, 0, &[(1, 0)], 1);
    assert!(h.wait(1_000 * SECOND).is_empty(), "a worker in another language may have no recorder");
    assert_eq!(h.supervisor.next_deadline(), None);
}

#[test]
fn a_pause_and_a_gap_stop_the_clock_of_a_stall() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    h.observe(1, &[(1, 0)]);
    h.wait(4 * SECOND);
    h.control(Control::Pause);
    h.wait(100 * SECOND);
    h.control(Control::Resume);
    h.wait(3 * SECOND);
    let gap = 500 * SECOND;
    h.now = h.now + gap;
    h.step(Input::ClockGap(gap));
    assert!(h.wait(2 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Stall, 10s)");
}

#[test]
fn a_heart_goes_on_beating_while_items_are_held_and_a_gap_extends_its_limit() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    h.observe_signs(1, 1, &[(1, 0)], 0);
    h.control(Control::Pause);
    h.wait(15 * SECOND);
    let gap = 500 * SECOND;
    h.now = h.now + gap;
    h.step(Input::ClockGap(gap));
    assert!(h.wait(4 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Heartbeat, 20s)");
}

#[test]
fn a_worker_that_leaves_is_held_to_its_grace_and_not_to_its_heartbeat() {
    let mut h = Harness::with_policy_and_items(Policy { stop_grace: 60 * SECOND, ..limited() }, 1);
    h.observe_signs(1, 1, &[], 0);
    assert_eq!(h.reply(1, 1, 0, 1)[1], "stop w1");
    assert!(h.wait(59 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND), ["kill w1 JobOver"]);
}

#[test]
fn each_item_of_a_lease_has_a_clock_of_its_own() {
    let mut h = Harness::new(limited());
    h.feed(1_000);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.reply(1, 2, 0, 1);
    h.observe(1, &[(3, 0)]);
    h.wait(9 * SECOND);
    h.reply(1, 3, 0, 1);
    h.observe(1, &[(3, 1)]);
    assert!(h.wait(9 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Stall, 10s)");
}

#[test]
fn the_items_of_a_worker_that_is_gone_have_no_limits() {
    let mut h = Harness::with_policy_and_items(Policy { item_wall_max: Some(5 * SECOND), ..limited() }, 1);
    h.observe(1, &[(1, 0)]);
    h.lost(1);
    assert!(h.wait(6 * SECOND).is_empty(), "its verdict is on its way");
}
