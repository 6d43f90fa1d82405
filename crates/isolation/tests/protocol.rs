//! Workers that break the protocol: the host survives, says how, and blames the item that ran.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_ipc::{Codec, FrameLimits, FrameSender, Stream};
use cofferdam_isolation::protocol::{Failed, Message, Ready, Replies, Returned, Stopped};
use cofferdam_isolation::{ChildSettings, Debugging};
use cofferdam_pipeline_core::{
    Executor, Exit, Failure, KillReason, LeaseId, OpenItem, WorkerEvent, push_entry_len,
};
use common::{Config, Host, Item, assert_blamed_by, settings};
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

/// The bytes of a frame.
fn frame<M: Message>(kind: u8, message: &M, payload: &[u8]) -> Vec<u8> {
    let (host, child) = Stream::pair().unwrap();
    let (_, writer) = host.split();
    let (mut reader, _writer) = child.into_stream().unwrap().split();
    FrameSender::new(writer, Codec::Bincode, FrameLimits::default())
        .send(kind, message, payload, None)
        .unwrap();
    let mut bytes = vec![0; 1 << 16];
    let len = reader.read(&mut bytes, None).unwrap();
    bytes.truncate(len);
    bytes
}

fn assert_breach(bytes: Vec<u8>, words: &str) {
    assert_blamed_by(Item::Socket(bytes), |exit| match exit {
        Exit::ProtocolViolation(what) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    });
}

fn replies(count: u32, entries: &[&[u8]]) -> Vec<u8> {
    let mut payload = Vec::new();
    for entry in entries {
        push_entry_len(&mut payload, entry.len());
        payload.extend_from_slice(entry);
    }
    frame(Replies::KIND, &Replies { lease: 1, slot: 0, offset: 0, count }, &payload)
}

#[test]
fn garbage_is_a_breach() {
    assert_breach(vec![0xa5; 4096], "not a frame");
}

#[test]
fn a_spoilt_checksum_is_a_breach() {
    let mut bytes = replies(1, &[b"abc"]);
    *bytes.last_mut().unwrap() ^= 1;
    assert_breach(bytes, "checksum");
}

#[test]
fn a_giant_length_is_a_breach_before_memory_is_set_aside() {
    let header =
        cofferdam_ipc::FrameHeader { kind: 0x82, message_len: 8, payload_len: u32::MAX, body_crc: 0 };
    assert_breach(header.encode().to_vec(), "payload of 4294967295 bytes");
}

#[test]
fn an_unknown_kind_is_a_breach() {
    assert_breach(frame(0x99, &Ready {}, &[]), "unknown kind");
}

#[test]
fn a_host_message_from_the_worker_is_a_breach() {
    assert_breach(frame(0x02, &Ready {}, &[]), "unknown kind");
}

#[test]
fn ready_twice_is_a_breach() {
    assert_breach(frame(Ready::KIND, &Ready {}, &[]), "wrong time");
}

#[test]
fn a_goodbye_that_nobody_asked_for_is_a_breach() {
    assert_breach(frame(Stopped::KIND, &Stopped {}, &[]), "wrong time");
}

#[test]
fn replies_whose_count_is_wrong_are_a_breach() {
    assert_breach(replies(2, &[b"abc"]), "count 2");
    assert_breach(replies(0, &[]), "count 0");
}

#[test]
fn replies_whose_entries_are_cut_are_a_breach() {
    let message = Replies { lease: 1, slot: 0, offset: 0, count: 1 };
    assert_breach(frame(Replies::KIND, &message, &[200, 1, 7]), "0 good entries");
}

#[test]
fn an_unknown_kind_of_failure_is_a_breach() {
    let item = OpenItem { lease: LeaseId(1), offset: 2, ..OpenItem::default() };
    let failed = Failed { kind: 77, ..Failed::new(item, Failure::transient("")) };
    assert_breach(frame(Failed::KIND, &failed, &[]), "77 is no kind of failure");
}

#[test]
fn an_answer_to_a_question_that_nobody_asked_is_a_breach() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let returned = frame(Returned::KIND, &Returned { lease: 1, from: 0 }, &[]);
    host.assign(worker, &[Item::Socket(returned.repeat(9))]);
    let end = host.end_of(worker);
    assert_eq!(end.report().exit, Exit::ProtocolViolation("more answers than items".into()));
    assert_eq!(end.others.len(), 1);
}

#[test]
fn a_flood_of_replies_ends_at_what_was_asked() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assign(worker, &[Item::Socket(replies(1, &[b"x"]).repeat(10_000))]);
    let end = host.end_of(worker);
    assert_eq!(end.report().exit, Exit::ProtocolViolation("more answers than items".into()));
    assert_eq!(end.answered(), 1);
}

#[test]
fn a_debugged_worker_that_has_closed_its_socket_is_not_hurried() {
    let settings = ChildSettings { debugging: Debugging::Attach, ..settings(&Config::default()) };
    let mut host = Host::with(settings);
    let worker = host.ready(0);
    host.assign(worker, &[Item::CloseSocket { both: false }]);
    assert!(matches!(host.event().1, WorkerEvent::Lost));
    assert!(host.event_within(Duration::from_millis(1500)).is_none(), "thrice as long as others get");
    host.executor.kill(worker, KillReason::JobOver);
    assert!(matches!(host.event().1, WorkerEvent::Exited(_)));
}

#[test]
fn a_worker_that_closes_its_socket_and_lives_has_left_the_protocol() {
    for both in [false, true] {
        let mut host = Host::new();
        let worker = host.ready(0);
        let lease = host.assign(worker, &[Item::CloseSocket { both }]);
        let end = host.end_of(worker);
        let expected = if both { "lost the connection" } else { "closed its socket and was still there" };
        assert!(
            matches!(&end.report().exit, Exit::ProtocolViolation(what) if what.contains(expected)),
            "{:?}",
            end.report().exit
        );
        common::assert_open(end.report(), lease, 0);
    }
}
