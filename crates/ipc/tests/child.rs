//! A real child process at the other end. Each test starts itself again by name; the variable [`ROLE`] tells the child.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests wait by the real clock and start children"
)]

use cofferdam_ipc::handshake::{BuildId, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Terms, Token, greet, welcome};
use cofferdam_ipc::{
    ChildEnd, Codec, CodecSet, FrameLimits, FrameReceiver, FrameSender, RecvError, SendError, Stream,
};
use std::io::{IoSlice, Read};
use std::process::{Child, Command, Stdio};

const ROLE: &str = "COFFERDAM_IPC_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

fn start(test: &str, end: ChildEnd) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, "1")
        .stdin(end.into_stdin())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn hello() -> Hello {
    Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        codecs: CodecSet::all(),
        pid: std::process::id(),
        build_id: BuildId::default(),
        token: Token::default(),
    }
}

#[test]
fn a_child_takes_the_stream_from_its_stdin_greets_and_echoes() {
    if is_child() {
        return echo_until_the_end();
    }
    let (host, end) = Stream::pair().unwrap();
    let mut child = start("a_child_takes_the_stream_from_its_stdin_greets_and_echoes", end);
    let (mut reader, mut writer) = host.split();
    let terms = Terms::new(Codec::Json, FrameLimits::default());
    let (hello, agreement) = welcome((&mut reader, &mut writer), &terms, None).unwrap();
    assert_eq!(hello.pid, child.id());

    let mut sender = FrameSender::new(writer, agreement.codec, agreement.limits);
    let mut receiver = FrameReceiver::new(reader, agreement.codec, agreement.limits);
    let mut echoed = Vec::new();
    for len in [0, 5, 1 << 20, 16 << 20] {
        let payload = vec![len as u8; len];
        sender.send(3, "echo", &payload, None).unwrap();
        assert_eq!(receiver.recv(&mut echoed, None).unwrap().decode::<String>().unwrap(), "echo");
        assert!(echoed == payload);
    }
    drop((sender, receiver));
    assert!(child.wait().unwrap().success());
}

fn echo_until_the_end() {
    let (mut reader, mut writer) = Stream::take_stdin().unwrap().split();
    // From here on stdin is empty, and what reads it cannot take bytes from the channel.
    assert_eq!(std::io::stdin().read(&mut [0; 8]).unwrap(), 0);
    Stream::take_stdin().unwrap_err();

    let agreement = greet((&mut reader, &mut writer), &hello(), None).unwrap();
    let mut sender = FrameSender::new(writer, agreement.codec, agreement.limits);
    let mut receiver = FrameReceiver::new(reader, agreement.codec, agreement.limits);
    let mut payload = Vec::new();
    loop {
        match receiver.recv(&mut payload, None) {
            Ok(received) => {
                let message: String = received.decode().unwrap();
                sender.send(received.kind, &message, &payload, None).unwrap();
            }
            Err(error) => return assert!(matches!(error, RecvError::Closed), "{error}"),
        }
    }
}

#[test]
fn a_child_that_is_killed_in_the_middle_of_a_frame_leaves_what_it_finished_and_a_truncation() {
    if is_child() {
        return send_one_and_a_half_frames_and_wait();
    }
    let (host, end) = Stream::pair().unwrap();
    let mut child = start(
        "a_child_that_is_killed_in_the_middle_of_a_frame_leaves_what_it_finished_and_a_truncation",
        end,
    );
    let (reader, writer) = host.split();
    let mut receiver = FrameReceiver::new(reader, Codec::Json, FrameLimits::default());
    let mut payload = Vec::new();
    assert_eq!(receiver.recv(&mut payload, None).unwrap().kind, 1);
    child.kill().unwrap();
    let error = receiver.recv(&mut payload, None).unwrap_err();
    assert!(matches!(error, RecvError::Truncated), "{error}");
    let mut sender = FrameSender::new(writer, Codec::Json, FrameLimits::default());
    let error = sender.send(1, &(), &[], None).unwrap_err();
    assert!(matches!(error, SendError::Closed), "{error}");
    assert!(!child.wait().unwrap().success());
}

fn send_one_and_a_half_frames_and_wait() {
    let (mut reader, mut writer) = Stream::take_stdin().unwrap().split();
    let mut frame =
        cofferdam_ipc::FrameHeader { kind: 1, message_len: 0, payload_len: 0, body_crc: 0 }.encode().to_vec();
    frame.extend(frame.clone());
    frame.truncate(frame.len() - 1);
    writer.write_all(&mut [IoSlice::new(&frame)], None).unwrap();
    let _ = reader.read(&mut [0], None);
}
