//! Figures for people: `cargo test --release -p cofferdam-isolation --test measure -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::{Executor, KillReason, WorkerEvent};
use common::{Host, Item};
use std::time::{Duration, Instant};

#[test]
fn worker() {
    common::enter_worker();
}

const ROUNDS: u32 = 200;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
#[ignore = "measures"]
fn spawn_replace_and_round_trip() {
    let mut host = Host::new();
    let mut spawns = Vec::new();
    let mut replacements = Vec::new();
    let mut verdicts = Vec::new();
    let mut worker = host.ready(0);
    for number in 1..=ROUNDS {
        let killed = Instant::now();
        host.executor.kill(worker, KillReason::Cancelled);
        while !matches!(host.event().1, WorkerEvent::Lost) {}
        let begun = Instant::now();
        let next = host.spawn(number);
        let (mut ready, mut ended) = (false, false);
        while !(ready && ended) {
            match host.event().1 {
                WorkerEvent::Ready => {
                    ready = true;
                    spawns.push(begun.elapsed());
                    replacements.push(killed.elapsed());
                }
                WorkerEvent::Exited(_) => {
                    ended = true;
                    verdicts.push(killed.elapsed());
                }
                other => panic!("{other:?}"),
            }
        }
        worker = next;
    }
    let mut trips = Vec::new();
    for _ in 0..ROUNDS * 50 {
        let begun = Instant::now();
        host.assign(worker, &[Item::Echo(Vec::new())]);
        host.replied();
        trips.push(begun.elapsed());
    }
    println!("spawn to Ready, p50         {:?}", median(spawns));
    println!("kill to the next Ready, p50 {:?}", median(replacements));
    println!("kill to the verdict, p50    {:?}", median(verdicts));
    println!("assign to reply, p50        {:?}", median(trips));
}
