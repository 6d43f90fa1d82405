//! What the tests with real children share.
#![allow(dead_code, reason = "each test binary uses its part")]

use cofferdam::{Ended, Isolation, Job, Outcome, OutcomeResult, Report, WorkerProgram, dense};
use cofferdam_testkit::{Behaviour, Done, Misbehave, Start, Task};
use std::path::Path;
use std::time::{Duration, Instant};

/// The given behaviours, numbered.
pub fn tasks(behaviours: &[Behaviour]) -> Vec<Task> {
    (0..).zip(behaviours).map(|(number, behaviour)| Task { number, behaviour: behaviour.clone() }).collect()
}

/// `count` echoes, with `behaviour` at each of `places`.
pub fn echoes_with(count: usize, places: &[usize], behaviour: &Behaviour) -> Vec<Task> {
    let of = |i| if places.contains(&i) { behaviour.clone() } else { Behaviour::Echo };
    tasks(&(0..count).map(of).collect::<Vec<_>>())
}

/// A job of the misbehaving processor with two worker processes.
pub fn job(store: &Path, program: WorkerProgram) -> Job<Misbehave> {
    Job::<Misbehave>::new(store, "job", Start::Well)
        .workers(2)
        .isolation(Isolation::Process)
        .worker_program(program)
}

/// Runs a job to its end: all its outcomes, by item number, and the report.
pub fn run(job: Job<Misbehave>, tasks: Vec<Task>) -> (Vec<Outcome<Done>>, Report) {
    let handle = job.start(dense(move || tasks.clone())).expect("the job starts");
    let mut outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|o| o.key.clone());
    (outcomes, handle.wait().expect("a report"))
}

/// Every item has exactly one outcome, and those not in `except` completed at the first attempt with their own number.
pub fn assert_all_completed_but(outcomes: &[Outcome<Done>], count: usize, except: &[usize]) {
    let keys: Vec<_> = outcomes.iter().map(|o| o.key.clone()).collect();
    let wanted: Vec<_> = (0..count as u64).map(cofferdam::Key::Ordinal).collect();
    assert_eq!(keys, wanted, "each item has exactly one outcome");
    for (number, outcome) in outcomes.iter().enumerate().filter(|(n, _)| !except.contains(n)) {
        assert_eq!(outcome.attempts, 1, "item {number} was charged");
        let OutcomeResult::Completed(done) = &outcome.result else {
            panic!("item {number}: {:?}", outcome.result)
        };
        assert_eq!(done.number, number as u64);
    }
}

/// The evidence of an item that was quarantined.
pub fn quarantine_of(outcome: &Outcome<Done>) -> &cofferdam::Evidence {
    match &outcome.result {
        OutcomeResult::Quarantined(evidence) => evidence,
        other => panic!("{} is not quarantined: {other:?}", outcome.key),
    }
}

/// The job came to its end.
pub fn assert_complete(report: &Report) {
    assert_eq!(report.ended, Ended::Complete);
}

/// The passing of time is what these tests are about; never a way to wait for something.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks again and again until it is so, or fails.
#[allow(clippy::disallowed_methods, reason = "a test that waits for ever says nothing")]
pub fn wait_until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        pause(Duration::from_millis(2));
    }
}

/// Starts a program of these tests.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    std::process::Command::new(program)
}
