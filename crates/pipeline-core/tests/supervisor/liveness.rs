//! Deadlines, clocks, and workers that do not die.

use crate::harness::{Harness, MS, SECOND, policy, sigkill};
use cofferdam_pipeline_core::supervisor::{Control, Input};
use cofferdam_pipeline_core::{Exit, Failure, FailureKind, KillReason, Policy, Time};

fn limited() -> Policy {
    Policy { item_wall_max: Some(10 * SECOND), ..policy(1) }
}

#[test]
fn an_item_is_killed_when_its_time_is_up_measured_from_the_first_look() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.wait(30 * SECOND);
    h.observe(1, &[(1, 0)]);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 10 * SECOND));
    assert!(h.wait(9 * SECOND).is_empty());
    h.observe(1, &[(1, 0)]);
    assert_eq!(h.wait(SECOND), ["kill w1 TimeLimit(Item, 10s)", "spawn w2 s0"]);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!((h.count("exited w1 time-limit"), h.count("suspected 0")), (1, 1));
}

#[test]
fn the_next_item_has_a_clock_of_its_own() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.wait(9 * SECOND);
    h.reply(1, 1, 0, 1);
    h.observe(1, &[(2, 0)]);
    assert_eq!(h.wait(9 * SECOND), [""; 0]);
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
}

#[test]
fn a_settled_item_has_no_clock_even_if_nobody_has_looked_since() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.reply(1, 1, 0, 1);
    assert_eq!(h.supervisor.next_deadline(), None);
    assert!(h.wait(60 * SECOND).is_empty());
}

#[test]
fn an_item_that_stays_open_after_its_result_and_holds_others_up_gets_one_more_limit_and_no_charge() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.wait(9 * SECOND);
    h.reply(1, 1, 0, 1);
    h.observe(1, &[(1, 0)]);
    assert!(h.wait(9 * SECOND).is_empty(), "its clock began anew");
    h.observe(1, &[(1, 0)]);
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!((h.count("suspected"), h.count("note")), (0, 0));
    h.ready(2);
    assert_eq!(h.count("assign w2"), 1, "the item that it held up runs elsewhere");
}

#[test]
fn an_item_that_stays_open_after_its_result_and_holds_nobody_up_has_no_clock() {
    let mut h = Harness::new(limited());
    h.feed(1);
    h.ready(1);
    h.observe(1, &[(1, 0)]);
    h.reply(1, 1, 0, 1);
    for _ in 0..4 {
        h.observe(1, &[(1, 0)]);
        assert_eq!(h.wait(9 * SECOND).iter().filter(|line| line.contains("Item")).count(), 0);
    }
}

#[test]
fn another_slot_that_opens_an_item_does_not_restart_the_clock() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.wait(6 * SECOND);
    h.observe(1, &[(1, 0), (2, 0)]);
    assert_eq!(h.wait(4 * SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
}

#[test]
fn a_reply_that_wins_the_race_with_the_kill_counts_and_nobody_is_charged() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.wait(10 * SECOND);
    assert_eq!(h.reply(1, 1, 0, 1)[0], "commit t1 0..1 completed x1");
    h.exit(1, sigkill(), &[(2, 0)]);
    assert_eq!(h.count("suspected"), 0, "the second item is the victim of a kill that meant the first");
    h.ready(2);
    assert_eq!(h.count("assign w2 l3 1..2 #1"), 1);
}

#[test]
fn an_item_that_gives_up_because_of_the_kill_is_charged_all_the_same() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    h.observe(1, &[(1, 0)]);
    h.wait(10 * SECOND);
    assert!(h.fail(1, 1, 0, Failure::new(FailureKind::Interrupted, "told to stop")).is_empty());
    h.exit(1, Exit::Abandoned, &[]);
    assert_eq!((h.count("exited w1 time-limit"), h.count("suspected 0")), (1, 1));
}

#[test]
fn paused_time_is_not_the_items() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    h.observe(1, &[(1, 0)]);
    h.wait(4 * SECOND);
    h.control(Control::Pause);
    assert_eq!(h.supervisor.next_deadline(), None);
    h.wait(100 * SECOND);
    h.control(Control::Resume);
    assert!(h.wait(5 * SECOND).is_empty());
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
}

#[test]
fn an_item_first_seen_during_a_pause_starts_its_clock_at_the_end_of_it() {
    let mut h = Harness::with_policy_and_items(limited(), 1);
    h.control(Control::Pause);
    h.wait(50 * SECOND);
    h.observe(1, &[(1, 0)]);
    h.wait(50 * SECOND);
    h.control(Control::Resume);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 10 * SECOND));
}

#[test]
fn a_clock_gap_extends_every_deadline() {
    let mut h = Harness::new(Policy { workers: 2.try_into().unwrap(), ..limited() });
    h.feed(4);
    h.ready(1);
    h.observe(1, &[(1, 0)]);
    h.fail(1, 1, 0, Failure::new(FailureKind::RateLimited { retry_after: 7 * SECOND }, "slow"));
    h.observe(1, &[(2, 0)]);
    let gap = 1_000 * SECOND;
    h.now = h.now + gap;
    assert!(h.step(Input::ClockGap(gap)).is_empty());
    // The worker in its start, the item, the retry: all as they would have been.
    assert!(h.wait(6 * SECOND).is_empty());
    assert!(h.wait(SECOND).is_empty(), "the retry is due, but the worker is busy");
    assert_eq!(h.wait(3 * SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
    assert!(h.wait(49 * SECOND).iter().all(|line| !line.contains("Start")), "{:#?}", h.log);
    assert_eq!(h.wait(SECOND)[0], "kill w2 TimeLimit(Start, 60s)");
}

#[test]
fn a_start_that_takes_too_long_is_ended_and_costs_the_budget() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    assert_eq!(h.supervisor.next_deadline(), Some(Time(0) + 60 * SECOND));
    assert_eq!(h.wait(60 * SECOND), ["kill w1 TimeLimit(Start, 60s)", "spawn w2 s0"]);
    assert_eq!(h.exit(1, sigkill(), &[]), ["exited w1 start-time-limit"]);
}

#[test]
fn a_worker_that_does_not_stop_is_killed_after_the_grace() {
    let mut h = Harness::with_one_worker(1);
    assert_eq!(h.reply(1, 1, 0, 1)[1], "stop w1");
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 5 * SECOND));
    assert_eq!(h.wait(5 * SECOND), ["kill w1 JobOver"]);
}

#[test]
fn a_worker_that_even_a_kill_cannot_end_does_not_block_the_end() {
    let mut h = Harness::with_one_worker(1);
    h.reply(1, 1, 0, 1);
    h.commit_all();
    h.wait(5 * SECOND);
    let lines = h.wait(10 * SECOND);
    assert!(lines[0].starts_with("Degraded"), "{lines:?}");
    assert_eq!(lines[1..], ["exited w1 killed-by-us", "Ended", "finish Complete"]);
}

#[test]
fn a_lost_worker_without_a_verdict_is_killed_then_given_up_and_its_items_are_suspects() {
    let mut h = Harness::with_one_worker(1);
    h.lost(1);
    assert_eq!(h.wait(10 * SECOND), ["kill w1 TimeLimit(Stop, 10s)"]);
    h.wait(10 * SECOND);
    assert_eq!((h.count("exited w1 abandoned"), h.count("suspected 0")), (1, 1));
}

#[test]
fn an_item_whose_worker_cannot_be_ended_is_charged_with_its_time_limit() {
    let mut h = Harness::with_policy_and_items(limited(), 2);
    h.observe(1, &[(1, 0)]);
    h.wait(10 * SECOND);
    h.wait(10 * SECOND);
    assert_eq!((h.count("exited w1 time-limit"), h.count("suspected")), (1, 1));
}

#[test]
fn a_clock_gap_extends_the_wait_for_a_retry_and_for_a_restart() {
    let gap = 1_000 * SECOND;
    let mut h = Harness::with_one_worker(1);
    h.fail(1, 1, 0, Failure::new(FailureKind::RateLimited { retry_after: 7 * SECOND }, "slow"));
    h.now = h.now + gap;
    h.step(Input::ClockGap(gap));
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 7 * SECOND));

    let mut h = Harness::with_one_worker(1);
    h.exit(1, Exit::Code(1), &[]);
    h.exit(2, Exit::Code(1), &[]);
    h.now = h.now + gap;
    h.step(Input::ClockGap(gap));
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + SECOND / 20));
}

#[test]
fn time_that_goes_backwards_counts_as_standing_still() {
    let mut h = Harness::with_one_worker(1);
    h.wait(100 * SECOND);
    h.now = Time(0);
    h.fail(1, 1, 0, Failure::new(FailureKind::RateLimited { retry_after: SECOND }, "slow"));
    assert_eq!(h.supervisor.next_deadline(), Some(Time(0) + 101 * SECOND));
}

#[test]
fn a_worker_that_was_lost_before_our_kill_did_not_die_of_it() {
    let mut h = Harness::with_one_worker(1);
    h.lost(1);
    h.wait(10 * SECOND);
    h.exit(1, Exit::Killed(KillReason::JobOver), &[(1, 0)]);
    assert_eq!((h.count("exited w1 unknown"), h.count("suspected 0")), (1, 1), "{:#?}", h.log);
}

#[test]
fn a_clock_gap_is_not_the_time_of_a_long_item() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    h.reply(2, 3, 0, 1);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 5 * MS));
    h.now = h.now + SECOND;
    assert_eq!(h.step(Input::ClockGap(SECOND)), [""; 0]);
    assert_eq!(h.supervisor.next_deadline(), Some(h.now + 5 * MS));
}
