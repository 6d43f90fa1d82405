//! Suspects run alone in a fresh worker.

use crate::harness::{Harness, SECOND, policy, segv};
use cofferdam_pipeline_core::supervisor::{Input, Prior, Settled, Supervisor, WorkerState};
use cofferdam_pipeline_core::{Exit, ExitReport, Failure, ItemIndex, Policy, WorkerEvent};

fn crashed_before(index: u64) -> Prior {
    Prior { index: ItemIndex(index), crashes: 1, ..Prior::default() }
}

fn host_died(index: u64, times: u32) -> Prior {
    Prior { index: ItemIndex(index), host_deaths: times, ..Prior::default() }
}

#[test]
fn a_second_crash_alone_convicts() {
    let mut h = Harness::with_one_worker(2);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    let lines = h.exit(2, Exit::Code(0), &[(3, 0)]);
    assert_eq!(lines, ["exited w2 exit(0)", "commit t1 0..1 quarantined exit(0) x2", "spawn w3 s0"]);
}

#[test]
fn a_policy_may_grant_more_trials() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 3, ..policy(1) }, 1);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    h.exit(2, segv(), &[(2, 0)]);
    assert_eq!(h.count("commit"), 0);
    h.ready(3);
    h.exit(3, segv(), &[(3, 0)]);
    assert_eq!(h.count("commit t1 0..1 quarantined SIGSEGV x3"), 1);
}

#[test]
fn a_policy_may_convict_at_the_first_crash() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 1);
    assert_eq!(h.exit(1, segv(), &[(1, 0)])[1], "commit t1 0..1 quarantined SIGSEGV x1");
}

#[test]
fn nothing_else_is_given_to_a_worker_that_holds_a_trial() {
    let mut h = Harness::with_one_worker(5);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    h.wait(SECOND);
    h.feed(5);
    assert_eq!(h.count("assign w2"), 1);
}

#[test]
fn the_others_go_on_during_a_trial() {
    let mut h = Harness::with_policy_and_items(policy(2), 9);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(3);
    assert_eq!(h.count("assign w3"), 1);
    let before = h.count("assign w2");
    h.reply(2, 3, 0, 1);
    assert_eq!(h.count("assign w2"), before + 1);
}

#[test]
fn a_failure_alone_acquits_and_is_then_judged_as_a_failure() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    let lines = h.fail(2, 2, 0, Failure::transient("busy"));
    assert_eq!(lines, ["acquitted 0", "note 0 crashes=0 failures=1 foreign=0 host=0", "retry 0"]);
    h.wait(SECOND);
    let lines = h.exit(2, segv(), &[(3, 0)]);
    assert_eq!(
        lines[1], "note 0 crashes=1 failures=1 foreign=0 host=0",
        "refunded: this is a first crash again"
    );
}

#[test]
fn a_death_with_nothing_open_does_not_convict_a_suspect() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, segv(), &[(1, 0)]);
    h.ready(2);
    h.exit(2, segv(), &[]);
    assert_eq!(h.count("commit"), 0);
    h.ready(3);
    assert_eq!(h.count("assign w3 l3 0..1 #2"), 1, "tried again, uncharged");
}

#[test]
fn crashes_of_an_earlier_session_count_and_the_item_is_tried_alone() {
    let mut h = Harness::new(policy(1));
    h.feed_known(3, &[crashed_before(1)]);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 1..2 #2"]);
    assert_eq!(h.exit(1, segv(), &[(1, 0)])[1], "commit t1 1..2 quarantined SIGSEGV x2");
}

#[test]
fn a_used_worker_makes_room_for_a_fresh_one_when_a_trial_waits() {
    let mut h = Harness::new(policy(1));
    h.feed(1);
    h.ready(1);
    h.feed_known(2, &[crashed_before(1)]);
    assert_eq!(h.count("assign w1"), 1, "it gets nothing more");
    assert_eq!(h.reply(1, 1, 0, 1)[1], "stop w1");
    assert_eq!(h.exit(1, Exit::Stopped, &[])[1], "spawn w2 s0");
    assert_eq!(h.ready(2), ["ready w2", "assign w2 l2 1..2 #2"]);
}

#[test]
fn a_last_trial_gets_a_fresh_worker_although_used_ones_idle() {
    let mut h = Harness::with_policy_and_items(policy(3), 5);
    for (worker, lease) in [(2, 3), (2, 4), (3, 5)] {
        h.reply(worker, lease, 0, 1);
    }
    h.reply(1, 1, 0, 1);
    h.exit(1, segv(), &[(2, 0)]);
    assert_eq!(h.count("spawn w4 s0"), 1, "{:#?}", h.log);
    assert!(h.ready(4)[1].ends_with("1..2 #2"));
}

#[test]
fn an_item_that_a_host_died_with_runs_as_the_only_one_in_the_host() {
    let mut h = Harness::new(policy(2));
    h.feed_known(5, &[host_died(2, 1)]);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 2..3 #2"]);
    assert_eq!(h.ready(2), ["ready w2"], "nothing beside it");
    let lines = h.reply(1, 1, 0, 1);
    assert_eq!(lines[1], "acquitted 2");
    assert_eq!(lines.iter().filter(|line| line.starts_with("assign")).count(), 2, "both go on");
}

#[test]
fn an_item_that_a_host_died_with_waits_until_nothing_else_runs() {
    let mut h = Harness::new(policy(2));
    h.feed(2);
    h.ready(1);
    h.feed_known(1, &[host_died(2, 1)]);
    h.ready(2);
    assert_eq!(h.count("assign w2"), 0);
    h.reply(1, 1, 0, 1);
    assert_eq!(h.count("assign w2"), 0);
    h.reply(1, 2, 0, 1);
    assert_eq!(h.log.last().unwrap(), "assign w2 l3 2..3 #2");
}

#[test]
fn before_the_death_of_a_host_that_would_convict_everything_else_goes_first() {
    let mut h = Harness::new(policy(1));
    h.feed_known(3, &[host_died(0, 2)]);
    h.step(Input::SourceEnded);
    h.ready(1);
    assert_eq!((h.count("assign w1 l1 1..2"), h.count("assign w1 l2 2..3")), (1, 1));
    h.reply(1, 1, 0, 1);
    assert_eq!(h.wait(30 * SECOND).len(), 0);
    h.reply(1, 2, 0, 1);
    assert!(h.wait(4 * SECOND).is_empty(), "the host stands idle");
    assert_eq!(h.wait(SECOND), ["stop w1"], "its worker must be a fresh one");
    h.exit(1, cofferdam_pipeline_core::Exit::Stopped, &[]);
    assert_eq!(h.ready(2)[1], "assign w2 l3 0..1 #3");
}

#[test]
fn an_item_whose_last_trial_waits_is_not_left_out_of_a_source_that_never_ends() {
    let mut h = Harness::new(policy(1));
    h.feed_known(2, &[host_died(0, 2)]);
    h.ready(1);
    h.wait(59 * SECOND);
    h.reply(1, 1, 0, 1);
    h.feed(1);
    assert_eq!(h.count("assign w1 l2 2..3"), 1);
    h.reply(1, 2, 0, 1);
    assert_eq!(h.wait(SECOND), ["stop w1"]);
    h.exit(1, cofferdam_pipeline_core::Exit::Stopped, &[]);
    assert_eq!(h.ready(2)[1], "assign w2 l3 0..1 #3");
}

#[test]
fn an_item_that_may_have_been_open_when_a_host_died_runs_alone_and_is_charged_with_nothing() {
    let suspect = Prior { index: ItemIndex(2), host_suspect: true, ..Prior::default() };
    let mut h = Harness::new(policy(2));
    h.feed_known(5, &[suspect]);
    h.step(Input::SourceEnded);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 2..3 #1"]);
    assert_eq!(h.ready(2), ["ready w2"], "nothing else runs in the host");
    let lines = h.reply(1, 1, 0, 1);
    assert_eq!(lines[..2], ["commit t1 2..3 completed x1", "acquitted 2"]);
    assert!(lines[2].starts_with("assign"), "{lines:?}");
}

#[test]
fn in_threads_that_were_chosen_an_item_that_a_host_died_with_is_tried_and_a_crashed_one_is_not() {
    let mut h = Harness::of(Supervisor::in_threads(policy(1)));
    h.feed_known(2, &[host_died(0, 1), crashed_before(1)]);
    h.step(Input::SourceEnded);
    assert_eq!(h.ready(1), ["ready w1", "assign w1 l1 0..1 #2"]);
    h.reply(1, 1, 0, 1);
    h.exit(1, cofferdam_pipeline_core::Exit::Stopped, &[]);
    h.commit_all();
    assert!(h.log.last().unwrap().contains("1 stay pending"), "{:?}", h.log.last());
}

#[test]
fn an_item_that_three_hosts_died_with_is_set_aside_without_another_try() {
    let mut h = Harness::new(policy(1));
    assert_eq!(h.feed_known(1, &[host_died(0, 3)])[0], "commit t1 0..1 quarantined host-death x3");
    h.ready(1);
    assert_eq!(h.count("assign"), 0);
}

#[test]
fn several_trials_run_beside_each_other_each_in_its_own_worker() {
    let mut h = Harness::new(policy(2));
    h.feed_known(4, &[crashed_before(0), crashed_before(1), crashed_before(2)]);
    h.step(Input::SourceEnded);
    h.ready(1);
    h.ready(2);
    assert_eq!((h.count("assign w1 l1 0..1"), h.count("assign w2 l2 1..2")), (1, 1));
    assert_eq!(h.reply(1, 1, 0, 1).last().unwrap(), "stop w1", "the third needs a fresh one");
    h.reply(2, 2, 0, 1);
    assert_eq!(h.count("assign w2 l3 3..4 #1"), 1, "ordinary work goes on");
    h.exit(1, Exit::Stopped, &[]);
    h.ready(3);
    assert_eq!(h.count("assign w3 l4 2..3 #2"), 1);
}

#[test]
fn in_threads_an_item_that_ended_a_worker_never_runs_again() {
    let mut h = Harness::of(Supervisor::in_threads(policy(1)));
    h.feed_known(3, &[crashed_before(0)]);
    h.step(Input::SourceEnded);
    h.ready(1);
    h.exit(
        1,
        Exit::Panic { message: "boom".into(), location: String::new(), backtrace: String::new() },
        &[(1, 0)],
    );
    h.ready(2);
    h.reply(2, 3, 0, 1);
    assert_eq!(h.log.iter().filter(|line| line.starts_with("assign") && line.contains(" 0..1 ")).count(), 0);
    assert_eq!(h.log.iter().filter(|line| line.starts_with("assign") && line.contains(" 1..2 ")).count(), 1);
    h.commit_all();
    h.exit(2, Exit::Stopped, &[]);
    assert!(h.log.last().unwrap().starts_with("finish WorkersUnavailable"), "{:?}", h.log.last());
    assert!(h.log.last().unwrap().contains("2 stay pending"));
}

#[test]
fn a_busy_worker_goes_on_while_a_place_is_free_for_the_first_of_several_trials() {
    let mut h = Harness::new(policy(2));
    h.feed(20);
    h.ready(1);
    h.ready(2);
    let report =
        ExitReport { exit: Exit::Code(1), open: vec![], open_known: false, stderr_tail: String::new() };
    h.worker(2, WorkerEvent::Exited(report));
    assert_eq!(h.count("suspected"), 2, "both of its items may have ended it");
    let lines = h.reply(1, 1, 0, 1);
    assert!(lines.iter().any(|line| line.starts_with("assign w1")), "{lines:?}");
    h.ready(3);
    let lines = h.reply(1, 2, 0, 1);
    assert!(
        lines.iter().any(|line| line.starts_with("assign w1")),
        "one trial runs, the next can wait: {lines:?}"
    );
}

#[test]
fn a_last_trial_that_is_over_is_not_waited_for() {
    let mut h = Harness::new(policy(1));
    h.feed_known(1, &[host_died(0, 2)]);
    h.ready(1);
    assert_eq!(h.wait(59 * SECOND), [""; 0], "the source may deliver others yet");
    assert_eq!(h.wait(SECOND), ["assign w1 l1 0..1 #3"]);
    h.reply(1, 1, 0, 1);
    h.feed_known(1, &[host_died(1, 2)]);
    h.step(Input::SourceEnded);
    assert_eq!(h.wait(5 * SECOND), ["stop w1"], "its worker must be a fresh one");
}

#[test]
fn one_idle_worker_leaves_for_one_trial() {
    let mut h = Harness::new(policy(3));
    h.feed(1);
    (1..=3).for_each(|worker| drop(h.ready(worker)));
    h.reply(1, 1, 0, 1);
    h.feed(3);
    (1..=3).for_each(|worker| h.work_off(worker, 1, SECOND));
    let lines = h.feed_known(1, &[crashed_before(4)]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("stop")).count(), 1, "{:#?}", h.log);
}

#[test]
fn a_worker_that_starts_is_enough_for_one_trial() {
    let mut h = Harness::with_policy_and_items(policy(2), 1);
    h.exit(1, segv(), &[(1, 0)]);
    assert_eq!(h.count("spawn"), 2, "the second worker has not begun yet, and is there for it");
    assert_eq!(h.ready(2)[1], "assign w2 l2 0..1 #2");
}

#[test]
fn room_for_a_trial_is_made_by_a_worker_that_lives() {
    let mut h = Harness::new(policy(1));
    h.feed(2);
    h.ready(1);
    h.reply(1, 1, 0, 1);
    h.lost(1);
    h.feed(5);
    h.ready(2);
    h.feed_known(1, &[crashed_before(7)]);
    let states: Vec<_> = h.supervisor.workers().map(|worker| worker.state).collect();
    assert_eq!(states, [WorkerState::Dying, WorkerState::Ready]);
    assert_eq!(h.reply(2, 3, 0, 1).len(), 1, "it gets nothing more");
}

#[test]
fn the_evidence_against_an_item_that_hosts_died_with_says_how_often() {
    let mut h = Harness::new(policy(1));
    h.feed_known(1, &[host_died(0, 3)]);
    let Settled::Quarantined(evidence) = &h.commits[0].settled else { panic!("{:?}", h.log) };
    assert_eq!(evidence.message, "the host died 3 times with this item as the only open one");
}
