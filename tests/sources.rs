//! Where items come from: sources that fail, streams that are read once, and a job that changes its isolation half-way.

mod support;

use cofferdam::{Ended, Isolation, Job, Key, Outcome, OutcomeResult, SourceError};
use cofferdam_testkit::{Behaviour, Done, FailWith, Misbehave, Task};
use std::collections::BTreeMap;
use std::path::Path;
use support::{assert_complete, job, tasks};

cofferdam::worker_test!(workers: Misbehave);

fn echo(number: u64) -> (String, Task) {
    (format!("item-{number}"), Task { number, behaviour: Behaviour::Echo })
}

fn run_keyed(
    job: Job<Misbehave>,
    source: impl cofferdam::ItemSource<Item = Task>,
) -> (BTreeMap<String, Outcome<Done>>, cofferdam::Report) {
    let handle = job.start(source).expect("the job starts");
    let outcomes = handle.outcomes().map(|o| o.expect("a readable outcome"));
    let outcomes = outcomes.map(|o| (o.key.to_string(), o)).collect();
    (outcomes, handle.wait().expect("a report"))
}

#[test]
fn a_source_that_breaks_ends_the_job_when_what_came_before_is_settled_and_a_resume_takes_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut opened = 0;
    let broken = cofferdam::fallible(move || {
        opened += 1;
        let is_key_pass = opened == 1;
        let item = move |number| match number {
            300 if !is_key_pass => Err(SourceError::new("the disk is gone")),
            _ => Ok(echo(number)),
        };
        Ok::<_, SourceError>((0..1_000).map(item))
    });
    let (outcomes, report) = run_keyed(job(dir.path(), workers::program()), broken);
    assert!(
        matches!(&report.ended, Ended::SourceFailed(why) if why.contains("the disk is gone")),
        "{:?}",
        report.ended
    );
    assert_eq!(outcomes.len(), 300);
    let whole = cofferdam::keyed(|| (0..1_000).map(echo));
    let (outcomes, report) = run_keyed(job(dir.path(), workers::program()), whole);
    assert_complete(&report);
    assert_eq!((outcomes.len(), report.resumed, report.items), (1_000, 300, 1_000));
}

#[test]
fn a_source_that_cannot_be_opened_starts_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let closed =
        cofferdam::fallible(|| Err::<Vec<Result<(String, Task), SourceError>>, _>(SourceError::new("no")));
    assert!(job(dir.path(), workers::program()).start(closed).is_err());
}

#[test]
fn a_stream_of_unknown_length_is_read_once_and_resumed_with_another() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program())
        .start(cofferdam::stream((0..500).map(echo)))
        .expect("the job starts");
    assert_eq!((handle.plan().new, handle.plan().done), (None, 0));
    let report = handle.wait().expect("a report");
    assert_complete(&report);
    assert_eq!((report.completed, report.items), (500, 500));
    let (outcomes, report) =
        run_keyed(job(dir.path(), workers::program()), cofferdam::stream((100..800).rev().map(echo)));
    assert_complete(&report);
    assert_eq!((outcomes.len(), report.resumed, report.attempts), (800, 500, 300));
}

#[test]
fn a_later_duplicate_of_a_stream_fails_and_the_job_goes_on_now_and_when_it_is_resumed() {
    let dir = tempfile::tempdir().expect("a directory");
    let items = || (0..40).chain([7]).chain(40..60).chain([7]).map(echo);
    for round in 0..2 {
        let (outcomes, report) = run_keyed(job(dir.path(), workers::program()), cofferdam::stream(items()));
        assert_complete(&report);
        assert_eq!((report.completed, report.failed), (60, 2), "round {round}: {report:?}");
        let failed = &outcomes["item-7%00duplicate-40"];
        let OutcomeResult::Failed(evidence) = &failed.result else { panic!("{failed:?}") };
        assert_eq!(evidence.kind, "duplicate-key");
        assert_eq!(evidence.message, "items 7 and 40 of the source have the same key, item-7");
        assert!(outcomes.contains_key("item-7%00duplicate-61"));
        assert!(matches!(outcomes["item-7"].result, OutcomeResult::Completed(_)));
    }
}

/// Every item's end, without lsn and attempts.
fn essence(outcomes: &BTreeMap<Key, Outcome<Done>>) -> BTreeMap<Key, String> {
    let end = |outcome: &Outcome<Done>| match &outcome.result {
        OutcomeResult::Completed(done) => format!("completed {}", done.number),
        OutcomeResult::Failed(evidence) => format!("failed {}", evidence.kind),
        OutcomeResult::Quarantined(evidence) => format!("quarantined {}", evidence.kind),
        OutcomeResult::Cancelled => "cancelled".to_owned(),
    };
    outcomes.iter().map(|(key, outcome)| (key.clone(), end(outcome))).collect()
}

/// Crashes, failures and plain work.
fn workload() -> Vec<Task> {
    let of = |number| match number % 50 {
        7 => Behaviour::First(Box::new(Behaviour::Panic)),
        19 => Behaviour::Panic,
        23 => Behaviour::Fail(FailWith::InvalidInput),
        31 => Behaviour::First(Box::new(Behaviour::Fail(FailWith::Transient))),
        _ => Behaviour::Sleep { ms: 1 },
    };
    tasks(&(0..400).map(of).collect::<Vec<_>>())
}

/// Runs until at least `until` outcomes are there, then drains; all of the job's outcomes.
fn run_until(store: &Path, isolation: Isolation, until: usize) -> (BTreeMap<Key, Outcome<Done>>, Ended) {
    let handle = job(store, workers::program())
        .isolation(isolation)
        .start(cofferdam::dense(workload))
        .expect("the job starts");
    let mut outcomes = BTreeMap::new();
    for outcome in handle.outcomes() {
        let outcome = outcome.expect("a readable outcome");
        let before = outcomes.insert(outcome.key.clone(), outcome);
        assert!(before.is_none(), "committed twice: {before:?}");
        if outcomes.len() == until {
            handle.drain();
        }
    }
    (outcomes, handle.wait().expect("a report").ended)
}

#[test]
fn a_job_that_goes_from_processes_to_threads_and_back_ends_with_identical_results() {
    let there_and_back = tempfile::tempdir().expect("a directory");
    run_until(there_and_back.path(), Isolation::Process, 80);
    run_until(there_and_back.path(), Isolation::Thread, 160);
    run_until(there_and_back.path(), Isolation::Process, 240);
    run_until(there_and_back.path(), Isolation::Thread, 320);
    let (changed, ended) = run_until(there_and_back.path(), Isolation::Process, usize::MAX);
    assert_eq!(ended, Ended::Complete);
    let straight = tempfile::tempdir().expect("a directory");
    let (uninterrupted, ended) = run_until(straight.path(), Isolation::Process, usize::MAX);
    assert_eq!(ended, Ended::Complete);
    assert_eq!(essence(&changed), essence(&uninterrupted));
}
