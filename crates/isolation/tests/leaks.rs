//! A hundred workers, killed at random instants, leave nothing behind. Alone in its file: it counts what the process has.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_pipeline_core::{Executor, KillReason, WorkerEvent, WorkerId};
use common::{Config, Host, Item, settings};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

const WORKERS: u32 = 100;
const AT_A_TIME: usize = 8;

fn count(dir: &str) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// Threads of the library; those of the test harness come and go.
fn our_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("cofferdam")).count()
}

fn children() -> usize {
    let me = std::process::id();
    std::fs::read_to_string(format!("/proc/{me}/task/{me}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .count()
        + zombies(me)
}

fn zombies(parent: u32) -> usize {
    let is_zombie = |stat: String| {
        let fields: Vec<_> =
            stat.rsplit(") ").next().unwrap_or_default().split(' ').map(str::to_owned).collect();
        fields.first().is_some_and(|state| state == "Z") && fields.get(1) == Some(&parent.to_string())
    };
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    stats
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|s| is_zombie(s.clone()))
        .count()
}

/// Spawns, kills with or without our doing, and waits for the end of all.
fn churn(host: &mut Host, first: u32, count: u32) {
    let mut alive = BTreeSet::new();
    let mut next = first;
    let mut dice = RandomState::new().hash_one(first);
    while next < first + count || !alive.is_empty() {
        while alive.len() < AT_A_TIME && next < first + count {
            alive.insert(host.spawn(next));
            next += 1;
        }
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let event = host.event_within(Duration::from_micros(dice >> 52));
        match event {
            Some((worker, WorkerEvent::Exited(_))) => assert!(alive.remove(&worker)),
            Some((worker, WorkerEvent::Ready)) => drop(host.assign(worker, &[Item::Sleep])),
            Some(_) => {}
            None => {
                let at = (dice >> 33) as usize % alive.len();
                strike(host, *alive.iter().nth(at).unwrap(), dice);
            }
        }
    }
}

fn strike(host: &mut Host, worker: WorkerId, dice: u64) {
    let name = format!("{}.recorder", worker.0);
    let records = host.executor.worker_records();
    match records.iter().find(|record| record.recorder.ends_with(Path::new(&name))) {
        Some(record) if dice.is_multiple_of(3) => {
            let pid = rustix::process::Pid::from_raw(record.pid as i32).unwrap();
            // It may be dead already, but it is not reaped: we hold its end of the story.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        Some(_) | None => host.executor.kill(worker, KillReason::Cancelled),
    }
}

#[test]
fn a_hundred_dead_workers_leave_no_descriptor_thread_zombie_or_file() {
    let runtime_dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&Config::Good);
    settings.runtime_dir = Some(runtime_dir.path().to_owned());
    let before = (count("/proc/self/fd"), our_threads());

    let mut host = Host::with(settings);
    let idle = (count("/proc/self/fd"), our_threads());
    churn(&mut host, 0, WORKERS);
    assert_eq!(count("/proc/self/fd"), idle.0, "descriptors after the end of all workers");
    let dir = std::fs::read_dir(runtime_dir.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(count(dir.to_str().unwrap()), 1, "only the lock is left");
    assert_eq!(children(), 0);

    for worker in 0..AT_A_TIME as u32 {
        host.spawn(WORKERS + worker);
    }
    drop(host);
    // A joined thread may stay in the list for a moment.
    let deadline = std::time::Instant::now() + common::PATIENCE;
    while our_threads() != before.1 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!((count("/proc/self/fd"), our_threads()), before);
    assert_eq!(before.1, 0);
    assert_eq!((count(runtime_dir.path().to_str().unwrap()), children()), (0, 0));
}
