//! The whole tree dies, and a descendant that holds on to wires delays nothing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_pipeline_core::Exit;
use common::{Host, Item, assert_open};
use std::time::{Duration, Instant};

#[test]
fn worker() {
    common::enter_worker();
}

/// Far below the life of the grandchild, far above what a loaded machine takes.
const VERDICT_WITHIN: Duration = Duration::from_secs(20);

fn assert_dies(escape: bool) {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let mut host = Host::new();
    let worker = host.ready(0);
    let begun = Instant::now();
    let item = Item::LeaveGrandchild { escape, pid_file: pid_file.to_str().unwrap().into() };
    let lease = host.assign(worker, &[item]);
    let end = host.end_of(worker);
    assert_eq!(end.report().exit, Exit::Signal { number: 6, name: "SIGABRT", address: None });
    assert_open(end.report(), lease, 0);
    assert!(begun.elapsed() < VERDICT_WITHIN, "{:?}", begun.elapsed());
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    };
    let deadline = Instant::now() + common::PATIENCE;
    while let Some(state) = state().filter(|state| *state != 'Z') {
        assert!(Instant::now() < deadline, "the grandchild is still there: {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_grandchild_in_the_group_that_holds_socket_and_pipes_dies_with_the_worker() {
    assert_dies(false);
}

#[test]
fn a_grandchild_that_left_the_group_is_found_by_its_mark() {
    assert_dies(true);
}
