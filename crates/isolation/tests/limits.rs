//! Workers that the host kills: the reason is the exit.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::{Executor, Exit, KillReason, TimeLimit};
use common::{Host, Item, assert_open};
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

fn assert_killed(stuck: Item, why: KillReason, exit: &Exit) {
    let mut host = Host::new();
    let neighbour = host.ready(0);
    let worker = host.ready(1);
    let lease = host.assign(worker, &[Item::Annotated(stuck.into()), Item::Echo(vec![])]);
    let open = host.wait_observed(worker, |open| open.iter().any(|item| item.message == "page 3"));
    assert_eq!((open[0].lease, open[0].offset), (lease, 0));
    host.executor.kill(worker, why);
    let end = host.end_of(worker);
    assert_eq!(&end.report().exit, exit);
    assert_open(end.report(), lease, 0);
    assert_eq!(end.report().open[0].stage, "decode");
    host.assert_unharmed(neighbour);
}

const LIMIT: Duration = Duration::from_millis(123);

#[test]
fn an_item_that_hangs_ends_by_its_time_limit() {
    let why = KillReason::TimeLimit(TimeLimit::Item, LIMIT);
    assert_killed(Item::Sleep, why, &Exit::TimedOut { limit: TimeLimit::Item, after: LIMIT });
}

#[test]
fn an_item_that_spins_ends_by_its_time_limit() {
    let why = KillReason::TimeLimit(TimeLimit::Item, LIMIT);
    assert_killed(Item::Spin, why, &Exit::TimedOut { limit: TimeLimit::Item, after: LIMIT });
}

#[test]
fn an_item_that_ignores_a_stop_ends_by_the_grace() {
    let why = KillReason::TimeLimit(TimeLimit::Stop, LIMIT);
    assert_killed(Item::Sleep, why, &Exit::TimedOut { limit: TimeLimit::Stop, after: LIMIT });
}

#[test]
fn a_cancelled_job_blames_nobody() {
    let exit = Exit::Killed(KillReason::Cancelled);
    assert!(exit.is_blameless());
    assert_killed(Item::Sleep, KillReason::Cancelled, &exit);
}

#[test]
fn a_stopped_process_is_killed_too() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let pid = rustix::process::Pid::from_raw(host.pid(worker) as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    host.executor.kill(worker, KillReason::JobOver);
    assert_eq!(host.end_of(worker).report().exit, Exit::Killed(KillReason::JobOver));
}

#[test]
fn a_worker_that_is_killed_before_it_exists_ends_as_killed() {
    let mut host = Host::new();
    for number in 0..20 {
        let worker = host.spawn(number);
        host.executor.kill(worker, KillReason::Cancelled);
        assert_eq!(host.end_of(worker).report().exit, Exit::Killed(KillReason::Cancelled));
    }
}
