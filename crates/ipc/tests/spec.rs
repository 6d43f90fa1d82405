//! Every table of `docs/spec/wire-protocol.md` against the code.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam_ipc::frame::{self, HEADER_LEN};
use cofferdam_ipc::handshake::{
    Agreement, BuildId, HELLO_LEN, HELLO_MAGIC, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Rejection, Token,
    WELCOME_LEN, WELCOME_MAGIC, Welcome,
};
use cofferdam_ipc::{Codec, CodecSet, DECODE_BYTES_MAX, FrameHeader, FrameLimits};
use std::collections::BTreeMap;

const SPEC: &str = include_str!("../../../docs/spec/wire-protocol.md");

/// The rows of the first table under `## heading` whose first column is called `column`.
fn table(heading: &str, column: &str) -> Vec<Vec<String>> {
    let section = SPEC.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with(&format!("| {column} |"))).skip(2);
    let rows: Vec<Vec<String>> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "no table of {column} under {heading}");
    rows
}

fn constants(heading: &str) -> BTreeMap<String, u64> {
    table(heading, "constant").into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect()
}

/// Checks that the fields of a byte table follow each other without gaps up to `bytes.len()`, that there are exactly those of
/// `expected`, and that each has its expected bytes.
#[track_caller]
fn assert_layout(heading: &str, bytes: &[u8], expected: &[(&str, &[u8])]) {
    let mut at = 0;
    let rows = table(heading, "offset");
    assert_eq!(
        rows.iter().map(|row| row[2].as_str()).collect::<Vec<_>>(),
        expected.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    for (row, (name, value)) in rows.iter().zip(expected) {
        assert_eq!(row[0].parse::<usize>().unwrap(), at, "offset of {name}");
        let len: usize = row[1].parse().unwrap();
        assert_eq!(&bytes[at..at + len], *value, "bytes of {name}");
        at += len;
    }
    assert_eq!(at, bytes.len());
}

/// CRC-32C bit by bit, as the spec words it.
fn crc32c(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    (!crc).to_le_bytes()
}

#[test]
fn the_table_of_the_hello_is_what_is_encoded() {
    let build_id: [u8; 32] = std::array::from_fn(|i| 100 + i as u8);
    let hello = Hello {
        protocol_min: 0x0102,
        protocol_max: 0x0304,
        codecs: CodecSet::from_bits(0x0506),
        pid: 0x0708_090a,
        build_id: BuildId(build_id),
        token: Token([9; 16]),
    };
    let bytes = hello.encode();
    assert_eq!(bytes.len(), HELLO_LEN);
    assert_layout(
        "Hello",
        &bytes,
        &[
            ("magic", &HELLO_MAGIC),
            ("protocol_min", &[2, 1]),
            ("protocol_max", &[4, 3]),
            ("codecs", &[6, 5]),
            ("flags", &[0, 0]),
            ("pid", &[0x0a, 9, 8, 7]),
            ("build_id", &build_id),
            ("token", &[9; 16]),
            ("crc", &crc32c(&bytes[..HELLO_LEN - 4])),
        ],
    );
    assert_eq!(table("Hello", "offset")[0][3], format!("`{}`", String::from_utf8_lossy(&HELLO_MAGIC)));
}

#[test]
fn the_table_of_the_welcome_is_what_is_encoded() {
    let limits = FrameLimits { message_max: 0x0102_0304, payload_max: 0x0506_0708 };
    let accepted = Welcome::Accepted(Agreement { protocol: 0x0a0b, codec: Codec::Json, limits }).encode();
    let rejected = Welcome::Rejected(Rejection::Token).encode();
    assert_eq!(accepted.len(), WELCOME_LEN);
    for (bytes, [rejection, codec], [protocol, message_max, payload_max]) in [
        (accepted, [0, 2], [&[0x0b, 0x0a][..], &[4, 3, 2, 1], &[8, 7, 6, 5]]),
        (rejected, [4, 0], [&[0, 0][..], &[0; 4], &[0; 4]]),
    ] {
        assert_layout(
            "Welcome",
            &bytes,
            &[
                ("magic", &WELCOME_MAGIC),
                ("rejection", &[rejection]),
                ("codec", &[codec]),
                ("protocol", protocol),
                ("flags", &[0, 0]),
                ("reserved", &[0, 0]),
                ("message_max", message_max),
                ("payload_max", payload_max),
                ("crc", &crc32c(&bytes[..WELCOME_LEN - 4])),
            ],
        );
    }
    assert_eq!(table("Welcome", "offset")[0][3], format!("`{}`", String::from_utf8_lossy(&WELCOME_MAGIC)));
}

#[test]
fn the_table_of_the_frame_header_is_what_is_encoded() {
    let header =
        FrameHeader { kind: 7, message_len: 0x0102_0304, payload_len: 0x0506_0708, body_crc: 0x090a_0b0c };
    let bytes = header.encode();
    assert_eq!(bytes.len(), HEADER_LEN);
    assert_layout(
        "Frame",
        &bytes,
        &[
            ("magic", &frame::MAGIC),
            ("version", &[frame::VERSION]),
            ("kind", &[7]),
            ("flags", &[0, 0]),
            ("message_len", &[4, 3, 2, 1]),
            ("payload_len", &[8, 7, 6, 5]),
            ("body_crc", &[0x0c, 0x0b, 0x0a, 9]),
            ("header_crc", &crc32c(&bytes[..HEADER_LEN - 4])),
        ],
    );
    assert_eq!(table("Frame", "offset")[0][3], format!("`{}`", String::from_utf8_lossy(&frame::MAGIC)));
}

#[test]
fn the_constants_are_those_of_the_code() {
    let versions = [
        ("protocol_min", u64::from(PROTOCOL_MIN)),
        ("protocol_max", PROTOCOL_MAX.into()),
        ("frame_version", frame::VERSION.into()),
    ];
    assert_eq!(constants("Versions"), versions.map(|(name, value)| (name.to_owned(), value)).into());
    let FrameLimits { message_max, payload_max } = FrameLimits::CEILING;
    let ceilings = [("message_ceiling", message_max.into()), ("payload_ceiling", payload_max.into())];
    assert_eq!(constants("Frame"), ceilings.map(|(name, value)| (name.to_owned(), value)).into());
    assert!(SPEC.contains(&format!("No encoding longer than {DECODE_BYTES_MAX} bytes")));
    assert_eq!(crc32c(b"123456789"), 0xe306_9283u32.to_le_bytes());
    assert!(SPEC.contains("`e3069283`"));
}

#[test]
fn the_ids_are_those_of_the_code() {
    let codecs: Vec<(u8, String)> =
        Codec::ALL.into_iter().map(|codec| (codec.id(), codec.name().to_owned())).collect();
    assert_eq!(ids("Codecs", "id"), codecs);
    let rejections: Vec<(u8, String)> = Rejection::ALL
        .into_iter()
        .map(|rejection| (rejection.code(), format!("{rejection:?}").to_lowercase()))
        .collect();
    assert_eq!(ids("Welcome", "code"), rejections);
}

fn ids(heading: &str, column: &str) -> Vec<(u8, String)> {
    table(heading, column).into_iter().map(|row| (row[0].parse().unwrap(), row[1].clone())).collect()
}
