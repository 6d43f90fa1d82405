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
        out_of_memory: false,
        last_words: LastWords::default(),
        violation: None,
    }
}

fn record(phase: Phase, panic: Option<&str>, has_open: bool) -> Record {
    let panic = panic.map(|message| PanicRecord { message: message.into(), location: "a.rs:1:2".into() });
    Record { phase, panic, has_open, signal: None, stack: None, backtrace: "main".into() }
}

fn working() -> Record {
    record(Phase::Ready, None, true)
}

fn panicked() -> Exit {
    Exit::Panic { message: "boom".into(), location: "a.rs:1:2".into(), backtrace: "main".into() }
}

#[test]
fn what_ends_by_itself_is_named_as_it_ended() {
    let segv = signal(11, "SIGSEGV");
    assert_eq!(
        judge(&at_work(segv), Some(&working())),
        Exit::Signal { number: 11, name: "SIGSEGV", address: None }
    );
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
    let abort = Exit::Signal { number: 6, name: "SIGABRT", address: None };
    assert_eq!(judge(&at_work(signal(6, "SIGABRT")), Some(&caught)), abort);
}

#[test]
fn our_kill_counts_only_when_the_end_looks_like_one() {
    let killed = |raw| Findings { our_kill: Some(ITEM_LIMIT), ..at_work(raw) };
    let timed_out = Exit::TimedOut { limit: TimeLimit::Item, after: Duration::from_secs(9) };
    assert_eq!(judge(&killed(sigkill()), Some(&working())), timed_out);
    assert_eq!(judge(&killed(RawExit::Code(0)), Some(&working())), Exit::Code(0));
    assert_eq!(judge(&killed(RawExit::Unknown), Some(&working())), timed_out);
    let segv = Exit::Signal { number: 11, name: "SIGSEGV", address: None };
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
    let segv = Exit::Signal { number: 11, name: "SIGSEGV", address: None };
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

/// The stack of the processor's thread in these tests.
const STACK: std::ops::Range<u64> = 0x70_0000..0x80_0000;

fn fault(address: u64, stack_pointer: u64) -> Record {
    let signal = SignalRecord { number: 11, code: 1, address, stack_pointer };
    Record { signal: Some(signal), stack: Some(STACK), ..working() }
}

fn segv_at(record: &Record) -> Exit {
    judge(&at_work(signal(11, "SIGSEGV")), Some(record))
}

#[test]
fn a_fault_beyond_the_end_of_the_stack_it_was_on_is_an_overflow() {
    assert_eq!(segv_at(&fault(STACK.start - 8, STACK.start)), Exit::StackOverflow);
    assert_eq!(
        segv_at(&fault(STACK.start - 0x8000, STACK.start - 0x8000)),
        Exit::StackOverflow,
        "a large frame"
    );
    let by_std = judge(&at_work(signal(6, "SIGABRT")), Some(&fault(STACK.start - 8, STACK.start)));
    assert_eq!(by_std, Exit::StackOverflow, "the standard library's handler aborts");
}

#[test]
fn other_faults_are_signals_with_their_address() {
    let at = |address| Exit::Signal { number: 11, name: "SIGSEGV", address: Some(address) };
    assert_eq!(segv_at(&fault(8, STACK.start + 0x9000)), at(8));
    // Somebody ran off the beginning of the stack.
    assert_eq!(segv_at(&fault(STACK.end, STACK.end - 64)), at(STACK.end));
    // Another thread, far from its own stack pointer.
    assert_eq!(segv_at(&fault(8, 0x9900_0000)), at(8));
}

#[test]
fn the_overflow_of_a_stack_of_unknown_bounds_is_near_the_stack_pointer() {
    assert_eq!(segv_at(&fault(0x9900_0000 - 8, 0x9900_0000)), Exit::StackOverflow);
    let above = Exit::Signal { number: 11, name: "SIGSEGV", address: Some(0x9900_0100) };
    assert_eq!(segv_at(&fault(0x9900_0100, 0x9900_0000)), above);
}

#[test]
fn a_signal_that_somebody_sent_has_no_address_and_is_no_overflow() {
    let sent = SignalRecord { number: 11, code: 0, address: STACK.start - 8, stack_pointer: STACK.start };
    let record = Record { signal: Some(sent), stack: Some(STACK), ..working() };
    assert_eq!(segv_at(&record), Exit::Signal { number: 11, name: "SIGSEGV", address: None });
}

#[test]
fn an_abort_for_want_of_memory_is_known_by_its_words() {
    let says = |stderr: &str| Findings {
        last_words: LastWords::in_stderr(stderr.as_bytes()),
        ..at_work(signal(6, "SIGABRT"))
    };
    let rust = says("reading\nmemory allocation of 4096 bytes failed\n");
    assert_eq!(judge(&rust, Some(&working())), Exit::AllocationFailed { bytes: Some(4096) });
    let cpp =
        says("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n");
    assert_eq!(judge(&cpp, Some(&working())), Exit::AllocationFailed { bytes: None });
    let other = judge(&says("memory is cheap\n"), Some(&working()));
    assert_eq!(other, Exit::Signal { number: 6, name: "SIGABRT", address: None });
    // Words do not make a crash out of an exit.
    assert_eq!(judge(&Findings { raw: RawExit::Code(1), ..rust }, Some(&working())), Exit::Code(1));
}

#[test]
fn a_kill_for_want_of_memory_is_no_strangers_kill() {
    let killed = Findings { out_of_memory: true, ..at_work(sigkill()) };
    assert!(killed.is_strangers_kill());
    assert_eq!(judge(&killed, Some(&working())), Exit::OutOfMemory);
    let ours = Findings { our_kill: Some(ITEM_LIMIT), ..at_work(sigkill()) };
    assert!(!ours.is_strangers_kill());
}
