//! Who may talk to whom, and in which words.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait by the real clock and start children"
)]

use cofferdam_ipc::handshake::{
    Agreement, BuildId, GreetingError, HELLO_LEN, HandshakeError, Hello, Rejection, Terms, Token,
    WELCOME_LEN, Welcome, greet, welcome,
};
use cofferdam_ipc::{Codec, CodecSet, FrameLimits, ReadHalf, Stream, WriteHalf};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::io::IoSlice;
use std::time::{Duration, Instant};

fn hello() -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        codecs: CodecSet::all(),
        pid: 7,
        build_id: BuildId([3; 32]),
        token: Token([4; 16]),
    }
}

fn terms() -> Terms {
    Terms {
        build_id: Some(BuildId([3; 32])),
        token: Some(Token([4; 16])),
        ..Terms::new(Codec::Json, FrameLimits::default())
    }
}

fn pair() -> ((ReadHalf, WriteHalf), (ReadHalf, WriteHalf)) {
    let (host, child) = Stream::pair().unwrap();
    (host.split(), child.into_stream().unwrap().split())
}

/// Both sides at once.
fn shake(
    terms: &Terms,
    hello: &Hello,
) -> (Result<Agreement, HandshakeError>, Result<Agreement, HandshakeError>) {
    let (mut host, mut worker) = pair();
    std::thread::scope(|scope| {
        let host = scope
            .spawn(move || welcome((&mut host.0, &mut host.1), terms, None).map(|(_, agreement)| agreement));
        let worker = greet((&mut worker.0, &mut worker.1), hello, None);
        (host.join().unwrap(), worker)
    })
}

proptest! {
    #[test]
    fn a_hello_comes_back_and_any_flipped_bit_is_noticed(
        (a, b, codecs, pid) in any::<(u16, u16, u16, u32)>(), build_id in any::<[u8; 32]>(), token in any::<[u8; 16]>(),
    ) {
        let codecs = CodecSet::from_bits(codecs);
        let (build_id, token) = (BuildId(build_id), Token(token));
        let mut bytes = Hello { protocol_min: a.min(b), protocol_max: a.max(b), codecs, pid, build_id, token }.encode();
        let back = Hello::decode(&bytes).unwrap();
        prop_assert_eq!((back.protocol_min, back.protocol_max, back.codecs, back.pid), (a.min(b), a.max(b), codecs, pid));
        prop_assert!(back.build_id == build_id && back.token.matches(&token));
        for bit in 0..HELLO_LEN * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Hello::decode(&bytes).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_welcome_comes_back_and_any_flipped_bit_is_noticed(
        (protocol, json, message_max, payload_max) in any::<(u16, bool, u32, u32)>(), rejection in proptest::option::of(1..=4u8),
    ) {
        let codec = if json { Codec::Json } else { Codec::Bincode };
        let agreement = Agreement { protocol, codec, limits: FrameLimits { message_max, payload_max } };
        let welcome = rejection.map_or(Welcome::Accepted(agreement), |code| Welcome::Rejected(Rejection::from_code(code).unwrap()));
        let mut bytes = welcome.encode();
        prop_assert_eq!(Welcome::decode(&bytes), Ok(welcome));
        for bit in 0..WELCOME_LEN * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Welcome::decode(&bytes).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn random_bytes_are_no_greeting(hello in proptest::array::uniform32(any::<u8>())) {
        let mut bytes = [0; HELLO_LEN];
        bytes[..32].copy_from_slice(&hello);
        prop_assert_eq!(Hello::decode(&bytes).unwrap_err(), GreetingError::Magic);
    }
}

#[test]
fn an_empty_range_of_protocols_is_impossible() {
    let bytes = Hello { protocol_min: 2, protocol_max: 1, ..hello() }.encode();
    assert_eq!(Hello::decode(&bytes).unwrap_err(), GreetingError::Value);
}

#[test]
fn both_sides_agree_on_the_newest_protocol_of_both() {
    let terms = Terms { protocols: 2..=5, ..terms() };
    for (min, max, expected) in [(1, 2, 2), (3, 4, 4), (5, 9, 5), (1, 9, 5)] {
        let (host, worker) = shake(&terms, &Hello { protocol_min: min, protocol_max: max, ..hello() });
        let agreement = Agreement { protocol: expected, codec: Codec::Json, limits: terms.limits };
        assert_eq!((host.unwrap(), worker.unwrap()), (agreement, agreement));
    }
}

#[test]
fn both_sides_learn_why_a_worker_is_turned_away() {
    let newer = Hello { protocol_min: 2, protocol_max: 9, ..hello() };
    let speechless = Hello { codecs: CodecSet::from_iter([Codec::Bincode]), ..hello() };
    let replaced = Hello { build_id: BuildId([9; 32]), ..hello() };
    let stranger = Hello { token: Token([9; 16]), build_id: BuildId([9; 32]), protocol_min: 9, ..newer };
    for (hello, expected) in [
        (newer, Rejection::Protocol),
        (speechless, Rejection::Codec),
        (replaced, Rejection::Build),
        (stranger, Rejection::Token),
    ] {
        let (host, worker) = shake(&terms(), &hello);
        for side in [host, worker] {
            let error = side.unwrap_err();
            assert!(matches!(error, HandshakeError::Rejected(rejection) if rejection == expected), "{error}");
        }
    }
}

#[test]
fn a_worker_refuses_what_it_never_offered() {
    let (mut host, mut worker) = pair();
    let limits = FrameLimits::default();
    let forced = Welcome::Accepted(Agreement { protocol: 2, codec: Codec::Json, limits }).encode();
    host.1.write_all(&mut [IoSlice::new(&forced)], None).unwrap();
    let error = greet((&mut worker.0, &mut worker.1), &hello(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::NotOffered), "{error}");
}

#[test]
fn a_worker_that_says_nothing_ends_at_the_deadline() {
    let (mut host, _worker) = pair();
    let deadline = Instant::now() + Duration::from_millis(20);
    let error = welcome((&mut host.0, &mut host.1), &terms(), Some(deadline)).unwrap_err();
    assert!(matches!(error, HandshakeError::TimedOut), "{error}");
    assert!(Instant::now() >= deadline);
}

#[test]
fn a_worker_that_dies_during_its_greeting_is_noticed_without_a_deadline() {
    let (mut host, mut worker) = pair();
    worker.1.write_all(&mut [IoSlice::new(&hello().encode()[..40])], None).unwrap();
    drop(worker);
    let error = welcome((&mut host.0, &mut host.1), &terms(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::Closed), "{error}");
}

#[test]
fn a_program_that_prints_a_line_instead_is_told_apart_at_once() {
    let (mut host, mut worker) = pair();
    worker.1.write_all(&mut [IoSlice::new(b"error: unknown option")], None).unwrap();
    let error = welcome((&mut host.0, &mut host.1), &terms(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::Greeting(GreetingError::Magic)), "{error}");
}

#[test]
fn a_token_does_not_show_in_debug_output() {
    assert_eq!(format!("{:?}", Token([0xab; 16])), "Token(..)");
}

#[test]
fn a_build_id_is_shown_as_its_hexadecimal_digits() {
    assert_eq!(format!("{:?}", BuildId([0x0f; 32])), "0f".repeat(32));
}
