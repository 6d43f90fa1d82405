//! What an item saves on its way is there when it is tried again, in this session and the next.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    Codec, Context, Ended, Failure, Isolation, Job, JobHandle, OutcomeResult, Policy, Processor,
    StartContext, dense,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

cofferdam::worker_test!(workers: Pages);

const PAGES: u32 = 40;
const STOP_AT: u32 = 25;

/// How the first attempt ends, when it has read [`STOP_AT`] pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum First {
    Fails,
    Aborts,
    /// By a signal that nobody owns up to.
    IsKilled,
    /// It waits until it is told to stop.
    Waits,
    /// It saves a hundred thousand times and comes to its end.
    SavesALot,
}

/// Reads pages and saves how many it has read; the output is the page at which the last attempt began.
struct Pages;

impl Processor for Pages {
    const NAME: &'static str = "pages";
    const VERSION: u32 = 1;
    type Item = First;
    type Output = u32;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, first: First, cx: &Context<'_>) -> Result<u32, Failure> {
        let began_at =
            cx.saved_state().map_or(0, |state| u32::from_le_bytes(state.try_into().expect("four bytes")));
        for page in began_at..PAGES {
            if page == STOP_AT && cx.attempt() == 1 && began_at == 0 {
                stop(first, cx)?;
            }
            cx.save_state(&(page + 1).to_le_bytes())?;
        }
        Ok(began_at)
    }
}

fn stop(first: First, cx: &Context<'_>) -> Result<(), Failure> {
    // What dies without a word loses what was saved in the last tenth of a second.
    let die = |how: fn()| {
        support::pause(Duration::from_millis(300));
        how();
    };
    match first {
        First::Fails => return Err(Failure::transient("try again")),
        First::Aborts => die(|| std::process::abort()),
        First::IsKilled => die(kill_myself),
        First::Waits => loop {
            cx.check()?;
            support::pause(Duration::from_millis(1));
        },
        First::SavesALot => {
            for _ in 0..100_000 {
                cx.save_state(&STOP_AT.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
fn kill_myself() {
    let me = nix::unistd::Pid::this();
    nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL).expect("a process may signal itself");
}

#[cfg(not(unix))]
fn kill_myself() {
    std::process::abort();
}

fn job(store: &Path) -> Job<Pages> {
    Job::new(store, "pages", ()).workers(2).isolation(Isolation::Process).worker_program(workers::program())
}

fn start(job: Job<Pages>, first: First) -> JobHandle<Pages> {
    job.start(dense(move || [first])).expect("the job starts")
}

/// Where the attempt began that completed the only item.
fn began_at(handle: &JobHandle<Pages>) -> u32 {
    let outcomes: Vec<_> = handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
    match outcomes.as_slice() {
        [one] => match &one.result {
            OutcomeResult::Completed(page) => *page,
            other => panic!("the item did not complete: {other:?}"),
        },
        other => panic!("one outcome: {other:?}"),
    }
}

fn assert_begins_at(job: Job<Pages>, first: First, page: u32) {
    let handle = start(job, first);
    assert_eq!(began_at(&handle), page);
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
}

#[test]
fn a_failed_attempt_is_followed_by_one_that_goes_on_from_there() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()), First::Fails, STOP_AT);
}

#[test]
fn the_same_in_threads_and_with_the_codec_for_other_languages() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()).isolation(Isolation::Thread), First::Fails, STOP_AT);
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()).codec(Codec::Json), First::Fails, STOP_AT);
}

#[test]
fn an_attempt_that_a_stranger_killed_is_followed_by_one_that_goes_on_from_there() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()), First::IsKilled, STOP_AT);
}

#[test]
fn a_crash_is_followed_by_a_trial_without_the_state_when_that_trial_may_convict() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()), First::Aborts, 0);
}

#[test]
fn a_crash_is_followed_by_a_trial_with_the_state_when_more_may_follow() {
    let dir = tempfile::tempdir().expect("a directory");
    let patient = Policy { crashes_max: 3, ..Policy::default() };
    assert_begins_at(job(dir.path()).policy(patient), First::Aborts, STOP_AT);
}

#[test]
fn a_job_that_is_cancelled_goes_on_from_there_in_the_next_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = start(job(dir.path()), First::Waits);
    for _ in 0..4000 {
        if handle.snapshot().workers.iter().any(|worker| worker.item.is_some()) {
            break;
        }
        support::pause(Duration::from_millis(5));
    }
    handle.cancel();
    assert_eq!(handle.wait().expect("a report").ended, Ended::Cancelled);

    assert_begins_at(job(dir.path()), First::Waits, STOP_AT);
}

#[test]
fn saving_all_the_time_floods_neither_host_nor_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_begins_at(job(dir.path()), First::SavesALot, 0);
    let bytes: u64 = walk(dir.path());
    assert!(bytes < 2 << 20, "{bytes} bytes");
}

fn walk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let meta = entry.metadata().expect("metadata");
            if meta.is_dir() { walk(&entry.path()) } else { meta.len() }
        })
        .sum()
}
