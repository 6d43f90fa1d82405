//! Hosts that die because of an item: it is found, charged with nothing at first, and set aside in the end.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod support;

use cofferdam::{Isolation, Outcome, OutcomeResult, Outcomes};
use cofferdam_testkit::{Behaviour, Done, Misbehave, Task};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{assert_all_completed_but, assert_complete, echoes_with, job, quarantine_of, run};

cofferdam::worker_test!(workers: Misbehave);

const STORE: &str = "COFFERDAM_TEST_STORE";
const ITEMS: usize = 40;
const KILLER: usize = 23;

fn workload() -> Vec<Task> {
    echoes_with(ITEMS, &[KILLER], &Behaviour::KillHost)
}

/// Not a test of its own: the host that dies. The tests below start this binary again with the store's place.
#[test]
fn host_entry() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let handle = job(Path::new(&store), workers::program())
        .start(cofferdam::dense(|| {
            let mut tasks = workload();
            // A neighbour that is open at the same time, as long as nothing else is wrong.
            tasks[KILLER - 1].behaviour = Behaviour::Sleep { ms: 300 };
            tasks
        }))
        .expect("the job starts");
    handle.wait().expect("a report");
}

/// Runs a host until it ends or dies; whether it ended by itself.
fn host_survives(store: &Path) -> bool {
    let status = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "host_entry", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("a host");
    status.success()
}

fn outcomes(store: &Path) -> Vec<Outcome<Done>> {
    let all = Outcomes::<Done>::of_job(store, "job").expect("a job");
    let mut all: Vec<_> = all.map(|outcome| outcome.expect("a readable outcome")).collect();
    all.sort_by_key(|outcome| outcome.key.clone());
    all
}

#[test]
fn an_item_that_kills_its_host_is_set_aside_after_three_deaths_of_its_own_and_nobody_else_is_charged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut deaths = 0;
    while !host_survives(dir.path()) {
        deaths += 1;
        assert!(deaths <= 4, "one death among others at most, three alone");
        let convicted = outcomes(dir.path())
            .iter()
            .any(|outcome| matches!(outcome.result, OutcomeResult::Quarantined(_)));
        assert!(!convicted, "nobody is convicted after {deaths} deaths");
    }
    assert!(deaths >= 3, "{deaths} deaths are not enough to convict");
    let outcomes = outcomes(dir.path());
    let evidence = quarantine_of(&outcomes[KILLER]);
    assert_eq!(evidence.kind, "host-death");
    let others: Vec<usize> = (0..ITEMS).filter(|n| *n != KILLER).collect();
    for &number in &others {
        assert!(matches!(outcomes[number].result, OutcomeResult::Completed(_)), "{:?}", outcomes[number]);
    }
}

#[test]
fn a_job_whose_host_died_goes_on_in_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(!host_survives(dir.path()), "the item kills its host");
    let harmless = echoes_with(ITEMS, &[], &Behaviour::Echo);
    let (outcomes, report) = run(job(dir.path(), workers::program()).isolation(Isolation::Thread), harmless);
    assert_complete(&report);
    let late: Vec<usize> =
        outcomes.iter().enumerate().filter(|(_, o)| o.attempts > 1).map(|(n, _)| n).collect();
    assert!(late.len() <= 2, "only what was open: {late:?}");
    assert_all_completed_but(&outcomes, ITEMS, &late);
}
