//! Pause, resume, drain, cancel, and how jobs end.

use crate::harness::{Harness, SECOND, policy, segv};
use cofferdam_pipeline_core::supervisor::{Control, Input, Phase};
use cofferdam_pipeline_core::{Exit, Failure, KillReason, LeaseId, WorkerId};

#[test]
fn a_job_is_complete_when_every_item_is_durable_and_every_worker_gone() {
    let mut h = Harness::with_one_worker(2);
    h.reply(1, 1, 0, 1);
    assert_eq!(h.reply(1, 2, 0, 1), ["commit t2 1..2 completed x1", "stop w1"]);
    assert_eq!(h.exit(1, Exit::Stopped, &[]), ["exited w1 stopped"], "not durable yet");
    assert_eq!(h.commit_all(), ["durable 2 completed", "Ended", "finish Complete"]);
}

#[test]
fn nothing_follows_the_end() {
    let mut h = Harness::new(policy(1));
    h.step(Input::SourceEnded);
    assert_eq!(h.count("finish"), 1);
    assert!(h.feed(3).is_empty());
    assert!(h.control(Control::Cancel).is_empty());
    assert!(h.wait(100 * SECOND).is_empty());
    assert_eq!(h.supervisor.next_deadline(), None);
}

#[test]
fn a_pause_hands_out_nothing_and_holds_what_is_open() {
    let mut h = Harness::with_one_worker(9);
    assert_eq!(h.control(Control::Pause), ["pause w1 true", "Paused"]);
    assert_eq!(h.reply(1, 1, 0, 1), ["commit t1 0..1 completed x1"]);
    let lines = h.control(Control::Resume);
    assert_eq!(lines[..2], ["pause w1 false", "Resumed"]);
    assert!(lines[2].starts_with("assign w1"));
}

#[test]
fn a_worker_that_becomes_ready_during_a_pause_is_told() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.control(Control::Pause);
    assert_eq!(h.ready(1), ["ready w1", "pause w1 true"]);
}

#[test]
fn a_death_during_a_pause_is_judged_but_nothing_is_spawned() {
    let mut h = Harness::with_one_worker(2);
    h.control(Control::Pause);
    h.exit(1, segv(), &[(1, 0)]);
    assert_eq!((h.count("suspected 0"), h.count("spawn")), (1, 1));
    assert_eq!(h.control(Control::Resume), ["Resumed", "spawn w2 s0"]);
}

#[test]
fn a_drain_takes_unstarted_items_back_and_lets_open_ones_end() {
    let mut h = Harness::with_one_worker(9);
    assert_eq!(h.control(Control::Drain), ["Draining", "take back w1 lease 2"]);
    assert!(h.returned(1, 2, 0).is_empty());
    assert_eq!(h.reply(1, 1, 0, 1), ["commit t1 0..1 completed x1", "stop w1"]);
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.commit_all(), ["durable 1 completed", "Ended", "finish Drained"]);
}

#[test]
fn a_drain_with_nothing_left_to_do_completes_the_job() {
    let mut h = Harness::with_one_worker(1);
    h.control(Control::Drain);
    h.reply(1, 1, 0, 1);
    h.exit(1, Exit::Stopped, &[]);
    h.commit_all();
    assert_eq!(h.log.last().unwrap(), "finish Complete");
}

#[test]
fn retries_and_trials_stay_pending_in_a_drain() {
    let mut h = Harness::with_one_worker(2);
    h.control(Control::Drain);
    h.returned(1, 2, 1);
    h.fail(1, 1, 0, Failure::transient("busy"));
    h.exit(1, segv(), &[(2, 0)]);
    assert_eq!((h.count("note 0"), h.count("note 1")), (1, 1), "the next session knows");
    assert_eq!(h.log.last().unwrap(), "finish Drained");
}

#[test]
fn a_drain_of_a_paused_job_lets_open_items_go_on() {
    let mut h = Harness::with_one_worker(9);
    h.control(Control::Pause);
    assert_eq!(h.control(Control::Drain), ["pause w1 false", "Resumed", "Draining", "take back w1 lease 2"]);
}

#[test]
fn a_pause_during_a_drain_holds_open_items_until_resumed() {
    let mut h = Harness::with_one_worker(9);
    h.control(Control::Drain);
    assert_eq!(h.control(Control::Pause), ["pause w1 true", "Paused"]);
    assert_eq!(h.supervisor.phase().name(), "draining");
    assert_eq!(h.control(Control::Resume), ["pause w1 false", "Resumed"]);
    assert_eq!(h.supervisor.phase(), &Phase::Draining { paused: None });
}

#[test]
fn a_cancel_asks_then_kills_and_keeps_what_was_reported() {
    let mut h = Harness::with_one_worker(9);
    assert_eq!(h.control(Control::Cancel), ["stop w1"]);
    assert_eq!(h.reply(1, 1, 0, 1), ["commit t1 0..1 completed x1"]);
    assert_eq!(h.wait(5 * SECOND), ["kill w1 Cancelled"]);
    h.exit(1, Exit::Killed(KillReason::Cancelled), &[(2, 0)]);
    assert_eq!(h.count("finish"), 0);
    h.commit_all();
    assert_eq!(h.log.last().unwrap(), "finish Cancelled");
    assert_eq!(h.supervisor.counters().completed, 1);
}

#[test]
fn a_cancel_works_in_a_drain_and_in_a_pause() {
    for first in [Control::Drain, Control::Pause] {
        let mut h = Harness::with_one_worker(9);
        h.control(first);
        assert!(h.control(Control::Cancel).contains(&"stop w1".to_owned()));
        h.exit(1, Exit::Stopped, &[]);
        assert_eq!(h.log.last().unwrap(), "finish Cancelled");
    }
}

#[test]
fn a_cancelled_worker_in_its_start_is_not_waited_for() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    assert_eq!(h.control(Control::Cancel), ["kill w1 Cancelled"]);
}

#[test]
fn a_crash_while_cancelling_is_still_noted() {
    let mut h = Harness::with_one_worker(1);
    h.control(Control::Cancel);
    h.exit(1, segv(), &[(1, 0)]);
    assert_eq!(h.count("note 0 crashes=1"), 1);
    assert_eq!(h.log.last().unwrap(), "finish Cancelled");
}

#[test]
fn every_control_is_idempotent_in_every_phase() {
    use Control::{Cancel, Drain, Pause, Resume};
    for before in [vec![], vec![Pause], vec![Drain], vec![Drain, Pause], vec![Cancel]] {
        for control in [Pause, Resume, Drain, Cancel] {
            let mut h = Harness::with_one_worker(9);
            for &earlier in &before {
                h.control(earlier);
            }
            h.control(control);
            let phase = h.supervisor.phase().clone();
            assert!(h.control(control).is_empty(), "{before:?} then {control:?} twice");
            assert_eq!(h.supervisor.phase(), &phase);
        }
    }
}

#[test]
fn a_broken_source_ends_the_job_after_what_it_had_delivered() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.step(Input::SourceFailed("disk gone".into()));
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.exit(1, Exit::Stopped, &[]);
    h.commit_all();
    assert_eq!(h.log.last().unwrap(), "finish SourceFailed(\"disk gone\")");
}

#[test]
fn the_first_decision_about_the_end_stands() {
    let mut h = Harness::with_one_worker(2);
    h.fail(1, 1, 0, Failure::fatal("no model"));
    assert!(h.control(Control::Cancel).is_empty());
    h.exit(1, Exit::Stopped, &[]);
    assert!(h.log.last().unwrap().starts_with("finish Fatal"));
}

#[test]
fn an_open_item_can_be_looked_up_until_it_is_settled() {
    let mut h = Harness::with_one_worker(3);
    let at = |h: &Harness, lease, offset| {
        h.supervisor
            .item_at(WorkerId(1), LeaseId(lease), offset)
            .map(|(chunk, n)| chunk.first().0 + u64::from(n))
    };
    assert_eq!((at(&h, 1, 0), at(&h, 2, 0), at(&h, 2, 1), at(&h, 9, 0)), (Some(0), Some(1), None, None));
    h.reply(1, 1, 0, 1);
    assert_eq!(at(&h, 1, 0), None);
}
