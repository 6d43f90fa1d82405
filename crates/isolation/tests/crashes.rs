//! Items that end their worker: each exit is named exactly, the item that ran is blamed, nobody else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::Exit;
use common::{Item, assert_blamed, assert_blamed_by};

#[test]
fn worker() {
    common::enter_worker();
}

fn signal(number: i32, name: &'static str) -> Exit {
    Exit::Signal { number, name, address: None }
}

#[test]
fn an_abort_is_named_by_its_signal() {
    assert_blamed(Item::Abort, &signal(6, "SIGABRT"));
}

#[test]
fn a_segmentation_fault_is_named_by_its_signal() {
    assert_blamed(Item::Segv, &Exit::Signal { number: 11, name: "SIGSEGV", address: Some(8) });
}

#[test]
fn a_stack_overflow_is_told_from_an_abort_and_its_words_are_evidence() {
    let report = assert_blamed(Item::StackOverflow, &Exit::StackOverflow);
    assert!(report.stderr_tail.contains("overflowed its stack"), "{}", report.stderr_tail);
}

#[test]
fn a_stack_overflow_in_native_code_is_one_too() {
    assert_blamed(Item::NativeStackOverflow, &Exit::StackOverflow);
}

#[test]
fn a_stack_overflow_on_another_thread_is_one_too() {
    assert_blamed(Item::StackOverflowOnThread, &Exit::StackOverflow);
}

#[test]
fn an_allocation_that_fails_says_how_much_was_asked_for() {
    assert_blamed(Item::AllocateTooMuch, &Exit::AllocationFailed { bytes: Some(1 << 47) });
}

#[test]
fn a_sigsegv_that_somebody_sends_has_no_address() {
    assert_blamed(Item::Raise(11), &signal(11, "SIGSEGV"));
}

#[test]
fn an_exit_with_code_0_in_an_item_is_a_crash_all_the_same() {
    assert_blamed(Item::Exit(0), &Exit::Code(0));
}

#[test]
fn an_exit_with_another_code_shows_it() {
    assert_blamed(Item::Exit(7), &Exit::Code(7));
}

#[test]
fn an_exit_with_the_code_of_panics_is_no_panic() {
    assert_blamed(Item::Exit(101), &Exit::Code(101));
}

#[test]
fn a_panic_shows_message_and_place() {
    assert_blamed_by(Item::Panic("broken page".into()), |exit| match exit {
        Exit::Panic { message, location, backtrace } => {
            assert_eq!(message, "broken page");
            assert!(location.contains("mischief.rs:"), "{location}");
            let first = backtrace.lines().next().unwrap_or_default();
            assert!(first.contains("act"), "the processor's own call comes first: {backtrace}");
        }
        other => panic!("{other:?}"),
    });
}

#[test]
fn an_abort_after_a_caught_panic_is_an_abort() {
    assert_blamed(Item::CaughtPanicThenAbort, &signal(6, "SIGABRT"));
}

#[test]
fn what_the_processor_said_last_survives_its_death() {
    let report = assert_blamed(Item::Annotated(Item::Abort.into()), &signal(6, "SIGABRT"));
    let open = &report.open[0];
    assert_eq!(
        (open.stage.as_str(), open.progress, open.message.as_str()),
        ("decode", Some((3, 9)), "page 3")
    );
    assert_eq!(open.breadcrumbs, ["opened", "page 3"]);
}

#[test]
fn a_sigkill_or_sigterm_from_elsewhere_is_a_foreign_kill() {
    for (number, name) in [(9, "SIGKILL"), (15, "SIGTERM")] {
        let report = assert_blamed(Item::Raise(number), &signal(number, name));
        assert!(report.exit.is_foreign_kill());
    }
}
