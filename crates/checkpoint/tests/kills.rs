//! A process is killed while it works, and the next one finds everything that it was told is durable: at each call that
//! changes something on the real disk, and at instants that nobody chose.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
#![cfg(not(miri))]

mod support;

use cofferdam_checkpoint::{FillAhead, RealDisk, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::{HookedDisk, Moment, kill_this_process};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::proof::pick;
use support::{JOB, Model, spec};

/// Names the store to the children below.
const DIR: &str = "COFFERDAM_TEST_STORE";
/// The call at which a child dies, and `before` or `within`.
const STOP: &str = "COFFERDAM_TEST_STOP";
/// Kills after which a store is left for a new one, so that reading it whole stays short.
const KILLS_PER_STORE: u64 = 100;

fn options() -> StoreOptions {
    StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() }
}

/// The calls come in an order that can be repeated.
fn ordered_options() -> StoreOptions {
    StoreOptions { fill_ahead: FillAhead::Inline, idle_mark: Duration::MAX, ..options() }
}

/// This program again, as one of the children below, and what it says.
fn start(child: &str, dir: &Path, stop: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(STOP, stop)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn telling_model() -> Model {
    println!(); // what the harness has said stands on the same line
    Model { tells: true, ..Model::default() }
}

/// Not a test of its own: does a small job and dies at one call of it.
#[test]
fn small_job_until_the_stop() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let stop = std::env::var(STOP).unwrap();
    let (at, moment) = stop.split_once(' ').unwrap();
    let moment = if moment == "before" { Moment::Before } else { Moment::Within };
    let disk = HookedDisk::new(RealDisk::shared(), at.parse().unwrap(), moment, || kill_this_process());
    let mut model = telling_model();
    let options = StoreOptions { disk: Arc::new(disk), ..ordered_options() };
    model.small_job_in(Path::new(&dir), options).unwrap();
}

/// Not a test of its own: commits until it is killed, with all the threads that a store has.
#[test]
fn commits_without_end() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir), options()).unwrap();
    let job = match store.open_job(JOB) {
        Ok(job) => job,
        Err(_) => store.create_job(JOB, &spec(Keying::Dense)).unwrap(),
    };
    let mut model = telling_model();
    let mut next = job.done_ordinals().iter().max().map_or(0, |last| last + 1);
    loop {
        let count = 1 + next % 5;
        model.commit_run(&job, next, count).unwrap();
        next += count;
    }
}

/// The calls of the small job that change something.
fn calls_of_the_small_job() -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let calls = Arc::new(HookedDisk::new(RealDisk::shared(), u64::MAX, Moment::Before, || {}));
    let options = StoreOptions { disk: calls.clone(), ..ordered_options() };
    Model::default().small_job_in(&dir.path().join("store"), options).unwrap();
    calls.calls()
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_call() {
    let calls = calls_of_the_small_job();
    let (mut kills, mut halves) = (0, 0);
    for at in (0..calls).step_by(pick(7, 1, 1)) {
        for moment in ["before", "within"] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("store");
            let (mut child, lines) = start("small_job_until_the_stop", &root, &format!("{at} {moment}"));
            let mut model = Model::default();
            lines.for_each(|line| model.hear(&line.unwrap()));
            assert!(!child.wait().unwrap().success(), "call {at} of {calls} was never made");
            halves += u64::from(model.acknowledged.len() < model.submitted.len());
            model.check_store(&Store::open(&root, options()).unwrap());
            kills += 1;
        }
    }
    println!("{kills} kills at {calls} calls, {halves} of them with something in flight");
    assert!(kills >= pick(10, 2 * calls, 2 * calls));
    assert!(halves > 0, "no kill hit a commit");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_instant() {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let kills = pick(12, 200, 10_000);
    let mut acknowledged = 0;
    for first in (0..kills).step_by(KILLS_PER_STORE as usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model { is_created: true, ..Model::default() };
        for kill in first..kills.min(first + KILLS_PER_STORE) {
            let (mut child, mut lines) = start("commits_without_end", dir.path(), "");
            // Killed in the middle of what follows some line: a different place each time.
            for line in lines.by_ref().take(4 + kill as usize * 7 % 40) {
                model.hear(&line.unwrap());
            }
            for _ in 0..SEED.fetch_add(7919, Ordering::Relaxed) % 100_000 {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            lines.for_each(|line| model.hear(&line.unwrap()));
            child.wait().unwrap();
            let job = Store::open(dir.path(), options()).unwrap().open_job(JOB).unwrap();
            let found = model.check_outcomes(&job);
            model.submitted = found.clone();
            model.acknowledged = found;
        }
        acknowledged += model.acknowledged.len();
    }
    println!("{kills} kills, {acknowledged} outcomes");
    assert!(acknowledged > kills as usize);
}
