//! What a processor is given beside its items: the worker's place, and its stack. In real children and in threads.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod support;

use cofferdam::{
    Context, Ended, Failure, Isolation, Job, Outcome, OutcomeResult, Processor, StartContext, dense,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const WORKERS: u32 = 3;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Wish {
    /// Takes a moment and says the place.
    Place,
    Abort,
    /// Uses so many MiB of stack, in a debug build some three times as many.
    Deep(usize),
}

/// Says its worker's place.
struct Placed {
    at_start: u32,
}

impl Processor for Placed {
    const NAME: &'static str = "placed";
    const VERSION: u32 = 1;
    type Item = Wish;
    type Output = (u32, u32);
    type Config = ();

    fn start(_: (), cx: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self { at_start: cx.slot().0 })
    }

    fn process(&mut self, wish: Wish, cx: &Context<'_>) -> Result<(u32, u32), Failure> {
        match wish {
            Wish::Place => std::thread::sleep(Duration::from_millis(5)),
            Wish::Abort => std::process::abort(),
            Wish::Deep(mib) => drop(black_box(deep(mib << 20))),
        }
        Ok((self.at_start, cx.slot().0))
    }
}

fn deep(bytes: usize) -> u64 {
    let frame = black_box([1u64; 1024]);
    let rest = bytes.saturating_sub(size_of_val(&frame));
    if rest == 0 { frame[0] } else { deep(rest) + frame[black_box(7)] }
}

cofferdam::worker_test!(workers: Placed);

fn job(store: &Path, isolation: Isolation) -> Job<Placed> {
    Job::new(store, "job", ()).workers(WORKERS).isolation(isolation).worker_program(workers::program())
}

fn run(job: Job<Placed>, wishes: Vec<Wish>) -> Vec<Outcome<(u32, u32)>> {
    let handle = job.start(dense(move || wishes.clone())).expect("the job starts");
    let outcomes = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
    outcomes
}

fn places(outcomes: &[Outcome<(u32, u32)>]) -> BTreeSet<u32> {
    let completed = outcomes.iter().filter_map(|outcome| match outcome.result {
        OutcomeResult::Completed(places) => Some(places),
        OutcomeResult::Failed(_) | OutcomeResult::Quarantined(_) | OutcomeResult::Cancelled => None,
    });
    completed
        .map(|(at_start, now)| {
            assert_eq!(at_start, now, "a worker keeps its place");
            now
        })
        .collect()
}

#[test]
fn every_worker_has_a_place_of_its_own_and_its_replacement_gets_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut wishes = vec![Wish::Place; 120];
    (0..120).step_by(20).for_each(|at| wishes[at] = Wish::Abort);
    let outcomes = run(job(dir.path(), Isolation::Process), wishes);
    assert_eq!(outcomes.len(), 120);
    assert_eq!(places(&outcomes), (0..WORKERS).collect(), "six crashes, and no place is new");

    let dir = tempfile::tempdir().expect("a directory");
    let outcomes = run(job(dir.path(), Isolation::Thread), vec![Wish::Place; 120]);
    assert_eq!(places(&outcomes), (0..WORKERS).collect());
}

#[test]
fn the_stack_is_as_large_as_asked_for() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir().expect("a directory");
        let outcomes = run(job(dir.path(), isolation).stack_bytes(64 << 20), vec![Wish::Deep(12)]);
        assert!(matches!(outcomes[0].result, OutcomeResult::Completed(_)), "{outcomes:?}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let outcomes = run(job(dir.path(), Isolation::Process).stack_bytes(2 << 20), vec![Wish::Deep(12)]);
    assert!(
        matches!(&outcomes[0].result, OutcomeResult::Quarantined(why) if why.kind == "stack-overflow"),
        "{outcomes:?}"
    );
}
