//! Every way in which an item can end its worker, in real children: exact blame, evidence, neighbours uncharged.

mod support;

use cofferdam::{Ended, Isolation, Job, OutcomeResult};
use cofferdam_testkit::{Behaviour, FailWith, Misbehave, Start};
use std::time::Duration;
use support::{assert_all_completed_but, assert_complete, echoes_with, job, quarantine_of, run};

cofferdam::worker_test!(workers: Misbehave);

const ITEMS: usize = 60;
const PLACES: [usize; 3] = [0, 31, 59];

/// The item crashes twice, the second time alone, and is quarantined with this kind; nobody else is charged.
fn assert_convicted(behaviour: &Behaviour, kind: &str) {
    assert_convicted_within(behaviour, kind, Duration::from_secs(60));
}

fn assert_convicted_within(behaviour: &Behaviour, kind: &str, item_wall_max: Duration) {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), workers::program()).item_wall_max(item_wall_max);
    let (outcomes, report) = run(job, echoes_with(ITEMS, &PLACES, behaviour));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, ITEMS, &PLACES);
    for place in PLACES {
        let evidence = quarantine_of(&outcomes[place]);
        assert_eq!(evidence.kind, kind);
        assert_eq!(evidence.stage, "behave");
        assert_eq!(evidence.breadcrumbs, [format!("item {place}")]);
        assert_eq!(outcomes[place].attempts, 2, "one crash among others, one alone");
    }
    assert_eq!(report.quarantined, PLACES.len() as u64);
    assert_eq!(report.crashes.get(kind), Some(&(2 * PLACES.len() as u64)), "{:?}", report.crashes);
}

#[test]
fn an_abort_convicts_its_item_alone() {
    assert_convicted(&Behaviour::Abort, "SIGABRT");
}

#[test]
fn a_segfault_convicts_its_item_alone() {
    assert_convicted(&Behaviour::Segv, "SIGSEGV");
}

#[test]
fn a_stack_overflow_convicts_its_item_alone() {
    assert_convicted(&Behaviour::StackOverflow, "stack-overflow");
}

#[test]
fn a_hang_is_ended_by_the_item_limit_and_convicts_its_item_alone() {
    assert_convicted_within(&Behaviour::Hang, "time-limit", Duration::from_millis(400));
}

#[test]
fn a_busy_loop_is_ended_by_the_item_limit_and_convicts_its_item_alone() {
    assert_convicted_within(&Behaviour::Spin, "time-limit", Duration::from_millis(400));
}

#[test]
fn exit_0_inside_an_item_is_a_crash() {
    assert_convicted(&Behaviour::Exit(0), "exit(0)");
}

#[test]
fn exit_7_inside_an_item_is_a_crash() {
    assert_convicted(&Behaviour::Exit(7), "exit(7)");
}

#[test]
fn a_panic_convicts_its_item_and_its_message_is_evidence() {
    assert_convicted(&Behaviour::Panic, "panic");
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, _) = run(job(dir.path(), workers::program()), echoes_with(1, &[0], &Behaviour::Panic));
    let evidence = quarantine_of(&outcomes[0]);
    assert!(evidence.message.contains("told to panic"), "{evidence:?}");
    assert!(evidence.message.contains("misbehave.rs"), "the place is named: {evidence:?}");
}

#[test]
fn junk_on_the_socket_convicts_its_item_alone() {
    assert_convicted(&Behaviour::Garbage, "protocol-violation");
}

#[test]
fn a_crash_that_happens_once_is_acquitted_and_refunded() {
    let dir = tempfile::tempdir().expect("a directory");
    let flaky = Behaviour::First(Box::new(Behaviour::Abort));
    let (outcomes, report) = run(job(dir.path(), workers::program()), echoes_with(ITEMS, &PLACES, &flaky));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, ITEMS, &PLACES);
    for place in PLACES {
        assert_eq!(outcomes[place].attempts, 2);
        assert!(matches!(outcomes[place].result, OutcomeResult::Completed(_)));
    }
    assert_eq!(report.crashes.get("SIGABRT"), Some(&3));
}

#[test]
fn a_sigkill_of_unknown_origin_convicts_only_after_five_deaths() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, report) =
        run(job(dir.path(), workers::program()), echoes_with(ITEMS, &[31], &Behaviour::Signal(9)));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, ITEMS, &[31]);
    assert_eq!(quarantine_of(&outcomes[31]).kind, "SIGKILL");
    assert_eq!(outcomes[31].attempts, 5);
}

#[test]
fn an_invalid_input_fails_at_once_and_a_transient_failure_after_its_attempts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tasks = echoes_with(ITEMS, &[10], &Behaviour::Fail(FailWith::InvalidInput));
    tasks[40].behaviour = Behaviour::Fail(FailWith::Transient);
    tasks[50].behaviour = Behaviour::First(Box::new(Behaviour::Fail(FailWith::Transient)));
    let (outcomes, report) = run(job(dir.path(), workers::program()), tasks);
    assert_complete(&report);
    assert_all_completed_but(&outcomes, ITEMS, &[10, 40, 50]);
    let failed = |i: usize| match &outcomes[i].result {
        OutcomeResult::Failed(evidence) => {
            assert_eq!((&*evidence.stage, &*evidence.breadcrumbs), ("behave", &[format!("item {i}")][..]));
            (evidence.kind.clone(), outcomes[i].attempts)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(10), ("invalid-input".into(), 1));
    assert_eq!(failed(40), ("transient".into(), 3));
    assert!(matches!(outcomes[50].result, OutcomeResult::Completed(_)));
    assert_eq!(outcomes[50].attempts, 2);
    assert_eq!((report.failed, report.completed), (2, ITEMS as u64 - 2));
    assert!(report.crashes.is_empty());
}

#[test]
fn a_fatal_failure_ends_the_job_and_leaves_the_rest_pending() {
    let dir = tempfile::tempdir().expect("a directory");
    let tasks = echoes_with(2000, &[1000], &Behaviour::Fail(FailWith::Fatal));
    let (outcomes, report) = run(job(dir.path(), workers::program()), tasks);
    assert!(matches!(&report.ended, Ended::Fatal(f) if f.message == "told to fail"), "{:?}", report.ended);
    assert!(outcomes.len() < 2000);
    assert!(
        outcomes.iter().all(|o| o.key != cofferdam::Key::Ordinal(1000)),
        "a fatal failure settles no item"
    );
}

#[test]
fn half_of_all_items_crashing_ends_like_any_other_job() {
    let dir = tempfile::tempdir().expect("a directory");
    let places: Vec<usize> = (0..40).filter(|i| i % 2 == 0).collect();
    let (outcomes, report) =
        run(job(dir.path(), workers::program()), echoes_with(40, &places, &Behaviour::Abort));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, 40, &places);
    assert_eq!(report.quarantined, 20);
}

#[test]
fn a_hundred_megabytes_of_chatter_neither_block_nor_blame() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, report) =
        run(job(dir.path(), workers::program()), echoes_with(20, &[7], &Behaviour::Chatter(50 << 20)));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, 20, &[]);
}

#[test]
fn outputs_of_many_megabytes_come_back_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, report) =
        run(job(dir.path(), workers::program()), echoes_with(12, &[3, 4, 5, 6], &Behaviour::Large(9 << 20)));
    assert_complete(&report);
    assert_all_completed_but(&outcomes, 12, &[]);
    let OutcomeResult::Completed(done) = &outcomes[4].result else { panic!("{:?}", outcomes[4].result) };
    assert_eq!(done.ballast.len(), 9 << 20);
}

#[test]
fn a_processor_that_cannot_start_ends_the_job_with_the_reason() {
    for (start, wanted) in
        [(Start::Fail, "told to fail in start"), (Start::Abort, "SIGABRT"), (Start::Hang, "not ready")]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let job = Job::<Misbehave>::new(dir.path(), "job", start)
            .workers(2)
            .isolation(Isolation::Auto)
            .start_wall_max(Duration::from_millis(300))
            .worker_program(workers::program());
        let (outcomes, report) = run(job, echoes_with(10, &[], &Behaviour::Echo));
        assert!(outcomes.is_empty());
        let Ended::WorkersUnavailable(why) = &report.ended else { panic!("{:?}", report.ended) };
        assert!(why.contains(wanted), "{why}");
        assert_eq!(
            report.isolation,
            Isolation::Process,
            "a start that fails is no reason to run it in the host"
        );
    }
}

#[test]
fn a_worker_program_that_is_none_falls_back_to_threads_only_when_allowed() {
    for (isolation, complete) in [(Isolation::Auto, true), (Isolation::Process, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let nothing = cofferdam::WorkerProgram::Program { path: "/bin/false".into(), args: Vec::new() };
        let job = job(dir.path(), nothing).isolation(isolation);
        let (outcomes, report) = run(job, echoes_with(10, &[], &Behaviour::Echo));
        assert_eq!(report.ended == Ended::Complete, complete, "{:?}", report.ended);
        assert_eq!(outcomes.len(), if complete { 10 } else { 0 });
    }
}
