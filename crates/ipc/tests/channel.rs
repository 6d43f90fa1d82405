//! Frames over a real stream: late, cut off, both ways at once, and after the peer is gone.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait by the real clock and start children"
)]

use cofferdam_ipc::{
    Codec, FrameHeader, FrameLimits, FrameReceiver, FrameSender, RecvError, SendError, Stream,
};
use std::io::IoSlice;
use std::thread;
use std::time::{Duration, Instant};

/// A wait that ought to end with [`RecvError::TimedOut`] or its like.
const SOON: Duration = Duration::from_millis(20);
/// Far more than any buffer between two processes holds.
const LARGE: usize = 64 << 20;
/// What every platform's stream holds without a reader.
const BUFFERED: usize = 60_000;

type Channel = (FrameSender, FrameReceiver);

fn channel(stream: Stream) -> Channel {
    let limits = FrameLimits::default();
    let (reader, writer) = stream.split();
    (FrameSender::new(writer, Codec::Bincode, limits), FrameReceiver::new(reader, Codec::Bincode, limits))
}

fn pair() -> (Channel, Channel) {
    let (host, child) = Stream::pair().unwrap();
    (channel(host), channel(child.into_stream().unwrap()))
}

/// A host's channel and the bare stream of its peer.
fn half_pair() -> (Channel, Stream) {
    let (host, child) = Stream::pair().unwrap();
    (channel(host), child.into_stream().unwrap())
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + SOON)
}

fn recv(receiver: &mut FrameReceiver) -> Result<(u8, Vec<u8>), RecvError> {
    let mut payload = Vec::new();
    let kind = receiver.recv(&mut payload, None)?.kind;
    Ok((kind, payload))
}

/// Header, message "m" and payload of a frame, in the sender's own bytes.
fn frame_bytes(payload: &[u8]) -> Vec<u8> {
    let ((mut sender, _reader), peer) = half_pair();
    sender.send_encoded(1, b"m", payload, None).unwrap();
    let mut bytes = vec![0; 24 + 1 + payload.len()];
    peer.split().0.read_exact(&mut bytes, None).unwrap();
    bytes
}

#[test]
fn a_frame_arrives_as_it_was_sent() {
    let ((mut sender, _), (_, mut receiver)) = pair();
    sender.send(7, &("hello", 3u32), b"payload", None).unwrap();
    let mut payload = b"what was there before".to_vec();
    let received = receiver.recv(&mut payload, None).unwrap();
    assert_eq!((received.kind, received.decode().unwrap()), (7, ("hello".to_owned(), 3u32)));
    assert_eq!(payload, b"payload");
}

#[test]
fn a_message_of_another_type_is_an_error_and_the_channel_goes_on() {
    let ((mut sender, _), (_, mut receiver)) = pair();
    sender.send(1, "text", &[], None).unwrap();
    sender.send(2, &2u8, &[], None).unwrap();
    let mut payload = Vec::new();
    assert!(receiver.recv(&mut payload, None).unwrap().decode::<(u64, u64)>().is_err());
    assert_eq!(receiver.recv(&mut payload, None).unwrap().decode::<u8>().unwrap(), 2);
}

#[test]
fn both_sides_can_send_64_mib_at_once() {
    let (host, worker) = pair();
    thread::scope(|scope| {
        for ((mut sender, mut receiver), own, peers) in [(host, 1u8, 2u8), (worker, 2, 1)] {
            scope.spawn(move || sender.send(own, &(), &vec![own; LARGE], None).unwrap());
            scope.spawn(move || {
                let (kind, payload) = recv(&mut receiver).unwrap();
                assert_eq!((kind, payload.len()), (peers, LARGE));
                assert!(payload.iter().all(|byte| *byte == peers));
            });
        }
    });
}

#[test]
fn a_used_buffer_is_used_again() {
    let ((mut sender, _), (_, mut receiver)) = pair();
    let mut payload = Vec::with_capacity(1 << 20);
    let address = payload.as_ptr();
    thread::scope(|scope| {
        scope.spawn(|| {
            for len in [1usize << 20, 3, 0, 500_000] {
                sender.send(1, &(), &vec![9; len], None).unwrap();
            }
        });
        for len in [1usize << 20, 3, 0, 500_000] {
            receiver.recv(&mut payload, None).unwrap();
            assert_eq!((payload.len(), payload.as_ptr()), (len, address));
        }
    });
}

#[test]
fn a_silent_peer_hits_the_deadline_and_its_late_frame_still_arrives() {
    let ((mut sender, _), (_, mut receiver)) = pair();
    let deadline = soon();
    let error = receiver.recv(&mut Vec::new(), deadline).unwrap_err();
    assert!(matches!(error, RecvError::TimedOut), "{error}");
    assert!(Instant::now() >= deadline.unwrap());
    sender.send(5, &(), b"late", None).unwrap();
    assert_eq!(recv(&mut receiver).unwrap(), (5, b"late".to_vec()));
}

#[test]
fn a_deadline_may_strike_at_any_byte_of_a_frame_and_nothing_is_lost() {
    let bytes = frame_bytes(b"payload");
    let ((_, mut receiver), peer) = half_pair();
    let (_reader, mut writer) = peer.split();
    let already_over = Some(Instant::now());
    for byte in &bytes {
        let error = receiver.recv(&mut Vec::new(), already_over).unwrap_err();
        assert!(matches!(error, RecvError::TimedOut), "{error}");
        writer.write_all(&mut [IoSlice::new(&[*byte])], None).unwrap();
    }
    assert_eq!(recv(&mut receiver).unwrap(), (1, b"payload".to_vec()));
}

#[test]
fn a_deadline_within_a_large_payload_keeps_what_has_arrived() {
    let payload: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
    let bytes = frame_bytes_of_large(&payload);
    let ((_, mut receiver), peer) = half_pair();
    let (_reader, mut writer) = peer.split();
    let (first, rest) = bytes.split_at(BUFFERED);
    writer.write_all(&mut [IoSlice::new(first)], None).unwrap();
    assert!(matches!(receiver.recv(&mut Vec::new(), soon()), Err(RecvError::TimedOut)));
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&mut [IoSlice::new(rest)], None).unwrap());
        assert_eq!(recv(&mut receiver).unwrap(), (1, payload.clone()));
    });
}

fn frame_bytes_of_large(payload: &[u8]) -> Vec<u8> {
    let ((mut sender, _reader), peer) = half_pair();
    let mut bytes = vec![0; 24 + 1 + payload.len()];
    thread::scope(|scope| {
        scope.spawn(|| sender.send_encoded(1, b"m", payload, None).unwrap());
        peer.split().0.read_exact(&mut bytes, None).unwrap();
    });
    bytes
}

#[test]
fn a_peer_that_does_not_read_hits_the_deadline_and_the_sender_says_so_for_good() {
    let ((mut sender, _reader), _peer) = half_pair();
    let error = sender.send(1, &(), &vec![0; LARGE], soon()).unwrap_err();
    assert!(matches!(error, SendError::TimedOut), "{error}");
    let error = sender.send(2, &(), &[], None).unwrap_err();
    assert!(matches!(error, SendError::CutOff), "{error}");
}

#[test]
fn a_stream_that_ends_between_frames_is_closed_and_within_one_truncated() {
    let bytes = frame_bytes(b"payload");
    for len in 0..=bytes.len() {
        let ((_, mut receiver), peer) = half_pair();
        let (reader, mut writer) = peer.split();
        writer.write_all(&mut [IoSlice::new(&bytes[..len])], None).unwrap();
        drop((reader, writer));
        if len == bytes.len() {
            assert_eq!(recv(&mut receiver).unwrap(), (1, b"payload".to_vec()));
        }
        match recv(&mut receiver).unwrap_err() {
            RecvError::Closed => assert!(len == 0 || len == bytes.len()),
            RecvError::Truncated => assert!(len > 0 && len < bytes.len()),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_peer_that_announces_a_payload_and_dies_is_truncated() {
    let ((_, mut receiver), peer) = half_pair();
    let (reader, mut writer) = peer.split();
    let header = FrameHeader { kind: 1, message_len: 0, payload_len: 64 << 20, body_crc: 0 }.encode();
    writer.write_all(&mut [IoSlice::new(&header)], None).unwrap();
    drop((reader, writer));
    let error = recv(&mut receiver).unwrap_err();
    assert!(matches!(error, RecvError::Truncated), "{error}");
}

#[test]
fn after_a_failed_write_what_the_dead_peer_had_sent_is_still_readable() {
    let ((mut sender, mut receiver), (mut peer_sender, peer_receiver)) = pair();
    // Bytes that the peer never reads turn its death into a reset of the connection on Unix.
    sender.send(1, &(), b"never read", None).unwrap();
    peer_sender.send(2, &(), b"first", None).unwrap();
    peer_sender.send(3, &(), &[7; BUFFERED], None).unwrap();
    drop((peer_sender, peer_receiver));
    for _ in 0..2 {
        let error = sender.send(4, &(), &[], None).unwrap_err();
        assert!(matches!(error, SendError::Closed | SendError::CutOff), "{error}");
    }
    assert_eq!(recv(&mut receiver).unwrap(), (2, b"first".to_vec()));
    assert_eq!(recv(&mut receiver).unwrap(), (3, vec![7; BUFFERED]));
    assert!(matches!(recv(&mut receiver), Err(RecvError::Closed)));
}

#[test]
fn the_death_of_a_peer_with_unread_bytes_is_a_clean_end() {
    let ((mut sender, mut receiver), peer) = half_pair();
    sender.send(1, &(), b"never read", None).unwrap();
    drop(peer);
    assert!(matches!(recv(&mut receiver), Err(RecvError::Closed)));
}

#[test]
fn a_reader_that_is_told_to_stop_gets_what_had_arrived_while_the_peer_lives() {
    let ((_sender, mut receiver), (mut peer_sender, _peer_receiver)) = pair();
    peer_sender.send(1, &(), b"one", None).unwrap();
    peer_sender.send(2, &(), &[2; BUFFERED], None).unwrap();
    receiver.half().control().shutdown_read().unwrap();
    assert_eq!(recv(&mut receiver).unwrap(), (1, b"one".to_vec()));
    assert_eq!(recv(&mut receiver).unwrap(), (2, vec![2; BUFFERED]));
    assert!(matches!(recv(&mut receiver), Err(RecvError::Closed)));
}

#[test]
fn a_reader_that_waits_is_woken_when_it_is_told_to_stop() {
    let ((_sender, mut receiver), _peer) = half_pair();
    let control = receiver.half().control();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || recv(&mut receiver));
        control.shutdown_read().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(RecvError::Closed)));
    });
}

#[test]
fn a_writer_that_waits_is_woken_when_the_stream_is_shut_down() {
    let ((mut sender, _receiver), _peer) = half_pair();
    let control = sender.half().control();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || sender.send(1, &(), &vec![0; LARGE], None));
        control.shutdown().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(SendError::Closed)));
    });
}

#[test]
fn many_small_frames_arrive_in_order() {
    let ((mut sender, _), (_, mut receiver)) = pair();
    thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..20_000u32 {
                sender.send((i % 251) as u8, &i, &vec![i as u8; i as usize % 97], None).unwrap();
            }
        });
        let mut payload = Vec::new();
        for i in 0..20_000u32 {
            let received = receiver.recv(&mut payload, None).unwrap();
            assert_eq!((received.kind, received.decode::<u32>().unwrap()), ((i % 251) as u8, i));
            assert_eq!(payload, vec![i as u8; i as usize % 97]);
        }
    });
}
