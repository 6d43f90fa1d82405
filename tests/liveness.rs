//! Workers that live and do not move, in real children: each limit is told from the others.
#![cfg(unix)]

mod support;

use cofferdam::{OutcomeResult, Policy};
use cofferdam_testkit::{Behaviour, Misbehave};
use std::num::NonZeroU32;
use std::time::Duration;
use support::{assert_complete, job, quarantine_of, run, tasks};

cofferdam::worker_test!(workers: Misbehave);

/// Many looks at a recorder, and many beats of a heart.
const LIMIT: Duration = Duration::from_millis(900);

const SIGSTOP: i32 = if cfg!(target_os = "linux") { 19 } else { 17 };

#[test]
fn an_item_that_says_nothing_new_has_stalled_and_one_that_reports_may_take_its_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), workers::program()).item_stall_max(LIMIT);
    let slow = Behaviour::Report { ms: 2_000 };

    let (outcomes, report) = run(job, tasks(&[Behaviour::Spin, slow, Behaviour::Echo]));

    assert_complete(&report);
    let evidence = quarantine_of(&outcomes[0]);
    assert_eq!((evidence.kind.as_str(), evidence.stage.as_str()), ("stalled", "behave"));
    assert_eq!(outcomes[0].attempts, 2, "once among others, once alone");
    for outcome in &outcomes[1..] {
        assert!(matches!(outcome.result, OutcomeResult::Completed(_)), "{outcome:?}");
        assert_eq!(outcome.attempts, 1);
    }
    assert_eq!(report.crashes.into_iter().collect::<Vec<_>>(), [("stalled".to_owned(), 2)]);
}

#[test]
fn a_worker_that_was_stopped_is_replaced_and_its_item_is_charged_with_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = Policy {
        workers: NonZeroU32::MIN.saturating_add(1),
        heartbeat_silence_max: Some(LIMIT),
        crashes_max: 1, // a charge would convict it
        ..Policy::default()
    };
    let job = job(dir.path(), workers::program()).policy(policy);
    let stops_once = Behaviour::First(Box::new(Behaviour::Signal(SIGSTOP)));

    let (outcomes, report) = run(job, tasks(&[stops_once, Behaviour::Echo]));

    assert_complete(&report);
    assert!(matches!(outcomes[0].result, OutcomeResult::Completed(_)), "{outcomes:?}");
    assert_eq!(report.crashes.into_iter().collect::<Vec<_>>(), [("no-heartbeat".to_owned(), 1)]);
}
