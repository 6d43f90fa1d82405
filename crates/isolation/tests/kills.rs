//! Kills that are not ours.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::Exit;
use common::{Host, Item, assert_open};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn worker() {
    common::enter_worker();
}

#[test]
fn a_foreign_kill_of_an_idle_worker_names_the_signal_and_no_item() {
    for (signal, name) in [(Signal::KILL, "SIGKILL"), (Signal::TERM, "SIGTERM")] {
        let mut host = Host::new();
        let neighbour = host.ready(0);
        let worker = host.ready(1);
        kill_process(Pid::from_raw(host.pid(worker) as i32).unwrap(), signal).unwrap();
        let end = host.end_of(worker);
        assert_eq!(end.report().exit, Exit::Signal { number: signal.as_raw(), name, address: None });
        assert_eq!((end.report().open_known, end.report().open.len(), end.lost), (true, 0, 1));
        host.assert_unharmed(neighbour);
    }
}

#[test]
fn a_foreign_sigkill_leaves_the_open_item_known() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let lease = host.assign(worker, &[Item::Sleep, Item::Sleep]);
    host.wait_observed(worker, |open| !open.is_empty());
    kill_process(Pid::from_raw(host.pid(worker) as i32).unwrap(), Signal::KILL).unwrap();
    let end = host.end_of(worker);
    assert!(end.report().exit.is_foreign_kill());
    assert_open(end.report(), lease, 0);
}

#[test]
fn a_worker_that_cuts_its_recorder_is_judged_without_it() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assign(worker, &[Item::CutRecorder]);
    let end = host.end_of(worker);
    assert!(matches!(end.report().exit, Exit::Signal { .. }), "{:?}", end.report().exit);
    assert!(!end.report().open_known);
}
