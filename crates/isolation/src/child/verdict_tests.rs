use super::*;
use cofferdam_pipeline_core::TimeLimit;
use std::time::Duration;

const ITEM_LIMIT: KillReason = KillReason::TimeLimit(TimeLimit::Item, Duration::from_secs(9));

fn signal(number: i32, name: &'static str) -> RawExit {
    RawExit::Signal { number, name }
}

fn sigkill() -> RawExit {
    signal(9, "SIGKILL")
}

/// A worker that was at work and ended by itself.
fn at_work(raw: RawExit) -> Findings {
    Findings {
        raw,
        our_kill: None,
        greeted: true,
        refusal: None,
        ready: true,
        stopped: false,
        start_failure: None,
        violation: None,
    }
}

fn record(phase: Phase, panic: Option<&str>, has_open: bool) -> Record {
    let panic = panic.map(|message| PanicRecord { message: message.into(), location: "a.rs:1:2".into() });
    Record { phase, panic, has_open }
}

fn working() -> Record {
    record(Phase::Ready, None, true)
}

fn panicked() -> Exit {
    Exit::Panic { message: "boom".into(), location: "a.rs:1:2".into() }
}

#[test]
fn what_ends_by_itself_is_named_as_it_ended() {
    let segv = signal(11, "SIGSEGV");
    assert_eq!(judge(&at_work(segv), Some(&working())), Exit::Signal { number: 11, name: "SIGSEGV" });
    assert_eq!(judge(&at_work(RawExit::Code(0)), Some(&working())), Exit::Code(0));
    assert_eq!(judge(&at_work(RawExit::Code(7)), None), Exit::Code(7));
    assert_eq!(judge(&at_work(RawExit::Unknown), Some(&working())), Exit::Unknown);
    assert_eq!(judge(&at_work(RawExit::Immortal), Some(&working())), Exit::Abandoned);
}

#[test]
fn a_panic_needs_both_the_record_and_the_exit() {
    let with_panic = record(Phase::Panicked, Some("boom"), true);
    let caught = record(Phase::Ready, Some("boom"), true);
    assert_eq!(judge(&at_work(RawExit::Code(101)), Some(&with_panic)), panicked());
    assert_eq!(judge(&at_work(RawExit::Code(101)), Some(&working())), Exit::Code(101));
    assert_eq!(judge(&at_work(RawExit::Code(3)), Some(&with_panic)), Exit::Code(3));
    assert_eq!(judge(&at_work(signal(6, "SIGABRT")), Some(&with_panic)), panicked());
    let abort = Exit::Signal { number: 6, name: "SIGABRT" };
    assert_eq!(judge(&at_work(signal(6, "SIGABRT")), Some(&caught)), abort);
}

#[test]
fn our_kill_counts_only_when_the_end_looks_like_one() {
    let killed = |raw| Findings { our_kill: Some(ITEM_LIMIT), ..at_work(raw) };
    let timed_out = Exit::TimedOut { limit: TimeLimit::Item, after: Duration::from_secs(9) };
    assert_eq!(judge(&killed(sigkill()), Some(&working())), timed_out);
    assert_eq!(judge(&killed(RawExit::Code(0)), Some(&working())), Exit::Code(0));
    assert_eq!(judge(&killed(RawExit::Unknown), Some(&working())), timed_out);
    let segv = Exit::Signal { number: 11, name: "SIGSEGV" };
    assert_eq!(judge(&killed(signal(11, "SIGSEGV")), Some(&working())), segv);
}

#[test]
fn a_foreign_sigkill_is_a_signal_and_ours_is_a_reason() {
    assert!(judge(&at_work(sigkill()), Some(&working())).is_foreign_kill());
    let cancelled = Findings { our_kill: Some(KillReason::Cancelled), ..at_work(sigkill()) };
    assert_eq!(judge(&cancelled, Some(&working())), Exit::Killed(KillReason::Cancelled));
}

#[test]
fn a_breach_stands_unless_a_crash_explains_it() {
    let broke = |raw, our_kill| Findings { violation: Some("garbage".into()), our_kill, ..at_work(raw) };
    let breach = Exit::ProtocolViolation("garbage".into());
    let ours = Some(KillReason::ProtocolViolation);
    assert_eq!(judge(&broke(sigkill(), ours), Some(&working())), breach);
    assert_eq!(judge(&broke(RawExit::Code(103), None), Some(&working())), breach);
    assert_eq!(judge(&broke(signal(15, "SIGTERM"), None), Some(&working())), breach);
    let segv = Exit::Signal { number: 11, name: "SIGSEGV" };
    assert_eq!(judge(&broke(signal(11, "SIGSEGV"), ours), Some(&working())), segv);
}

#[test]
fn a_breach_that_only_the_supervisor_saw_is_one_too() {
    let killed = Findings { our_kill: Some(KillReason::ProtocolViolation), ..at_work(sigkill()) };
    assert!(matches!(judge(&killed, Some(&working())), Exit::ProtocolViolation(_)));
}

#[test]
fn before_the_handshake_every_end_is_a_failed_spawn() {
    let young = |raw| Findings { greeted: false, ready: false, ..at_work(raw) };
    let text = |findings: &Findings| match judge(findings, None) {
        Exit::SpawnFailed(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(text(&young(RawExit::Code(0))).contains("exited with code 0 before the handshake"));
    let limit = Some(KillReason::TimeLimit(TimeLimit::Start, Duration::from_secs(3)));
    assert!(text(&Findings { our_kill: limit, ..young(sigkill()) }).contains("no handshake within 3s"));
    let refused = Findings { refusal: Some("another build".into()), ..young(RawExit::Code(1)) };
    assert_eq!(text(&refused), "another build; it exited with code 1");
    let cancelled = Findings { our_kill: Some(KillReason::Cancelled), ..young(sigkill()) };
    assert_eq!(judge(&cancelled, None), Exit::Killed(KillReason::Cancelled));
}

#[test]
fn in_start_every_end_is_a_failed_start_but_for_its_time_limit() {
    let starting = |raw| Findings { ready: false, ..at_work(raw) };
    let fault = judge(&starting(signal(11, "SIGSEGV")), None);
    assert_eq!(fault, Exit::StartFailed("ended by SIGSEGV (11)".into()));
    let told = Findings { start_failure: Some("no model".into()), ..starting(RawExit::Code(102)) };
    assert_eq!(judge(&told, None), Exit::StartFailed("no model".into()));
    let limit = KillReason::TimeLimit(TimeLimit::Start, Duration::from_secs(3));
    let hung = Findings { our_kill: Some(limit), ..starting(sigkill()) };
    let timed_out = Exit::TimedOut { limit: TimeLimit::Start, after: Duration::from_secs(3) };
    assert_eq!(judge(&hung, None), timed_out);
    let with_panic = record(Phase::Panicked, Some("boom"), false);
    let fault = judge(&starting(RawExit::Code(101)), Some(&with_panic));
    assert_eq!(fault, Exit::StartFailed("panicked at a.rs:1:2: boom".into()));
}

#[test]
fn stopped_takes_a_goodbye_exit_code_0_and_nothing_open() {
    let goodbye = |raw| Findings { stopped: true, ..at_work(raw) };
    let idle = record(Phase::Stopping, None, false);
    assert_eq!(judge(&goodbye(RawExit::Code(0)), Some(&idle)), Exit::Stopped);
    assert_eq!(judge(&goodbye(RawExit::Code(0)), Some(&working())), Exit::Code(0));
    assert_eq!(judge(&goodbye(RawExit::Code(1)), Some(&idle)), Exit::Code(1));
    assert_eq!(judge(&at_work(RawExit::Code(0)), Some(&idle)), Exit::Code(0));
}

#[test]
fn a_worker_that_misses_its_living_host_has_left_the_protocol() {
    let lost = at_work(RawExit::Code(exit_code::HOST_LOST.into()));
    assert!(matches!(judge(&lost, Some(&working())), Exit::ProtocolViolation(_)));
}
