//! The golden files were made from the specification by another program: both must agree byte for byte.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam_ipc::handshake::{Agreement, BuildId, Hello, Rejection, Token, Welcome};
use cofferdam_ipc::{Codec, CodecSet, Decoded, FrameLimits, FrameSender, Stream, decode_frame};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    lease: u64,
    attempt: u32,
    stage: Option<String>,
    kind: Kind,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Retry { after_ms: u16 },
}

fn sample() -> Sample {
    Sample {
        lease: 1 << 40,
        attempt: 300,
        stage: Some("décoder".to_owned()),
        kind: Kind::Retry { after_ms: 1000 },
        bytes: vec![0, 255],
    }
}

/// Three entries: three bytes, none, 128.
fn payload() -> Vec<u8> {
    [b"\x03abc\x00\x80\x01".as_slice(), &[b'x'; 128]].concat()
}

/// What a sender writes.
fn sent(codec: Codec, kind: u8, message: Option<&Sample>, payload: &[u8]) -> Vec<u8> {
    let (host, child) = Stream::pair().unwrap();
    let mut sender = FrameSender::new(host.split().1, codec, FrameLimits::default());
    match message {
        Some(message) => sender.send(kind, message, payload, None).unwrap(),
        None => sender.send_encoded(kind, &[], payload, None).unwrap(),
    }
    let mut bytes = vec![0; 4096];
    let len = child.into_stream().unwrap().split().0.read(&mut bytes, None).unwrap();
    bytes.truncate(len);
    bytes
}

#[track_caller]
fn assert_frame(golden: &[u8], codec: Codec) {
    assert_eq!(sent(codec, 7, Some(&sample()), &payload()), golden);
    let decoded = decode_frame(golden, &FrameLimits::default()).unwrap();
    let Decoded::Frame { kind: 7, message, payload: found, consumed } = decoded else {
        panic!("{decoded:?}")
    };
    assert_eq!(codec.decode::<Sample>(message).unwrap(), sample());
    assert_eq!((found, consumed), (payload().as_slice(), golden.len()));
}

#[test]
fn a_frame_with_a_bincode_message_is_the_golden_one() {
    assert_frame(include_bytes!("golden/frame-bincode.bin"), Codec::Bincode);
}

#[test]
fn a_frame_with_a_json_message_is_the_golden_one() {
    assert_frame(include_bytes!("golden/frame-json.bin"), Codec::Json);
}

#[test]
fn an_empty_frame_is_the_golden_one() {
    assert_eq!(sent(Codec::Bincode, 1, None, &[]), include_bytes!("golden/frame-empty.bin"));
}

#[test]
fn a_hello_is_the_golden_one() {
    let golden = include_bytes!("golden/hello.bin");
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 3,
        codecs: CodecSet::all(),
        pid: 4242,
        build_id: BuildId(std::array::from_fn(|i| i as u8)),
        token: Token(std::array::from_fn(|i| 200 + i as u8)),
    };
    assert_eq!(&hello.encode(), golden);
    assert_eq!(Hello::decode(golden).unwrap().encode(), hello.encode());
}

#[test]
fn both_welcomes_are_the_golden_ones() {
    let limits = FrameLimits { message_max: 65_536, payload_max: 67_108_864 };
    let accepted = Welcome::Accepted(Agreement { protocol: 1, codec: Codec::Json, limits });
    let rejected = Welcome::Rejected(Rejection::Build);
    for (welcome, golden) in [
        (accepted, include_bytes!("golden/welcome-accepted.bin")),
        (rejected, include_bytes!("golden/welcome-rejected.bin")),
    ] {
        assert_eq!(&welcome.encode(), golden);
        assert_eq!(Welcome::decode(golden), Ok(welcome));
    }
}
