//! Somebody kills workers at random: no item is set aside for it, however long it takes (ADR 0041).

use crate::harness::{Harness, MS, policy, sigkill};
use cofferdam_pipeline_core::supervisor::{Input, Settled};
use cofferdam_pipeline_core::{LeaseLimits, Policy, RestartBudget, Time};
use std::collections::BTreeMap;
use std::time::Duration;

const STORM: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);

struct Storm {
    workers: u32,
    items: u32,
    item: Duration,
    period: Duration,
    seed: u64,
}

#[derive(Default)]
struct Result {
    /// Deaths by item, with it open.
    hits: BTreeMap<u64, u32>,
    convicted: usize,
    completed: usize,
}

/// What each living worker does: the lease that is open, its item and since when.
type Open = Option<(u32, u64, Time)>;

fn run(storm: &Storm) -> Result {
    let lease = LeaseLimits { items_max: 1, depth: 1, ..LeaseLimits::default() };
    // The budget for restarts would end the job: here it has to go on.
    let restarts =
        RestartBudget { deaths_max: u32::MAX, backoff_first: Duration::ZERO, ..RestartBudget::default() };
    let mut h = Harness::new(Policy { lease, restarts, ..policy(storm.workers) });
    let mut workers: BTreeMap<u32, Open> = BTreeMap::new();
    let (mut read, mut result, mut random) = (0, Result::default(), storm.seed);
    h.feed(storm.items);
    h.step(Input::SourceEnded);
    let mut next_kill = h.now + storm.period;
    while !h.log.last().is_some_and(|line| line.starts_with("finish")) && h.now < Time(0) + 20 * STORM {
        h.commit_all();
        h.wait(TICK);
        while let Some(line) = h.log.get(read).cloned() {
            read += 1;
            obey(&mut h, &mut workers, &line);
        }
        let done: Vec<_> = workers.iter().filter_map(|(&w, open)| Some((w, (*open)?))).collect();
        for (worker, (lease, _, since)) in done {
            if h.now.since(since) >= storm.item {
                workers.insert(worker, None);
                h.reply(worker, lease, 0, 1);
            }
        }
        if h.now >= next_kill && h.now < Time(0) + STORM && !workers.is_empty() {
            next_kill = h.now + storm.period;
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let worker = *workers.keys().nth((random >> 33) as usize % workers.len()).unwrap();
            let open = workers.remove(&worker).unwrap();
            if let Some((_, item, _)) = open {
                *result.hits.entry(item).or_default() += 1;
            }
            let open: Vec<_> = open.iter().map(|(lease, ..)| (*lease, 0)).collect();
            h.exit(worker, sigkill(), &open);
        }
    }
    for commit in &h.commits {
        match &commit.settled {
            Settled::Completed(_) => result.completed += 1,
            Settled::Failed(_) | Settled::Quarantined(_) | Settled::Cancelled(_) => result.convicted += 1,
        }
    }
    result
}

fn obey(h: &mut Harness, workers: &mut BTreeMap<u32, Open>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |word: &str| word[1..].parse::<u32>().unwrap();
    match words[..] {
        ["spawn", worker, _] => {
            workers.insert(number(worker), None);
            h.ready(number(worker));
        }
        ["assign", worker, lease, range, ..] => {
            let item = range.split_once("..").unwrap().0.parse().unwrap();
            workers.insert(number(worker), Some((number(lease), item, h.now)));
        }
        ["stop", worker] if workers.remove(&number(worker)).is_some() => {
            h.exit(number(worker), cofferdam_pipeline_core::Exit::Stopped, &[]);
        }
        _ => {}
    }
}

#[test]
fn a_storm_of_kills_convicts_nobody_however_long_items_take() {
    let (mut runs, mut items, mut by_the_old_rule) = (0, 0, 0);
    for workers in [1, 2, 4] {
        for item in [20 * MS, 500 * MS, 3_000 * MS] {
            for period in [20 * MS, 85 * MS, 400 * MS, 2_000 * MS] {
                for seed in 0..4 {
                    let storm = Storm { workers, items: 6, item, period, seed };
                    let result = run(&storm);
                    assert_eq!(
                        (result.convicted, result.completed),
                        (0, 6),
                        "{workers} workers, items of {item:?}, a kill every {period:?}, seed {seed}"
                    );
                    runs += 1;
                    items += 6;
                    by_the_old_rule += result.hits.values().filter(|hits| **hits >= 5).count();
                }
            }
        }
    }
    println!("{runs} storms, {items} items, {by_the_old_rule} of them hit five times or more");
    assert!(by_the_old_rule > 100, "the storms are no test");
}

#[test]
fn an_item_that_was_killed_waits_on_when_another_is_killed_meanwhile() {
    let lease = LeaseLimits { items_max: 1, depth: 1, ..LeaseLimits::default() };
    for is_replaced_in_time in [true, false] {
        let mut h = Harness::with_policy_and_items(Policy { lease: lease.clone(), ..policy(2) }, 2);
        h.exit(1, sigkill(), &[(1, 0)]);
        if is_replaced_in_time {
            h.wait(150 * MS);
            h.exit(2, sigkill(), &[(2, 0)]);
            h.ready(3);
        } else {
            h.wait(200 * MS);
            h.exit(2, sigkill(), &[(2, 0)]);
            assert_eq!(h.ready(3), ["ready w3"], "the first one is in line for its trial no longer");
        }
        h.ready(4);
        assert_eq!(h.wait(50 * MS), [""; 0], "its own wait of 200 ms is over");
        let tried = h.wait(400 * MS);
        assert_eq!(tried.iter().filter(|line| line.starts_with("assign")).count(), 2, "{tried:?}");
    }
}
