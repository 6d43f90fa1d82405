//! How many workers there are, restarts, and the ladder.

use crate::harness::{Harness, MS, SECOND, policy, segv};
use cofferdam_pipeline_core::supervisor::{Control, Input, Prior, Supervisor, WorkerState};
use cofferdam_pipeline_core::{Exit, Failure, ItemIndex, LeaseId, Policy, WorkerEvent, WorkerId};

fn spawn_failed() -> Exit {
    Exit::SpawnFailed("no such file".into())
}

/// Lets workers die before they are ready until the job ends or `deaths` have died; returns how many died.
fn die_at_start(h: &mut Harness, exit: &Exit, deaths: usize) -> usize {
    let mut died = 0;
    while died < deaths && h.count("finish") == 0 {
        let started = h.count("spawn");
        let gone = h.count("exited");
        if started > gone {
            h.exit(gone as u32 + 1, exit.clone(), &[]);
            died += 1;
        } else {
            h.wait(50 * MS);
        }
    }
    died
}

#[test]
fn no_worker_is_spawned_before_there_is_work() {
    let mut h = Harness::new(policy(4));
    h.wait(SECOND);
    assert_eq!(h.count("spawn"), 0);
    assert!(
        h.step(Input::SourceEnded).contains(&"finish Complete".to_owned()),
        "an empty source is complete"
    );
}

#[test]
fn all_workers_are_spawned_while_the_source_delivers() {
    let mut h = Harness::new(policy(3));
    assert_eq!(h.feed(1), ["spawn w1 s0", "spawn w2 s1", "spawn w3 s2"]);
}

#[test]
fn not_more_workers_are_replaced_than_there_is_work() {
    let mut h = Harness::with_policy_and_items(policy(3), 5);
    h.reply(2, 3, 0, 1);
    h.reply(2, 4, 0, 1);
    h.reply(3, 5, 0, 1);
    h.exit(3, segv(), &[]);
    assert_eq!(h.count("spawn"), 3, "two items are left and two workers live");
}

#[test]
fn the_replacement_starts_at_the_first_sign_of_death_in_the_same_place() {
    let mut h = Harness::with_policy_and_items(policy(2), 9);
    assert_eq!(h.lost(1), ["spawn w3 s0"]);
    assert_eq!(h.exit(1, segv(), &[(1, 0)]).iter().filter(|line| line.starts_with("spawn")).count(), 0);
}

#[test]
fn the_replacement_starts_when_we_kill() {
    let mut h = Harness::with_one_worker(2);
    assert_eq!(h.reply(1, 9, 0, 1), ["kill w1 ProtocolViolation", "spawn w2 s0"]);
}

#[test]
fn workers_that_take_long_to_die_do_not_pile_up() {
    let mut h = Harness::with_one_worker(1);
    for worker in 1..20 {
        h.lost(worker);
    }
    assert_eq!(h.count("spawn"), 3, "three are dying, that is enough");
    assert_eq!(h.supervisor.counters().workers_started, 3);
    assert!(h.supervisor.next_deadline() > Some(h.now), "a delay that is over is no deadline");
}

#[test]
fn the_first_restart_has_no_delay_and_the_next_ones_have_more_and_more() {
    let mut h = Harness::with_one_worker(1);
    let mut delays = Vec::new();
    for worker in 1..=5 {
        h.exit(worker, segv(), &[]);
        let before = h.now;
        if h.count("spawn") == worker as usize {
            let at = h.supervisor.next_deadline().unwrap();
            h.wait(at.since(h.now));
        }
        assert_eq!(h.count("spawn"), worker as usize + 1);
        delays.push(h.now.since(before));
    }
    assert_eq!(delays, [std::time::Duration::ZERO, 50 * MS, 100 * MS, 200 * MS, 400 * MS]);
}

#[test]
fn a_completed_item_resets_the_delay_and_the_budget() {
    let mut h = Harness::with_one_worker(500);
    for worker in 1..=40 {
        h.exit(worker, segv(), &[]);
        assert_eq!(h.count("spawn"), worker as usize + 1, "no delay");
        h.ready(worker + 1);
        let (lease, count) = h.open_lease(worker + 1, &[]).unwrap();
        h.reply(worker + 1, lease, 0, count);
    }
    assert_eq!(h.count("finish") + h.count("Degraded"), 0);
}

#[test]
fn only_deaths_within_the_window_count() {
    let mut h = Harness::with_one_worker(1);
    for worker in 1..=20 {
        h.exit(worker, Exit::StartFailed("no model".into()), &[]);
        h.wait(13 * SECOND);
    }
    assert_eq!(h.count("finish") + h.count("Degraded"), 0, "five in a minute are tolerated");
}

#[test]
fn the_ladder_leads_from_fewer_workers_to_one_to_the_end() {
    let mut h = Harness::new(policy(8));
    h.feed(100);
    let died = die_at_start(&mut h, &Exit::StartFailed("no model".into()), 1_000);
    let steps: Vec<_> = h.log.iter().filter(|line| line.starts_with("Degraded")).collect();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps[0].contains("going on with 4") && steps[1].contains("going on with 1"), "{steps:?}");
    assert!(h.log.last().unwrap().starts_with("finish WorkersUnavailable"));
    assert!(
        (18..=26).contains(&died),
        "three times the budget of five and those that were under way: {died}"
    );
}

#[test]
fn after_a_step_down_there_are_fewer_workers() {
    let mut h = Harness::new(policy(4));
    h.feed(100);
    die_at_start(&mut h, &Exit::StartFailed("no model".into()), 6);
    h.wait(5 * SECOND);
    let starting: Vec<_> = h.supervisor.workers().map(|worker| worker.worker.0).collect();
    starting.into_iter().for_each(|worker| drop(h.ready(worker)));
    let ready = h.supervisor.workers().filter(|w| w.state == WorkerState::Ready).count();
    assert_eq!(ready, 2, "{:#?}", h.log);
    assert!(h.count("stop") > 0, "the one above is let go");
}

#[test]
fn a_worker_above_the_capacity_leaves_when_it_is_idle() {
    let mut h = Harness::new(policy(2));
    h.feed(2);
    h.ready(1);
    // The second place has bad luck.
    for worker in 2..=7 {
        h.wait(2 * SECOND);
        h.exit(worker, Exit::StartFailed("no memory".into()), &[]);
    }
    assert_eq!(h.count("Degraded"), 1);
    h.wait(10 * SECOND);
    assert_eq!(h.count("spawn"), 7, "one is enough now");
}

#[test]
fn threads_take_over_only_when_not_a_single_process_could_be_started() {
    let mut h = Harness::of(Supervisor::new(policy(2), true));
    h.feed(10);
    die_at_start(&mut h, &spawn_failed(), 12);
    assert_eq!(h.count("use threads"), 1);
    h.wait(5 * SECOND);
    assert_eq!(h.supervisor.workers().count(), 2, "as many threads as there should have been processes");
    die_at_start(&mut h, &spawn_failed(), 1_000);
    assert_eq!(h.count("use threads"), 1, "once");
    assert!(h.log.last().unwrap().starts_with("finish WorkersUnavailable"));
}

#[test]
fn threads_never_take_over_when_the_job_forbids_it() {
    let mut h = Harness::of(Supervisor::new(policy(1), false));
    h.feed(10);
    die_at_start(&mut h, &spawn_failed(), 1_000);
    assert_eq!(h.count("use threads"), 0);
    assert!(h.log.last().unwrap().starts_with("finish WorkersUnavailable"));
}

#[test]
fn threads_never_take_over_when_a_processor_died_in_its_start() {
    for exit in [Exit::StartFailed("died".into()), segv(), Exit::Code(0)] {
        let mut h = Harness::of(Supervisor::new(policy(1), true));
        h.feed(10);
        die_at_start(&mut h, &exit, 1);
        die_at_start(&mut h, &spawn_failed(), 1_000);
        assert_eq!(h.count("use threads"), 0, "{exit}");
    }
}

#[test]
fn threads_never_take_over_when_a_worker_was_ready_once() {
    let mut h = Harness::of(Supervisor::new(policy(1), true));
    h.feed(10);
    h.ready(1);
    h.exit(1, spawn_failed(), &[]);
    while h.count("finish") == 0 {
        h.wait(SECOND);
        let next = h.count("exited") as u32 + 1;
        h.exit(next, spawn_failed(), &[]);
    }
    assert_eq!(h.count("use threads"), 0);
}

#[test]
fn with_threads_items_with_a_history_of_crashes_stay_pending() {
    let mut h = Harness::of(Supervisor::new(policy(1), true));
    let prior = cofferdam_pipeline_core::supervisor::Prior { crashes: 1, ..Default::default() };
    h.feed_known(1, &[prior]);
    h.step(Input::SourceEnded);
    die_at_start(&mut h, &spawn_failed(), 6);
    assert_eq!(h.count("use threads"), 1);
    assert!(h.log.last().unwrap().contains("1 stay pending"), "{:?}", h.log.last());
}

#[test]
fn a_fatal_start_stops_the_job_at_once() {
    let mut h = Harness::new(policy(2));
    h.feed(10);
    let lines = h.worker(1, WorkerEvent::StartFailed(Failure::fatal("no licence")));
    assert_eq!(lines, ["kill w1 JobOver", "kill w2 JobOver"]);
    h.exit(1, Exit::StartFailed("no licence".into()), &[]);
    h.exit(2, Exit::Killed(cofferdam_pipeline_core::KillReason::JobOver), &[]);
    assert!(h.log.last().unwrap().starts_with("finish Fatal"));
}

#[test]
fn a_start_that_fails_otherwise_costs_the_restart_budget_only() {
    let mut h = Harness::new(policy(1));
    h.feed(10);
    assert!(h.worker(1, WorkerEvent::StartFailed(Failure::transient("busy"))).is_empty());
    assert_eq!(h.exit(1, Exit::StartFailed("busy".into()), &[])[1], "spawn w2 s0");
}

#[test]
fn only_workers_that_take_leases_count_as_ready() {
    let mut h = Harness::new(policy(2));
    h.feed(9);
    assert_eq!(h.supervisor.counters().workers_ready, 0);
    h.ready(1);
    assert_eq!(h.supervisor.counters().workers_ready, 1);
    h.ready(2);
    assert_eq!(h.supervisor.counters().workers_ready, 2);
    h.lost(1);
    assert_eq!(h.supervisor.counters().workers_ready, 1);
}

#[test]
fn deaths_before_the_machine_stood_still_count_as_if_it_had_not() {
    let restarts = cofferdam_pipeline_core::RestartBudget { deaths_max: 1, ..Default::default() };
    let mut h = Harness::new(Policy { restarts, ..policy(2) });
    h.feed(9);
    h.ready(1);
    h.exit(1, cofferdam_pipeline_core::Exit::Unknown, &[]);
    h.now = h.now + 200 * SECOND;
    h.step(Input::ClockGap(200 * SECOND));
    h.ready(2);
    assert_eq!(h.count("Degraded"), 0);
    h.exit(2, cofferdam_pipeline_core::Exit::Unknown, &[]);
    assert_eq!(h.count("Degraded"), 1, "{:#?}", h.log);
}

#[test]
fn no_deadline_is_told_for_a_restart_that_nobody_waits_for() {
    let mut h = Harness::with_one_worker(1);
    h.exit(1, Exit::Code(1), &[]);
    h.exit(2, Exit::Code(1), &[]);
    assert!(h.supervisor.next_deadline() > Some(h.now));
    h.control(Control::Pause);
    assert_eq!(h.supervisor.next_deadline(), None);
}

#[test]
fn not_more_idle_workers_leave_than_there_are_above_the_capacity() {
    let mut h = Harness::new(policy(4));
    h.feed(1);
    (1..=3).for_each(|worker| drop(h.ready(worker)));
    h.reply(1, 1, 0, 1);
    for worker in 4..=9 {
        h.wait(2 * SECOND);
        h.exit(worker, Exit::StartFailed("no memory".into()), &[]);
    }
    h.wait(10 * SECOND);
    assert_eq!((h.count("Degraded"), h.count("stop")), (1, 1), "{:#?}", h.log);
    assert_eq!(h.supervisor.counters().workers_ready, 2);
}

#[test]
fn left_with_threads_an_item_that_a_host_died_with_stays_pending_and_the_others_run() {
    let mut h = Harness::of(Supervisor::new(policy(1), true));
    h.feed(1);
    die_at_start(&mut h, &spawn_failed(), 6);
    assert_eq!(h.count("use threads"), 1);
    let priors = [
        Prior { index: ItemIndex(1), host_deaths: 1, ..Prior::default() },
        Prior { index: ItemIndex(2), failures: 1, ..Prior::default() },
    ];
    h.feed_known(2, &priors);
    h.step(Input::SourceEnded);
    h.wait(5 * SECOND);
    h.ready(7);
    let mut leases: Vec<_> = h.log.iter().filter(|line| line.starts_with("assign")).collect();
    leases.sort();
    assert_eq!(leases, ["assign w7 l1 2..3 #2", "assign w7 l2 0..1 #1"]);
}

#[test]
fn a_worker_that_leaves_has_its_deadline_also_when_its_last_result_has_come() {
    let mut h = Harness::with_one_worker(2);
    h.control(Control::Cancel);
    h.reply(1, 1, 0, 1);
    h.reply(1, 2, 0, 1);
    assert_eq!(h.supervisor.counters().workers_ready, 0);
    assert_eq!(h.wait(5 * SECOND), ["kill w1 Cancelled"]);
}

#[test]
fn an_item_of_a_worker_is_found_at_its_position_in_the_chunk() {
    let mut h = Harness::with_one_worker(9);
    h.work_off(1, 2, SECOND / 10_000);
    assert_eq!(h.lease_lens(), [1, 1, 4, 2]);
    let position = |lease, offset| {
        h.supervisor.item_at(WorkerId(1), LeaseId(lease), offset).map(|(_, position)| position)
    };
    assert_eq!((position(3, 1), position(4, 1), position(4, 2)), (Some(3), Some(7), None));
}
