//! One item of a running job is cancelled, in real children.

mod support;

use cofferdam::{FailureBudget, Key, OutcomeResult};
use cofferdam_testkit::{Behaviour, FailWith, Misbehave};
use std::time::Duration;
use support::{assert_complete, echoes_with, job, run, tasks};

cofferdam::worker_test!(workers: Misbehave);

fn policy(grace: Duration) -> cofferdam::Policy {
    let workers = std::num::NonZeroU32::new(2).expect("two");
    cofferdam::Policy { workers, stop_grace: grace, ..cofferdam::Policy::default() }
}

#[test]
fn items_are_cancelled_wherever_they_are_and_a_resume_leaves_them_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tasks = support::tasks(&vec![Behaviour::Sleep { ms: 1 }; 1_500]);
    tasks[0].behaviour = Behaviour::Sleep { ms: 600_000 };
    tasks[1].behaviour = Behaviour::Hang;
    let start = |tasks: Vec<_>| {
        let job = job(dir.path(), workers::program()).policy(policy(Duration::from_millis(200)));
        job.start(cofferdam::dense(move || tasks.clone())).expect("the job starts")
    };
    let handle = start(tasks.clone());
    let control = handle.control();
    let open = |key: &str| control.snapshot().workers.iter().any(|w| w.item.as_deref() == Some(key));
    while !open("#0") {
        support::pause(Duration::from_millis(1)); // it never ends by itself; the others go on in the other worker
    }
    let control = handle.control();
    // From another thread, twice, settled and unknown ones too.
    let canceller = std::thread::spawn(move || {
        for key in [0, 1, 1_000, 1_499, 0, 1, 5_000] {
            control.cancel_item(Key::Ordinal(key));
        }
    });
    canceller.join().expect("it cancels");
    let mut outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|o| o.key.clone());
    let report = handle.wait().expect("a report");
    assert_complete(&report);
    assert_eq!((report.cancelled, report.completed, report.quarantined), (4, 1_496, 0), "{report:?}");
    for (number, outcome) in outcomes.iter().enumerate() {
        let cancelled = outcome.result == OutcomeResult::Cancelled;
        assert_eq!(cancelled, [0, 1, 1_000, 1_499].contains(&number), "{outcome:?}");
    }
    let report = start(tasks).wait().expect("a report");
    assert_eq!((report.resumed, report.attempts, report.cancelled), (1_500, 0, 4));
}

#[test]
fn a_failure_budget_ends_the_job_and_leaves_the_rest_pending() {
    let dir = tempfile::tempdir().expect("a directory");
    let budget = FailureBudget { failures_max: Some(10), percent_max: None, percent_after: 0 };
    // More than are done before a slow disk has taken the first failures: what is not durable does not count yet.
    let tasks = tasks(&vec![Behaviour::Fail(FailWith::InvalidInput); 100_000]);
    let (outcomes, report) = run(job(dir.path(), workers::program()).failure_budget(budget), tasks);
    let cofferdam::Ended::FailureBudget { failures, settled } = report.ended else { panic!("{report:?}") };
    assert!(failures > 10 && failures == settled, "{report:?}");
    assert!(outcomes.len() < 100_000, "the rest is pending");
}

#[test]
fn workers_are_replaced_after_their_items() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, report) = run(
        job(dir.path(), workers::program()).items_per_worker_max(25),
        echoes_with(200, &[], &Behaviour::Echo),
    );
    assert_complete(&report);
    assert_eq!(outcomes.len(), 200);
    assert!(report.workers_started >= 8, "{report:?}");
    assert!(report.crashes.is_empty());
}
