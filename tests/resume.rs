//! A host that is killed at random instants: nothing lost, nothing twice, the same result.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{OnExisting, Outcome, OutcomeResult, Outcomes};
use cofferdam_testkit::{Behaviour, Done, Misbehave, Task};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{assert_complete, job, run, tasks};

cofferdam::worker_test!(workers: Misbehave);

const STORE: &str = "COFFERDAM_TEST_STORE";

/// 400 items: mostly short, some crashing once, some always, some failing.
fn workload() -> Vec<Task> {
    let of = |i| match i % 40 {
        7 => Behaviour::First(Box::new(Behaviour::Abort)),
        19 => Behaviour::Panic,
        23 => Behaviour::Fail(cofferdam_testkit::FailWith::InvalidInput),
        i if i % 2 == 0 => Behaviour::Sleep { ms: 1 },
        _ => Behaviour::Echo,
    };
    tasks(&(0..400).map(of).collect::<Vec<_>>())
}

/// What must not depend on kills: each item's end, without lsn and attempts.
fn essence(outcomes: impl IntoIterator<Item = Outcome<Done>>) -> BTreeMap<String, String> {
    let mut by_key = BTreeMap::new();
    for outcome in outcomes {
        let end = match outcome.result {
            OutcomeResult::Completed(done) => format!("completed {}", done.number),
            OutcomeResult::Failed(evidence) => format!("failed {}", evidence.kind),
            OutcomeResult::Quarantined(evidence) => format!("quarantined {}", evidence.kind),
            OutcomeResult::Cancelled => "cancelled".to_owned(),
        };
        let before = by_key.insert(outcome.key.to_string(), end);
        assert_eq!(before, None, "{} was committed twice", outcome.key);
    }
    by_key
}

/// Not a test of its own: the host that is killed. The tests below start this binary again with the store's place.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test's own protocol")]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let handle =
        job(Path::new(&store), workers::program()).start(cofferdam::dense(workload)).expect("the job starts");
    println!("host: {}", handle.plan());
    handle.wait().expect("a report");
}

#[allow(clippy::disallowed_methods, reason = "the test is what starts hosts")]
fn start_host(store: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "host_entry", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a host")
}

fn uninterrupted() -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, report) = run(job(dir.path(), workers::program()), workload());
    assert_complete(&report);
    essence(outcomes)
}

/// Random, but the same at every run.
fn delays(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(20_000 + (state >> 33) % 180_000)
    })
}

#[test]
fn a_host_killed_at_20_random_instants_resumes_to_the_identical_result() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut durable_before = 0;
    for delay in delays(20).take(20) {
        let mut host = start_host(dir.path());
        support::pause(delay); // the random instant itself
        host.kill().expect("the host dies");
        host.wait().expect("the host is reaped");
        if let Ok(outcomes) = Outcomes::<Done>::of_job(dir.path(), "job") {
            let durable = essence(outcomes.map(|o| o.expect("a readable outcome"))).len();
            assert!(durable >= durable_before, "{durable} outcomes after a kill, {durable_before} before it");
            durable_before = durable;
        }
    }
    let (outcomes, report) = run(job(dir.path(), workers::program()), workload());
    assert_complete(&report);
    assert!(report.resumed as usize >= durable_before);
    assert_eq!(essence(outcomes), uninterrupted());
}

#[test]
fn a_finished_job_started_again_does_nothing_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, _) = run(job(dir.path(), workers::program()), workload());
    let (again, report) = run(job(dir.path(), workers::program()), workload());
    assert_complete(&report);
    assert_eq!(first, again);
    assert_eq!((report.resumed, report.attempts, report.workers_started), (400, 0, 0));
    let refused =
        job(dir.path(), workers::program()).on_existing(OnExisting::Fail).start(cofferdam::dense(workload));
    assert!(matches!(refused.err(), Some(cofferdam::JobError::Exists(name)) if name == "job"));
}
