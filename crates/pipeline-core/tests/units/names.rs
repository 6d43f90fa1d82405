//! Keys as text, failures from errors, times.

use cofferdam_pipeline_core::{Failure, FailureKind, Key, Time};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use std::time::Duration;

fn text(bytes: &[u8]) -> String {
    Key::Bytes(bytes.into()).to_string()
}

#[test]
fn keys_are_shown_as_text_with_what_is_not_printable_escaped() {
    assert_eq!(Key::Ordinal(12).to_string(), "#12");
    assert_eq!(text("größe/ä.pdf".as_bytes()), "größe/ä.pdf");
    assert_eq!(text(b"100%.txt"), "100%25.txt");
    assert_eq!(text(b"a\nb\x1b[31m\x7f"), "a%0Ab%1B[31m%7F");
    assert_eq!(text(b"\xff\xfe.bin"), "%FF%FE.bin");
    assert_eq!(text("\u{85}".as_bytes()), "%C2%85", "a control character of two bytes");
    assert_eq!(text(b"\xe2\x82"), "%E2%82", "the beginning of a character");
}

proptest! {
    #[test]
    fn escaped_keys_never_hold_controls_and_can_be_told_apart(a in vec(any::<u8>(), 0..40), b in vec(any::<u8>(), 0..40)) {
        assert!(!text(&a).contains(char::is_control));
        assert_eq!(text(&a) == text(&b), a == b);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read page {0}")]
struct Outer(u32, #[source] std::io::Error);

#[test]
fn any_error_converts_with_its_sources_in_the_message() {
    let failure = Failure::from(Outer(14, std::io::Error::other("end of file")));
    assert_eq!(failure.kind, FailureKind::InvalidInput);
    assert_eq!(failure.message, "cannot read page 14: end of file");
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read page {0}: {1}")]
struct Wordy(u32, #[source] std::io::Error);

#[test]
fn a_source_that_the_message_ends_with_is_not_said_twice() {
    let failure = Failure::from(Wordy(14, std::io::Error::other("end of file")));
    assert_eq!(failure.message, "cannot read page 14: end of file");
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let failure = Failure::transient("ä".repeat(Failure::MESSAGE_LEN_MAX));
    assert_eq!(failure.message.len(), Failure::MESSAGE_LEN_MAX);
    let odd = Failure::transient(format!("x{}", "ä".repeat(Failure::MESSAGE_LEN_MAX)));
    assert_eq!(odd.message.len(), Failure::MESSAGE_LEN_MAX - 1);
}

#[test]
fn time_saturates_at_both_ends() {
    assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    assert_eq!(Time(5) - Duration::from_nanos(9), Time(0));
    assert_eq!(Time(5) + Duration::MAX, Time(u64::MAX));
}
