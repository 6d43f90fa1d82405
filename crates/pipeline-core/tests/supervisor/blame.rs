//! Who is charged for a worker's death.

use crate::harness::{Harness, SECOND, open_item, policy, segv, sigkill};
use cofferdam_pipeline_core::supervisor::{Input, Settled};
use cofferdam_pipeline_core::{Exit, ExitReport, KillReason, Policy, TimeLimit, WorkerEvent};

#[test]
fn only_the_open_item_is_charged_and_the_rest_goes_back_in_front() {
    let mut h = Harness::with_one_worker(3);
    let lines = h.exit(1, segv(), &[(1, 0)]);
    assert_eq!(
        lines,
        ["exited w1 SIGSEGV", "note 0 crashes=1 failures=0 foreign=0 host=0", "suspected 0", "spawn w2 s0"]
    );
    // Alone, then the innocent ones.
    assert_eq!(h.ready(2), ["ready w2", "assign w2 l3 0..1 #2"]);
    assert_eq!(
        h.reply(2, 3, 0, 1),
        ["commit t1 0..1 completed x2", "acquitted 0", "assign w2 l4 1..2 #1", "assign w2 l5 2..3 #1"]
    );
}

#[test]
fn every_exit_with_an_open_item_is_a_crash_even_exit_0() {
    for exit in
        [Exit::Code(0), Exit::Code(3), Exit::Unknown, Exit::Stopped, Exit::ProtocolViolation("x".into())]
    {
        let mut h = Harness::with_one_worker(1);
        let kind = exit.kind();
        h.exit(1, exit, &[(1, 0)]);
        assert_eq!(h.count("suspected 0"), 1, "{kind}");
        assert_eq!(h.supervisor.counters().crashes[&kind], 1);
        assert_eq!(h.supervisor.counters().attempts, 1);
    }
}

#[test]
fn a_death_with_nothing_open_charges_nobody() {
    let mut h = Harness::with_one_worker(2);
    h.exit(1, segv(), &[]);
    h.ready(2);
    assert_eq!(h.count("note") + h.count("suspected"), 0);
    assert_eq!((h.count("assign w2 l3 0..1 #1"), h.count("assign w2 l4 1..2 #1")), (1, 1), "{:#?}", h.log);
    assert_eq!(h.supervisor.counters().attempts, 0);
    assert!(h.supervisor.counters().crashes.is_empty());
}

#[test]
fn items_that_the_worker_does_not_hold_cannot_be_charged() {
    let mut h = Harness::with_policy_and_items(policy(2), 4);
    h.reply(1, 1, 0, 1);
    // A settled item, somebody else's, one that never was.
    h.exit(1, segv(), &[(1, 0), (3, 0), (2, 9), (77, 0)]);
    assert_eq!(h.count("suspected"), 0);
}

#[test]
fn an_item_that_is_named_twice_is_charged_once() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, segv(), &[(1, 0), (1, 0)]);
    assert_eq!(h.count("note 0 crashes=1 "), 1);
    assert_eq!(h.count("note"), 1);
}

#[test]
fn without_a_recorder_every_unsettled_item_is_a_suspect() {
    let mut h = Harness::with_one_worker(3);
    let report = ExitReport { exit: segv(), open: vec![], open_known: false, stderr_tail: String::new() };
    h.worker(1, WorkerEvent::Exited(report));
    assert_eq!((h.count("suspected 0"), h.count("suspected 1"), h.count("suspected 2")), (1, 1, 0));
}

#[test]
fn several_open_items_are_all_suspects_and_tried_one_by_one() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 2);
    h.exit(1, segv(), &[(1, 0), (2, 0)]);
    assert_eq!(h.count("suspected"), 2, "even though one crash would convict a sole suspect");
    assert_eq!(h.ready(2), ["ready w2", "assign w2 l3 0..1 #2"]);
    let lines = h.reply(2, 3, 0, 1);
    assert_eq!(lines[1..], ["acquitted 0", "stop w2"], "the second trial needs a fresh worker, too");
    assert_eq!(h.exit(2, Exit::Stopped, &[]), ["exited w2 stopped", "spawn w3 s0"]);
    h.ready(3);
    assert_eq!(h.exit(3, segv(), &[(4, 0)])[1], "commit t2 1..2 quarantined SIGSEGV x2");
}

#[test]
fn a_kill_from_outside_charges_nobody_and_the_item_runs_again_alone() {
    let mut h = Harness::with_one_worker(2);
    let lines = h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!(lines[1], "note 0 crashes=0 failures=0 foreign=1 host=0");
    assert_eq!(h.count("suspected"), 0);
    assert_eq!(h.ready(2), ["ready w2", "assign w2 l3 1..2 #1"], "the others go on");
    h.reply(2, 3, 0, 1);
    assert_eq!(h.wait(SECOND), ["stop w2"], "its worker must be a fresh one");
    h.exit(2, Exit::Stopped, &[]);
    assert_eq!(h.ready(3), ["ready w3", "assign w3 l4 0..1 #2"], "alone");
    assert_eq!(h.supervisor.counters().crashes["SIGKILL"], 1);
}

#[test]
fn an_item_that_is_killed_from_outside_again_and_again_is_set_aside() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, sigkill(), &[(1, 0)]);
    for worker in 2..=4 {
        h.ready(worker);
        h.wait(SECOND);
        h.exit(worker, Exit::Signal { number: 15, name: "SIGTERM", address: None }, &[(worker, 0)]);
        assert_eq!(h.count("commit"), 0);
    }
    h.ready(5);
    h.wait(SECOND);
    h.exit(5, sigkill(), &[(5, 0)]);
    assert_eq!(h.count("commit t1 0..1 quarantined SIGKILL x5"), 1);
}

#[test]
fn a_killed_item_waits_twice_as_long_as_it_lived() {
    let mut h = Harness::with_one_worker(1);
    h.now = h.now + 4 * SECOND;
    h.exit(1, sigkill(), &[(1, 0)]);
    h.ready(2);
    assert!(h.wait(7 * SECOND).is_empty(), "a worker stands by meanwhile");
    assert_eq!(h.wait(SECOND), ["assign w2 l2 0..1 #2"]);
}

#[test]
fn kills_that_hit_idle_workers_too_do_not_count_against_an_item() {
    let patient = cofferdam_pipeline_core::RestartBudget { deaths_max: 1_000, ..Default::default() };
    let mut h = Harness::with_policy_and_items(Policy { restarts: patient, ..policy(1) }, 1);
    let mut worker = 1;
    for lease in 1..=20 {
        h.exit(worker, sigkill(), &[(lease, 0)]);
        h.ready(worker + 1);
        h.exit(worker + 1, sigkill(), &[]);
        while h.count(&format!("spawn w{}", worker + 2)) == 0 {
            h.wait(SECOND);
        }
        worker += 2;
        h.ready(worker);
        h.wait(SECOND);
        assert_eq!(h.count("commit"), 0, "somebody kills at random");
    }
    // From here on only the item is hit: the first time is the last after somebody else.
    for (worker, lease) in (worker..).zip(21..).take(6) {
        h.wait(SECOND);
        h.exit(worker, sigkill(), &[(lease, 0)]);
        h.ready(worker + 1);
        h.wait(5 * SECOND);
    }
    assert_eq!(h.count("commit t1 0..1 quarantined"), 1, "{:#?}", h.log);
}

#[test]
fn several_items_that_are_all_killed_for_their_own_sake_are_all_set_aside() {
    let mut h = Harness::with_policy_and_items(policy(1), 3);
    let mut worker = 1;
    for _ in 0..200 {
        if let Some((lease, _)) = h.last_lease_of(worker) {
            h.now = h.now + SECOND / 10;
            h.exit(worker, sigkill(), &[(lease, 0)]);
            worker += 1;
            h.ready(worker);
        }
        if let Some(how) = h.log.last().filter(|line| line.starts_with("stop w")) {
            assert_eq!(*how, format!("stop w{worker}"));
            h.exit(worker, Exit::Stopped, &[]);
            worker += 1;
            h.ready(worker);
        }
        h.wait(SECOND / 5);
        if h.commits.len() == 3 {
            return;
        }
    }
    panic!("they run for ever: {:#?}", h.log);
}

#[test]
fn kills_of_earlier_sessions_make_a_suspect_and_convict_nobody() {
    let mut h = Harness::new(policy(1));
    let prior = cofferdam_pipeline_core::supervisor::Prior { foreign_kills: 40, ..Default::default() };
    h.feed_known(1, &[prior]);
    assert_eq!(h.ready(1)[1], "assign w1 l1 0..1 #41");
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!(h.count("commit"), 0);
}

#[test]
fn our_own_kill_for_another_reason_charges_nobody() {
    let mut h = Harness::with_one_worker(2);
    h.control(cofferdam_pipeline_core::supervisor::Control::Cancel);
    assert_eq!(h.wait(5 * SECOND), ["kill w1 Cancelled"]);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!(h.count("note") + h.count("suspected") + h.count("commit"), 0);
    assert_eq!(h.log.last().unwrap(), "finish Cancelled");
}

#[test]
fn a_worker_that_is_killed_for_a_violation_has_its_open_item_charged() {
    for reported in
        [sigkill(), Exit::Killed(KillReason::ProtocolViolation), Exit::ProtocolViolation("x".into())]
    {
        let mut h = Harness::with_one_worker(1);
        h.reply(1, 9, 0, 1);
        h.exit(1, reported, &[(1, 0)]);
        assert_eq!((h.count("exited w1 protocol-violation"), h.count("suspected 0")), (1, 1));
    }
}

#[test]
fn a_violation_that_we_noticed_convicts_nobody_at_once() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 2);
    h.reply(1, 9, 0, 1);
    // The bad message may be the first item's, although the second one is open by now.
    h.exit(1, sigkill(), &[(2, 0)]);
    assert_eq!((h.count("suspected 0"), h.count("suspected 1"), h.count("commit")), (1, 1, 0));
}

#[test]
fn without_a_recorder_a_sole_item_is_tried_before_it_is_convicted() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 1);
    let report = ExitReport { exit: segv(), open: vec![], open_known: false, stderr_tail: String::new() };
    h.worker(1, WorkerEvent::Exited(report));
    assert_eq!((h.count("suspected 0"), h.count("commit")), (1, 0));
}

#[test]
fn a_crash_in_the_race_with_our_kill_keeps_its_own_name() {
    let mut h = Harness::with_policy_and_items(Policy { item_wall_max: Some(SECOND), ..policy(1) }, 1);
    h.observe(1, &[(1, 0)]);
    assert_eq!(h.wait(SECOND)[0], "kill w1 TimeLimit(Item, 1s)");
    assert_eq!(h.exit(1, segv(), &[(1, 0)])[0], "exited w1 SIGSEGV");
}

#[test]
fn evidence_holds_the_exit_and_what_the_recorder_knew() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 1);
    h.exit(1, segv(), &[(1, 0)]);
    let Settled::Quarantined(evidence) = &h.commits[0].settled else { panic!("set aside") };
    let open = open_item(1, 0);
    assert_eq!(evidence.kind, "SIGSEGV");
    assert_eq!(evidence.message, "ended by SIGSEGV (11)");
    assert_eq!(evidence.stage, open.stage);
    assert_eq!(evidence.progress, open.progress);
    assert_eq!(evidence.breadcrumbs, open.breadcrumbs);
    assert_eq!(evidence.stderr_tail, "the last words");
}

#[test]
fn an_item_after_which_workers_die_with_nothing_open_does_not_run_for_ever() {
    let mut h = Harness::new(Policy {
        restarts: cofferdam_pipeline_core::RestartBudget { deaths_max: 100, ..Default::default() },
        ..policy(1)
    });
    h.feed(2);
    h.step(Input::SourceEnded);
    for worker in 1..=5 {
        h.wait(2 * SECOND);
        h.ready(worker);
        h.exit(worker, segv(), &[]);
    }
    assert_eq!(h.count("commit t1 0..1 quarantined SIGSEGV"), 1, "{:#?}", h.log);
    h.wait(2 * SECOND);
    h.ready(6);
    assert!(h.log.iter().any(|line| line.starts_with("assign w6") && line.ends_with("1..2 #1")));
}

#[test]
fn a_time_limit_of_ours_charges_the_item_whose_time_was_up_and_no_other() {
    let mut h = Harness::with_policy_and_items(Policy { item_wall_max: Some(SECOND), ..policy(1) }, 2);
    h.observe(1, &[(1, 0)]);
    h.wait(SECOND / 2);
    h.observe(1, &[(1, 0), (2, 0)]);
    h.wait(SECOND / 2);
    h.exit(1, Exit::TimedOut { limit: TimeLimit::Item, after: SECOND }, &[(1, 0), (2, 0)]);
    assert_eq!((h.count("suspected 0"), h.count("suspected 1")), (1, 0));
    assert_eq!(h.supervisor.counters().crashes["time-limit"], 1);
}

#[test]
fn a_kill_from_outside_delays_the_trial_of_no_crashed_item() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    h.exit(2, segv(), &[(3, 0)]);
    h.exit(1, sigkill(), &[(1, 0)]);
    h.ready(3);
    assert_eq!(h.count("assign w3 l4 2..3 #2"), 1, "{:#?}", h.log);
}

#[test]
fn a_worker_that_stops_when_asked_with_an_item_open_charges_nobody() {
    let mut h = Harness::with_one_worker(1);
    h.control(cofferdam_pipeline_core::supervisor::Control::Cancel);
    h.exit(1, Exit::Stopped, &[(1, 0)]);
    assert_eq!(h.count("note") + h.count("suspected") + h.count("commit"), 0);
}

#[test]
fn evidence_that_is_not_durable_counts_with_all_its_parts() {
    let evidence = "ended by SIGSEGV (11)".len() + "decode".len() + "the last words".len() + "page 14".len();
    for (room, hands_out) in [(0, false), (1, true)] {
        let uncommitted_bytes_max = 64 + evidence + room;
        let mut h =
            Harness::with_policy_and_items(Policy { crashes_max: 1, uncommitted_bytes_max, ..policy(1) }, 2);
        h.exit(1, segv(), &[(1, 0)]);
        assert_eq!(h.count("commit t1 0..1 quarantined"), 1);
        h.ready(2);
        assert_eq!(h.count("assign w2") == 1, hands_out, "{room} bytes of room: {:#?}", h.log);
    }
}

#[test]
fn a_kill_from_outside_delays_nobodys_retry() {
    let mut h = Harness::with_policy_and_items(policy(2), 3);
    h.now = h.now + 10 * SECOND;
    h.fail(2, 3, 0, cofferdam_pipeline_core::Failure::transient("busy"));
    h.exit(1, sigkill(), &[(1, 0)]);
    h.wait(SECOND);
    assert!(h.log.iter().any(|line| line.ends_with("2..3 #2")), "{:#?}", h.log);
    assert!(!h.log.iter().any(|line| line.ends_with("0..1 #2")), "it waits for twenty seconds");
}

#[test]
fn an_item_that_was_seen_open_when_its_worker_said_nonsense_is_certain_unless_we_noticed_it_late() {
    let mut h = Harness::with_policy_and_items(Policy { crashes_max: 1, ..policy(1) }, 1);
    let lines = h.exit(1, Exit::ProtocolViolation("no frame".into()), &[(1, 0)]);
    assert_eq!(lines[1], "commit t1 0..1 quarantined protocol-violation x1");
}

#[test]
fn a_kill_from_outside_is_an_attempt_too() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, sigkill(), &[(1, 0)]);
    assert_eq!(h.supervisor.counters().attempts, 1);
}
