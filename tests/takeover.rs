//! A host is killed and its worker is not: the next host ends it before it gives out a lease.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod support;

use cofferdam::{JobError, OutcomeResult, StoreError};
use cofferdam_testkit::{Behaviour, Misbehave};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{assert_all_completed_but, assert_complete, echoes_with, job, tasks};

cofferdam::worker_test!(workers: Misbehave);

const STORE: &str = "COFFERDAM_TEST_STORE";
const ITEMS: usize = 20;
/// The item that is open when the host dies.
const HELD: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Not a test of its own: the host that is killed. The test below starts this binary again with the store's place.
#[test]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let handle = job(Path::new(&store), workers::program())
        .workers(1)
        .start(cofferdam::dense(|| echoes_with(ITEMS, &[HELD], &Behaviour::Outlive)))
        .expect("the job starts");
    handle.wait().expect("a report");
}

/// Is killed at the latest when the test ends.
struct Killed(u32);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.0.to_string()]).status();
    }
}

fn start_host(store: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "host_entry", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a host")
}

/// The name of a process and one letter for its state; `None` when there is no such process.
fn look_at(pid: u32) -> Option<(String, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(") ")?;
    Some((before.split_once('(')?.1.to_owned(), after.chars().next()?))
}

fn is_alive(pid: u32) -> bool {
    look_at(pid).is_some_and(|(_, state)| state != 'Z')
}

fn children_of(parent: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Waits until a worker of the host is where its host's death cannot reach it.
fn deaf_worker_of(host: u32) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is_deaf = |pid: &u32| look_at(*pid).is_some_and(|(name, _)| name == "deaf");
        if let Some(pid) = children_of(host).into_iter().find(is_deaf) {
            return pid;
        }
        assert!(Instant::now() < deadline, "no worker is deaf");
        support::pause(Duration::from_millis(5));
    }
}

#[test]
fn a_worker_that_outlives_its_host_is_gone_before_the_next_host_gives_out_a_lease() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut host = start_host(dir.path());
    let worker = Killed(deaf_worker_of(host.id()));
    let second = job(dir.path(), workers::program()).start(cofferdam::dense(|| tasks(&[])));
    assert!(matches!(second.map(drop), Err(JobError::Store(StoreError::Locked(_)))), "the host lives");
    host.kill().expect("a host to kill");
    host.wait().expect("its end");
    assert!(is_alive(worker.0), "it survives its host");

    let handle = job(dir.path(), workers::program())
        .start(cofferdam::dense(|| tasks(&vec![Behaviour::Echo; ITEMS])))
        .expect("the job starts");

    assert!(!is_alive(worker.0), "it is gone when the job has started");
    let mut outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|outcome| outcome.key.clone());
    assert_all_completed_but(&outcomes, ITEMS, &[HELD]);
    assert!(matches!(outcomes[HELD].result, OutcomeResult::Completed(_)), "{:?}", outcomes[HELD]);
    assert_complete(&handle.wait().expect("a report"));
}
