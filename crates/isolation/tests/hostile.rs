//! Peers that lie, stall or flood from the first byte on: the host survives, names what they did and holds no more than it agreed to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_ipc::handshake::{BuildId, Hello, Token};
use cofferdam_ipc::{Codec, CodecSet, FrameHeader, FrameLimits, FrameSender, Stream};
use cofferdam_isolation::WorkerProgram;
use cofferdam_isolation::protocol::{Message, Ready, Replies, SaveState};
use cofferdam_pipeline_core::{Executor, Exit, ExitReport, TimeLimit, WorkerEvent, push_entry_len};
use common::{Config, Host, Item, assert_blamed_after, assert_blamed_by, assert_open, outputs, settings};
use std::fmt::Write;
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

const SHORT: Duration = Duration::from_millis(600);

fn hello(protocol: u16, codecs: CodecSet) -> Vec<u8> {
    let hello = Hello {
        protocol_min: protocol,
        protocol_max: protocol,
        codecs,
        pid: 1,
        build_id: BuildId::default(),
        token: Token::default(),
    };
    hello.encode().to_vec()
}

fn good_hello() -> Vec<u8> {
    hello(1, CodecSet::all())
}

/// The end of a program that writes these bytes into its connection and then does what the shell line says.
fn end_of_peer(bytes: &[u8], then: &str) -> (Vec<WorkerEvent>, ExitReport) {
    let octal = bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:03o}").unwrap();
        text
    });
    let mut settings = settings(&Config::Good);
    let script = format!("printf '{octal}' >&0; {then}");
    settings.program =
        WorkerProgram::Program { path: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    settings.start_wall_max = SHORT;
    let mut host = Host::with(settings);
    let worker = host.spawn(0);
    let end = host.end_of(worker);
    (end.others, end.report.unwrap())
}

fn assert_spawn_failed(bytes: &[u8], then: &str, words: &str) {
    let (events, report) = end_of_peer(bytes, then);
    assert!(events.is_empty(), "{events:?}");
    assert!(matches!(&report.exit, Exit::SpawnFailed(why) if why.contains(words)), "{:?}", report.exit);
}

#[test]
fn a_peer_of_another_protocol_version_is_turned_away() {
    assert_spawn_failed(&hello(9, CodecSet::all()), "sleep 1000", "no protocol version in common");
}

#[test]
fn a_peer_that_does_not_speak_the_codec_is_turned_away() {
    let json = [Codec::Json].into_iter().collect();
    assert_spawn_failed(&hello(1, json), "sleep 1000", "does not speak the host's codec");
}

#[test]
fn half_a_greeting_and_death_is_a_failed_spawn() {
    assert_spawn_failed(&good_hello()[..40], "exit 7", "exited with code 7");
}

#[test]
fn half_a_greeting_and_silence_is_a_failed_spawn() {
    assert_spawn_failed(&good_hello()[..40], "sleep 1000", "no handshake within");
}

#[test]
fn a_spoilt_greeting_is_a_failed_spawn() {
    let mut bytes = good_hello();
    bytes[13] ^= 1;
    assert_spawn_failed(&bytes, "sleep 1000", "checksum");
}

#[test]
fn a_peer_that_greets_and_is_silent_ends_by_the_time_limit_of_the_start() {
    let (events, report) = end_of_peer(&good_hello(), "sleep 1000");
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(report.exit, Exit::TimedOut { limit: TimeLimit::Start, after: SHORT });
}

/// The bytes of a frame.
fn frame<M: Message>(kind: u8, message: &M, payload: &[u8]) -> Vec<u8> {
    let (host, child) = Stream::pair().unwrap();
    let (_reader, writer) = host.split();
    let (mut reader, _writer) = child.into_stream().unwrap().split();
    let limits = FrameLimits { message_max: 64 << 10, payload_max: 1 << 20 };
    FrameSender::new(writer, Codec::Bincode, limits).send(kind, message, payload, None).unwrap();
    let mut bytes = vec![0; 1 << 16];
    let len = reader.read(&mut bytes, None).unwrap();
    bytes.truncate(len);
    bytes
}

fn reply(lease: u32, offset: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    push_entry_len(&mut payload, 2);
    payload.extend_from_slice(b"\x01x");
    frame(Replies::KIND, &Replies { lease, slot: 0, offset, count: 1 }, &payload)
}

#[test]
fn results_before_the_start_is_done_are_a_breach() {
    let (events, report) = end_of_peer(&[good_hello(), reply(1, 0)].concat(), "sleep 1000");
    assert!(events.is_empty(), "{events:?}");
    assert!(format!("{:?}", report.exit).contains("wrong time"), "{:?}", report.exit);
}

fn assert_breach(bytes: Vec<u8>, words: &str) {
    assert_blamed_by(Item::Socket(bytes), |exit| match exit {
        Exit::ProtocolViolation(what) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    });
}

/// A header with a byte changed and the checksum made good again.
fn forged_header(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = FrameHeader { kind: Ready::KIND, message_len: 0, payload_len: 0, body_crc: 0 }.encode();
    bytes[at] = value;
    let crc = crc32c(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes.to_vec()
}

/// Bit by bit, from the definition.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_frame_of_another_version_is_a_breach() {
    assert_breach(forged_header(4, 2), "unknown version 2");
}

#[test]
fn a_frame_with_unknown_flags_is_a_breach() {
    assert_breach(forged_header(6, 1), "unknown flags");
}

#[test]
fn an_oversize_message_is_a_breach_before_memory_is_set_aside() {
    let header = FrameHeader { kind: Replies::KIND, message_len: 16 << 20, payload_len: 0, body_crc: 0 };
    assert_breach(header.encode().to_vec(), "message of 16777216 bytes");
}

#[test]
fn a_message_of_another_shape_is_a_breach() {
    assert_breach(frame(Replies::KIND, &Ready {}, &[]), "does not decode");
}

#[test]
fn half_a_frame_and_death_is_a_death_that_answers_nothing() {
    let whole = reply(1, 0);
    for len in [1, 23, 24, whole.len() - 1] {
        // First in its lease: no result of another item can leave between the half and the death.
        let bad = Item::SocketThenExit(whole[..len].to_vec(), 5);
        let report = assert_blamed_after(&[], bad, |exit| assert_eq!(exit, &Exit::Code(5)));
        assert_eq!(report.open.len(), 1);
    }
}

/// Nobody asks for saved states, so no credit bounds them; time does.
#[test]
fn a_flood_of_saved_states_reaches_the_host_at_a_walk() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let state = frame(SaveState::KIND, &SaveState { lease: 1, offset: 0 }, &[7; 32 << 10]);
    // One state of 32 KiB takes the reader a millisecond: load can lengthen that, and nothing shortens it.
    let began = std::time::Instant::now();
    let lease = host.assign(worker, &[Item::Flood(state)]);
    let mut seen = 0;
    while seen < 200 {
        match host.event() {
            (_, WorkerEvent::StateSaved { state, .. }) if state.len() == 32 << 10 => seen += 1,
            other => panic!("{other:?}"),
        }
    }
    let passed = began.elapsed();
    assert!(
        passed >= Duration::from_millis(100),
        "200 states of 32 KiB in {passed:?}: memory is not bounded"
    );
    host.executor.kill(worker, cofferdam_pipeline_core::KillReason::JobOver);
    loop {
        match host.event() {
            (_, WorkerEvent::Exited(report)) => break assert_open(&report, lease, 0),
            (_, WorkerEvent::StateSaved { .. } | WorkerEvent::Lost) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn both_sides_write_64_mebibytes_at_once() {
    let mut settings = settings(&Config::Good);
    settings.frame_payload_max = (64 << 20) + 64;
    let mut host = Host::with(settings);
    let worker = host.ready(0);
    let item = |seed: u8| (0..64usize << 20).map(|at| (at as u8) ^ seed).collect::<Vec<u8>>();
    // While the worker writes the first output, the host writes the second item.
    for seed in 0..2 {
        host.assign(worker, &[Item::Echo(item(seed))]);
    }
    for seed in 0..2 {
        assert!(outputs(&host.replied().1) == [item(seed)], "item {seed} came back changed");
    }
}
