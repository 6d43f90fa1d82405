//! Workers that never become ready.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_isolation::WorkerProgram;
use cofferdam_pipeline_core::{Executor, Exit, ExitReport, FailureKind, KillReason, TimeLimit, WorkerEvent};
use common::{Config, Host, Item, settings};
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

const SHORT: Duration = Duration::from_millis(400);

fn end_of_start(config: &Config, start_wall_max: Duration) -> (Vec<WorkerEvent>, ExitReport) {
    let mut settings = settings(config);
    settings.start_wall_max = start_wall_max;
    end_with(settings)
}

fn end_with(settings: cofferdam_isolation::ChildSettings) -> (Vec<WorkerEvent>, ExitReport) {
    let mut host = Host::with(settings);
    let worker = host.spawn(0);
    let end = host.end_of(worker);
    let report = end.report().clone();
    assert_eq!((report.open_known, report.open.len()), (true, 0));
    (end.others, report)
}

fn end_of_program(path: &str, args: &[&str]) -> ExitReport {
    let mut settings = settings(&Config::Good);
    settings.program =
        WorkerProgram::Program { path: path.into(), args: args.iter().map(Into::into).collect() };
    settings.start_wall_max = SHORT;
    end_with(settings).1
}

fn spawn_failure(report: &ExitReport) -> &str {
    match &report.exit {
        Exit::SpawnFailed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failed_start_says_what_the_processor_said() {
    let (events, report) = end_of_start(&Config::FailStart("no model".into()), common::PATIENCE);
    assert_eq!(report.exit, Exit::StartFailed("no model".into()));
    match &events[..] {
        [WorkerEvent::StartFailed(failure)] => assert_eq!(failure.kind, FailureKind::Fatal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_in_start_is_a_failed_start() {
    let (_, report) = end_of_start(&Config::PanicInStart, common::PATIENCE);
    match &report.exit {
        Exit::StartFailed(why) => {
            assert!(why.starts_with("panicked at ") && why.ends_with(": no model"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exit_in_start_is_a_failed_start_whatever_the_code() {
    let (_, report) = end_of_start(&Config::ExitInStart(0), common::PATIENCE);
    assert_eq!(report.exit, Exit::StartFailed("exited with code 0".into()));
}

#[test]
fn a_start_that_hangs_ends_by_its_time_limit() {
    let (_, report) = end_of_start(&Config::HangInStart, SHORT);
    assert_eq!(report.exit, Exit::TimedOut { limit: TimeLimit::Start, after: SHORT });
}

#[test]
fn a_program_that_never_greets_is_a_failed_spawn() {
    let report = end_of_program("/bin/sleep", &["1000"]);
    assert!(spawn_failure(&report).contains("no handshake within"), "{report:?}");
}

#[test]
fn a_program_without_the_worker_line_that_ends_is_a_failed_spawn() {
    let report = end_of_program("/bin/true", &[]);
    let why = spawn_failure(&report);
    assert!(why.contains("exited with code 0 before the handshake") && why.contains("worker line"), "{why}");
}

#[test]
fn a_program_that_babbles_into_the_socket_is_a_failed_spawn() {
    let babble = "while :; do echo 'GET / HTTP/1.1 and so on and so on and so on and so on'; done >&0";
    let report = end_of_program("/bin/sh", &["-c", babble]);
    assert!(spawn_failure(&report).contains("not a greeting"), "{report:?}");
}

#[test]
fn a_program_that_does_not_exist_is_a_failed_spawn() {
    let report = end_of_program("/does/not/exist", &[]);
    assert!(spawn_failure(&report).contains("No such file"), "{report:?}");
}

#[test]
fn another_version_of_the_processor_is_a_fatal_start() {
    let mut settings = settings(&Config::Good);
    settings.version += 1;
    let (events, report) = end_with(settings);
    assert!(matches!(&events[..], [WorkerEvent::StartFailed(failure)] if failure.kind == FailureKind::Fatal));
    assert!(matches!(&report.exit, Exit::StartFailed(why) if why.contains("version")), "{report:?}");
}

#[test]
fn a_config_beyond_a_frame_is_refused_at_once() {
    let mut settings = settings(&Config::FailStart("x".repeat(5000)));
    settings.frame_payload_max = 4096;
    let sink = std::sync::Arc::new(|_, _| {});
    let error = cofferdam_isolation::ChildExecutor::new(settings, sink).err().unwrap();
    assert!(
        matches!(error, cofferdam_isolation::IsolationError::ConfigTooLarge { max: 4096, .. }),
        "{error:?}"
    );
}

#[test]
fn a_job_inside_a_worker_is_refused() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assign(worker, &[Item::StartJob]);
    assert_eq!(common::outputs(&host.replied().1), [b"InsideWorker"]);
    host.executor.kill(worker, KillReason::JobOver);
}

#[test]
fn an_item_beyond_a_frame_fails_alone() {
    let mut settings = settings(&Config::Good);
    settings.frame_payload_max = 4096;
    let mut host = Host::with(settings);
    let worker = host.ready(0);
    let lease = host.assign(worker, &[Item::Echo(vec![7; 5000])]);
    match host.event() {
        (who, WorkerEvent::Failed { item, failure }) => {
            assert_eq!((who, item.lease, item.offset), (worker, lease, 0));
            assert_eq!(failure.kind, FailureKind::InvalidInput);
        }
        other => panic!("{other:?}"),
    }
    host.assert_unharmed(worker);
}
