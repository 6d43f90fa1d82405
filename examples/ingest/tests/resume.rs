//! However a run is cut, the next one carries on, and in the end nobody can tell.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests end on surprises and own their clock"
)]

mod support;

use std::time::{Duration, Instant};
use support::{Bench, Ran, Random, children_of, finish, signal, wait};

const ITEMS: usize = 30;
const HOST_KILLS: usize = 20;
const WORKER_KILLS: usize = 100;

/// Crashes, failures and slow items, so that every kind of state can be cut through.
const RULES: &[&str] = &[
    "--inject",
    "abort:05.txt",
    "--inject",
    "fail:1[17].txt",
    "--inject",
    "segv:23.txt",
    "--inject",
    "flaky:08.txt",
    "--inject",
    "slow:*",
];

fn uncut() -> Bench {
    let bench = Bench::with_texts(ITEMS);
    bench.run(RULES).complete();
    bench
}

/// Runs, and kills the host after that long; the finished run if it was faster.
fn cut(bench: &Bench, after: Duration) -> Option<Ran> {
    let mut child = bench.command(RULES).spawn().unwrap();
    if wait(&mut child, after).is_some() {
        return Some(finish(child));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    None
}

#[test]
fn a_host_killed_at_random_instants_resumes_to_identical_results() {
    let uncut = uncut();
    let seed = 0x5eed_1d01;
    let mut random = Random(seed);
    let mut bench = Bench::with_texts(ITEMS);
    let mut kills = 0;
    for round in 0.. {
        if kills == HOST_KILLS {
            break;
        }
        // Every third run lives long enough for what was open at the last kills to end, or ends by itself: an item that
        // is alone in the host at three of its deaths is convicted, and rightly so.
        let ms = if round % 3 == 2 { 800 + random.below(400) } else { 5 + random.below(400) };
        match cut(&bench, Duration::from_millis(ms)) {
            None => kills += 1,
            Some(ran) => {
                ran.complete();
                assert_eq!(bench.results(), uncut.results(), "seed {seed:#x}, after {kills} kills");
                bench = Bench::with_texts(ITEMS);
            }
        }
    }

    let json = bench.run(RULES).complete().json();

    assert_eq!(bench.results(), uncut.results(), "seed {seed:#x}");
    assert_eq!(json["items"], ITEMS);
}

#[test]
fn workers_killed_at_random_instants_cost_nobody_anything() {
    let uncut = uncut();
    let seed = 0x5eed_1d02;
    let mut random = Random(seed);
    let mut kills = 0;
    while kills < WORKER_KILLS {
        let bench = Bench::with_texts(ITEMS);
        let mut child = bench.command(RULES).spawn().unwrap();
        // The fifth unexplained death convicts the open item, so no run has five.
        for _ in 0..4 {
            if wait(&mut child, Duration::from_millis(20 + random.below(60))).is_some() {
                break;
            }
            let workers = children_of(child.id());
            if !workers.is_empty() {
                signal(workers[random.below(workers.len() as u64) as usize], "KILL");
                kills += 1;
            }
        }
        finish(child).complete();
        assert_eq!(bench.results(), uncut.results(), "seed {seed:#x}, after {kills} kills");
    }
}

#[test]
fn an_interrupted_run_drains_exits_with_130_and_resumes() {
    let uncut = uncut();
    let bench = Bench::with_texts(ITEMS);
    let mut child = bench.command(RULES).spawn().unwrap();
    assert!(
        wait(&mut child, Duration::from_millis(300)).is_none(),
        "the run was over before it could be interrupted"
    );
    signal(child.id(), "INT");

    let interrupted = finish(child);

    assert_eq!(interrupted.code(), 130, "{}", interrupted.stderr);
    let json = interrupted.json();
    let done = bench.keys("knowledge.jsonl").len() + bench.failures().len();
    assert!(done < ITEMS, "nothing was left to resume");
    assert_eq!(json["completed"].as_u64().unwrap() as usize, bench.keys("knowledge.jsonl").len());

    let resumed = bench.run(RULES).complete();

    assert_eq!(resumed.json()["resumed"].as_u64().unwrap() as usize, done);
    assert!(resumed.stderr.contains("resuming 'ingest'"), "{}", resumed.stderr);
    assert_eq!(bench.results(), uncut.results());
}

#[test]
fn a_second_interrupt_stops_an_item_that_does_not_end() {
    let bench = Bench::with_texts(4);
    let mut child = bench.command(&["--inject", "hang:*"]).spawn().unwrap();
    assert!(wait(&mut child, Duration::from_millis(500)).is_none());
    let begun = Instant::now();
    signal(child.id(), "INT");
    assert!(wait(&mut child, Duration::from_millis(300)).is_none(), "a drain waits for open items");
    signal(child.id(), "INT");

    let stopped = finish(child);

    assert_eq!(stopped.code(), 130, "{}", stopped.stderr);
    assert!(begun.elapsed() < Duration::from_secs(20));
    bench.run(&[]).complete();
    assert_eq!(bench.keys("knowledge.jsonl").len(), 4);
}

#[test]
fn no_worker_outlives_a_killed_host() {
    let bench = Bench::with_texts(4);
    let mut child = bench.command(&["--inject", "hang:*"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut workers = children_of(child.id());
    while workers.len() < 2 && Instant::now() < deadline {
        wait(&mut child, Duration::from_millis(10));
        workers = children_of(child.id());
    }
    assert_eq!(workers.len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();

    let gone = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !workers.iter().all(gone) {
        assert!(Instant::now() < deadline, "{workers:?} live on");
        std::thread::yield_now();
    }
}
