//! Frames as bytes: round trips, damage, hostile lengths.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam_ipc::frame::{HEADER_LEN, MAGIC};
use cofferdam_ipc::{
    Codec, Decoded, FrameError, FrameHeader, FrameLimits, FrameReceiver, FrameSender, FrameTooLarge,
    RecvError, SendError, Stream, decode_frame,
};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::io::IoSlice;

const LIMITS: FrameLimits = FrameLimits { message_max: 300, payload_max: 100_000 };

/// The bytes of a frame, through the sender.
fn frame(kind: u8, message: &[u8], payload: &[u8]) -> Vec<u8> {
    let (host, child) = Stream::pair().unwrap();
    let mut sender = FrameSender::new(host.split().1, Codec::Json, FrameLimits::default());
    sender.send_encoded(kind, message, payload, None).unwrap();
    let mut bytes = vec![0; HEADER_LEN + message.len() + payload.len()];
    child.into_stream().unwrap().split().0.read_exact(&mut bytes, None).unwrap();
    bytes
}

fn header(message_len: u32, payload_len: u32) -> [u8; HEADER_LEN] {
    FrameHeader { kind: 1, message_len, payload_len, body_crc: 0 }.encode()
}

proptest! {
    #[test]
    fn what_is_sent_is_decoded(
        kind: u8,
        message in vec(any::<u8>(), 0..=300),
        payload in vec(any::<u8>(), 0..2000),
        behind in vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = frame(kind, &message, &payload);
        let consumed = bytes.len();
        bytes.extend(behind);
        let whole = Decoded::Frame { kind, message: &message, payload: &payload, consumed };
        prop_assert_eq!(decode_frame(&bytes, &LIMITS), Ok(whole));
    }

    #[test]
    fn a_frame_that_is_cut_off_anywhere_is_incomplete(
        message in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..40),
    ) {
        let bytes = frame(9, &message, &payload);
        for len in 0..bytes.len() {
            let needed = if len < HEADER_LEN { HEADER_LEN } else { bytes.len() };
            prop_assert_eq!(decode_frame(&bytes[..len], &LIMITS), Ok(Decoded::Incomplete { needed }));
        }
    }

    #[test]
    fn a_single_flipped_bit_anywhere_is_an_error(
        message in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = frame(9, &message, &payload);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_frame(&bytes, &LIMITS).is_err(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn random_bytes_are_refused_at_the_first_wrong_byte_of_the_magic(bytes in vec(any::<u8>(), 1..200)) {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            prop_assert_eq!(decode_frame(&bytes, &LIMITS), Err(FrameError::Magic));
        }
    }

    /// The checksum does not help against a peer that means it: it is right in all of these.
    #[test]
    fn hostile_headers_with_a_valid_checksum_never_exceed_the_limits(message_len: u32, payload_len: u32, rest in vec(any::<u8>(), 0..400)) {
        let bytes = [header(message_len, payload_len).as_slice(), &rest].concat();
        match decode_frame(&bytes, &LIMITS) {
            Ok(Decoded::Incomplete { needed }) => prop_assert!(needed > bytes.len() && needed <= HEADER_LEN + 300 + 100_000),
            Ok(Decoded::Frame { message, payload, .. }) => prop_assert!(message.len() <= 300 && payload.len() <= rest.len()),
            Err(FrameError::MessageTooLarge { len, max }) => prop_assert!(len == message_len && len > max && max == 300),
            Err(FrameError::PayloadTooLarge { len, max }) => prop_assert!(len == payload_len && len > max && max == 100_000),
            Err(error) => prop_assert_eq!(error, FrameError::BodyChecksum),
        }
    }

    /// Whatever arrives in whatever pieces, the receiver sees the frames that the decoder sees, and the same end.
    #[test]
    fn receiver_and_decoder_agree(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..=300), vec(any::<u8>(), 0..3000)), 0..6),
        flip in proptest::option::of(any::<proptest::sample::Index>()),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
        piece in 1..5000usize,
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(kind, message, payload)| frame(*kind, message, payload)).collect();
        if let (Some(flip), false) = (flip, bytes.is_empty()) {
            let at = flip.index(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
        }
        if let (Some(cut), false) = (cut, bytes.is_empty()) {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(received(&bytes, piece), decoded(&bytes));
    }
}

type Seen = (Vec<(u8, Vec<u8>, Vec<u8>)>, String);

fn decoded(mut bytes: &[u8]) -> Seen {
    let mut frames = Vec::new();
    loop {
        match decode_frame(bytes, &LIMITS) {
            Ok(Decoded::Frame { kind, message, payload, consumed }) => {
                frames.push((kind, message.to_vec(), payload.to_vec()));
                bytes = &bytes[consumed..];
            }
            Ok(Decoded::Incomplete { .. }) if bytes.is_empty() => {
                return (frames, RecvError::Closed.to_string());
            }
            Ok(Decoded::Incomplete { .. }) => return (frames, RecvError::Truncated.to_string()),
            Err(error) => return (frames, error.to_string()),
        }
    }
}

fn received(bytes: &[u8], piece: usize) -> Seen {
    let (host, child) = Stream::pair().unwrap();
    let mut receiver = FrameReceiver::new(host.split().0, Codec::Json, LIMITS);
    let child = child.into_stream().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (_reader, mut writer) = child.split();
            for piece in bytes.chunks(piece) {
                // The receiver leaves at the first error.
                let _ = writer.write_all(&mut [IoSlice::new(piece)], None);
            }
        });
        let mut frames = Vec::new();
        let mut payload = Vec::new();
        loop {
            match receiver.recv(&mut payload, None) {
                Ok(received) => frames.push((received.kind, received.message.to_vec(), payload.clone())),
                Err(error) => {
                    drop(receiver);
                    return (frames, error.to_string());
                }
            }
        }
    })
}

#[test]
fn a_frame_over_the_limits_is_refused_before_memory_is_set_aside() {
    for (message_len, payload_len) in
        [(301, 0), (u32::MAX, 0), (0, 100_001), (0, u32::MAX), (u32::MAX, u32::MAX)]
    {
        let (host, child) = Stream::pair().unwrap();
        let (_reader, mut writer) = child.into_stream().unwrap().split();
        writer.write_all(&mut [IoSlice::new(&header(message_len, payload_len))], None).unwrap();
        let mut receiver = FrameReceiver::new(host.split().0, Codec::Json, LIMITS);
        let mut payload = Vec::new();
        let first = receiver.recv(&mut payload, None).unwrap_err();
        assert!(matches!(
            first,
            RecvError::Frame(FrameError::MessageTooLarge { .. } | FrameError::PayloadTooLarge { .. })
        ));
        assert_eq!(payload.capacity(), 0);
        // And the stream is not trusted again.
        let second = receiver.recv(&mut payload, None).unwrap_err();
        assert_eq!(second.to_string(), first.to_string());
    }
}

#[test]
fn a_sender_refuses_what_is_too_large_and_goes_on() {
    let (host, child) = Stream::pair().unwrap();
    let mut sender = FrameSender::new(host.split().1, Codec::Json, LIMITS);
    let payload = vec![0; 100_001];
    for (message, payload, len, max) in
        [(vec![0; 301], [].as_slice(), 301, 300), (vec![], payload.as_slice(), 100_001, 100_000)]
    {
        let error = sender.send_encoded(1, &message, payload, None).unwrap_err();
        let SendError::TooLarge(error) = error else { panic!("{error}") };
        assert_eq!(error, FrameTooLarge { len, max });
    }
    sender.send(2, "still here", &[], None).unwrap();
    let mut receiver = FrameReceiver::new(child.into_stream().unwrap().split().0, Codec::Json, LIMITS);
    let received = receiver.recv(&mut Vec::new(), None).map(|received| received.decode::<String>().unwrap());
    assert_eq!(received.unwrap(), "still here");
}

#[test]
fn limits_above_the_ceiling_are_lowered_to_it() {
    let all = FrameLimits { message_max: u32::MAX, payload_max: u32::MAX };
    let error = decode_frame(&header(0, FrameLimits::CEILING.payload_max + 1), &all).unwrap_err();
    assert!(matches!(error, FrameError::PayloadTooLarge { .. }));
    let error = decode_frame(&header(FrameLimits::CEILING.message_max + 1, 0), &all).unwrap_err();
    assert!(matches!(error, FrameError::MessageTooLarge { .. }));
}
