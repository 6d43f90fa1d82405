//! What fuzzing calls, and the replay of its corpora as ordinary tests.
//!
//! Checksums keep nearly all random bytes from the code behind them, so each target takes its input a second time for what a
//! checksum would cover. `fuzz/` calls these with `--cfg fuzzing`; no other build has them.

use crate::checksum::crc32c;
use crate::deadline::now;
use crate::frame::{FrameError, FrameHeader, FrameLimits};
use crate::handshake::{
    BuildId, HELLO_LEN, HELLO_MAGIC, HandshakeError, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Terms, Token,
    WELCOME_LEN, WELCOME_MAGIC, Welcome, greet, welcome,
};
use crate::sender::body_crc;
use crate::{Codec, CodecSet, Decoded, FrameReceiver, RecvError, Stream, WriteHalf, decode_frame};
use std::io::IoSlice;
use std::time::Instant;

/// Small, so that inputs lie on both sides of them.
const LIMITS: FrameLimits = FrameLimits { message_max: 128, payload_max: 8 << 10 };

/// What a socket takes without a reader; longer inputs teach nothing.
const DATA_LEN_MAX: usize = 16 << 10;

/// A frame's kind, message and payload.
type Frame = (u8, Vec<u8>, Vec<u8>);

/// Why no more frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Truncated,
    Spoilt(FrameError),
}

/// Bytes where frames should be: the decoder and the receiver find the same frames and the same end, wherever the bytes are cut
/// on their way; what is sealed comes back, and with one bit flipped it does not.
pub fn wire(data: &[u8]) {
    let data = &data[..data.len().min(DATA_LEN_MAX)];
    let Some((&[kind, message_len, at, bit], body)) = data.split_first_chunk() else {
        return compare(data, 0);
    };
    compare(body, at.into());
    let (message, payload) = body.split_at(body.len().min(message_len.into()));
    let header = FrameHeader {
        kind,
        message_len: message.len() as u32,
        payload_len: payload.len() as u32,
        body_crc: body_crc(message, payload),
    };
    let mut frame = [&header.encode(), body].concat();
    match decode_frame(&frame, &LIMITS) {
        Ok(decoded) => {
            assert_eq!(decoded, Decoded::Frame { kind, message, payload, consumed: frame.len() });
            LIMITS.check(message.len(), payload.len()).expect("it is within the limits");
        }
        Err(_) => drop(LIMITS.check(message.len(), payload.len()).expect_err("it is beyond the limits")),
    }
    compare(&[&frame, body, &frame].concat(), frame.len() + usize::from(at));
    let bit = usize::from(u16::from_le_bytes([at, bit])) % (frame.len() * 8);
    frame[bit / 8] ^= 1 << (bit % 8);
    decode_frame(&frame, &LIMITS).expect_err("a checksum or the magic shows a flipped bit");
}

fn compare(bytes: &[u8], cut: usize) {
    let bytes = &bytes[..bytes.len().min(DATA_LEN_MAX)];
    assert_eq!(receive(bytes, cut), decode_all(bytes));
}

fn decode_all(mut bytes: &[u8]) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    loop {
        match decode_frame(bytes, &LIMITS) {
            Ok(Decoded::Frame { kind, message, payload, consumed }) => {
                frames.push((kind, message.to_vec(), payload.to_vec()));
                bytes = &bytes[consumed..];
            }
            Ok(Decoded::Incomplete { needed }) => {
                assert!(needed > bytes.len(), "{needed} bytes are there");
                return (frames, if bytes.is_empty() { End::Closed } else { End::Truncated });
            }
            Err(error) => return (frames, End::Spoilt(error)),
        }
    }
}

/// What a receiver finds that looks when `cut` bytes are there, and again when all are.
fn receive(bytes: &[u8], cut: usize) -> (Vec<Frame>, End) {
    let (host, child) = Stream::pair().expect("there are descriptors");
    let (reader, _writer) = host.split();
    let control = reader.control();
    let (_reader, mut writer) = child.into_stream().expect("there are descriptors").split();
    let mut receiver = FrameReceiver::new(reader, Codec::Bincode, LIMITS);
    let (first, rest) = bytes.split_at(cut.min(bytes.len()));
    let mut frames = Vec::new();
    let mut payload = Vec::new();
    put(&mut writer, first);
    if let Some(end) = take(&mut receiver, &mut payload, Some(now()), &mut frames) {
        return (frames, end);
    }
    put(&mut writer, rest);
    control.shutdown_read().expect("the stream is open");
    let end = take(&mut receiver, &mut payload, None, &mut frames).expect("there is no deadline");
    (frames, end)
}

/// Receives until the deadline (`None`), or until there is nothing more.
fn take(
    receiver: &mut FrameReceiver,
    payload: &mut Vec<u8>,
    deadline: Option<Instant>,
    frames: &mut Vec<Frame>,
) -> Option<End> {
    loop {
        match receiver.recv(payload, deadline) {
            Ok(received) => {
                let (kind, message) = (received.kind, received.message.to_vec());
                frames.push((kind, message, payload.clone()));
            }
            Err(RecvError::TimedOut) => return None,
            Err(RecvError::Closed) => return Some(End::Closed),
            Err(RecvError::Truncated) => return Some(End::Truncated),
            Err(RecvError::Frame(error)) => {
                let again = receiver.recv(payload, deadline);
                assert!(matches!(again, Err(RecvError::Frame(same)) if same == error), "{again:?}");
                return Some(End::Spoilt(error));
            }
            Err(RecvError::Io(error)) => panic!("a socket in memory failed: {error}"),
        }
    }
}

fn put(writer: &mut WriteHalf, bytes: &[u8]) {
    writer.write_all(&mut [IoSlice::new(bytes)], None).expect("the reader is there and has room");
}

/// Bytes where a greeting should be, for either side: who agrees has been offered what it agrees to, and the peer is told the same.
pub fn handshake(data: &[u8]) {
    let data = &data[..data.len().min(DATA_LEN_MAX)];
    let Some((&flags, bytes)) = data.split_first() else { return };
    let terms = Terms {
        codec: Codec::ALL[usize::from(flags & 1)],
        build_id: (flags & 2 != 0).then_some(BuildId([7; 32])),
        token: (flags & 4 != 0).then_some(Token([9; 16])),
        ..Terms::new(Codec::Bincode, LIMITS)
    };
    host_side(&terms, bytes);
    host_side(&terms, &sealed::<HELLO_LEN>(HELLO_MAGIC, bytes));
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        codecs: if flags & 8 == 0 { CodecSet::all() } else { [Codec::Json].into_iter().collect() },
        pid: 1,
        build_id: BuildId([7; 32]),
        token: Token([9; 16]),
    };
    worker_side(&hello, bytes);
    worker_side(&hello, &sealed::<WELCOME_LEN>(WELCOME_MAGIC, bytes));
}

/// A table with the right magic and checksum.
fn sealed<const N: usize>(magic: [u8; 8], fields: &[u8]) -> [u8; N] {
    let mut table = [0; N];
    let room = &mut table[magic.len()..N - 4];
    let len = fields.len().min(room.len());
    room[..len].copy_from_slice(&fields[..len]);
    table[..magic.len()].copy_from_slice(&magic);
    let crc = crc32c(&table[..N - 4]);
    table[N - 4..].copy_from_slice(&crc.to_le_bytes());
    table
}

fn host_side(terms: &Terms, bytes: &[u8]) {
    let (host, child) = Stream::pair().expect("there are descriptors");
    let (mut reader, mut writer) = host.split();
    let (mut peer_reader, mut peer_writer) = child.into_stream().expect("there are descriptors").split();
    put(&mut peer_writer, bytes);
    reader.control().shutdown_read().expect("the stream is open");
    let result = welcome((&mut reader, &mut writer), terms, None);
    drop((reader, writer));
    let mut answer = [0; WELCOME_LEN];
    let answered = peer_reader.read_exact(&mut answer, None).is_ok();
    let hello = bytes.first_chunk().map(Hello::decode);
    match result {
        Ok((_, agreement)) => {
            let hello = hello.expect("it is whole").expect("it is a greeting");
            assert_eq!(terms.judge(&hello), Ok(agreement));
            assert_eq!(Welcome::decode(&answer), Ok(Welcome::Accepted(agreement)));
            assert!((hello.protocol_min..=hello.protocol_max).contains(&agreement.protocol));
            assert!(terms.protocols.contains(&agreement.protocol) && hello.codecs.contains(agreement.codec));
            let again = Hello::decode(&hello.encode()).expect("it was just written");
            assert_eq!(again.encode(), hello.encode());
        }
        Err(HandshakeError::Rejected(why)) => {
            assert_eq!(Welcome::decode(&answer), Ok(Welcome::Rejected(why)));
        }
        Err(_) => assert!(!answered, "who sends no greeting gets no answer"),
    }
}

fn worker_side(hello: &Hello, bytes: &[u8]) {
    let (host, child) = Stream::pair().expect("there are descriptors");
    let (mut reader, mut writer) = child.into_stream().expect("there are descriptors").split();
    let (mut host_reader, mut host_writer) = host.split();
    put(&mut host_writer, bytes);
    reader.control().shutdown_read().expect("the stream is open");
    let result = greet((&mut reader, &mut writer), hello, None);
    drop((reader, writer));
    let mut greeting = [0; HELLO_LEN];
    host_reader.read_exact(&mut greeting, None).expect("a worker greets first");
    assert_eq!(greeting, hello.encode());
    let answer = bytes.first_chunk().map(Welcome::decode);
    match result {
        Ok(agreement) => {
            assert_eq!(answer, Some(Ok(Welcome::Accepted(agreement))));
            assert!((hello.protocol_min..=hello.protocol_max).contains(&agreement.protocol));
            assert!(hello.codecs.contains(agreement.codec));
            let welcome = Welcome::Accepted(agreement);
            assert_eq!(Welcome::decode(&welcome.encode()), Ok(welcome));
        }
        Err(HandshakeError::Rejected(why)) => assert_eq!(answer, Some(Ok(Welcome::Rejected(why)))),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Agreement, Rejection};
    use std::path::{Path, PathBuf};

    fn corpus(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
    }

    /// Calls `target` with every file of its corpus, in which the seeds lie as they are made here.
    fn replay(name: &str, target: fn(&[u8]), seeds: &[(&str, Vec<u8>)]) {
        let folder = corpus(name);
        for (seed, bytes) in seeds {
            let path = folder.join(seed);
            if std::env::var_os("COFFERDAM_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, bytes).unwrap();
            }
            assert_eq!(
                std::fs::read(&path).ok().as_ref(),
                Some(bytes),
                "{} (COFFERDAM_BLESS=1 writes it)",
                path.display()
            );
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }

    fn frame(kind: u8, message: &[u8], payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            kind,
            message_len: message.len() as u32,
            payload_len: payload.len() as u32,
            body_crc: body_crc(message, payload),
        };
        [&header.encode(), message, payload].concat()
    }

    /// An input of [`wire`]: what seals and cuts it, then the bytes.
    fn cut_at(at: u8, bytes: &[u8]) -> Vec<u8> {
        [&[7, 3, at, 1], bytes].concat()
    }

    #[test]
    fn the_corpus_of_wires_is_read() {
        let one = frame(1, b"message", b"payload");
        let announced = |message_len, payload_len| {
            FrameHeader { kind: 1, message_len, payload_len, body_crc: 0 }.encode().to_vec()
        };
        let mut version = one.clone();
        version[4] = 2;
        let crc = crc32c(&version[..20]).to_le_bytes();
        version[20..24].copy_from_slice(&crc);
        let seeds = [
            ("nothing", vec![]),
            ("one-frame", cut_at(0, &one)),
            ("two-frames-cut-in-the-second", cut_at(60, &[one.clone(), frame(2, b"", &[5; 90])].concat())),
            ("cut-in-a-header", cut_at(20, &one)),
            ("cut-in-a-message", cut_at(27, &one)),
            ("cut-in-a-payload", cut_at(33, &one)),
            ("half-a-frame", cut_at(0, &one[..30])),
            ("longest-message", cut_at(100, &frame(1, &[1; 128], b""))),
            ("message-beyond-the-limit", cut_at(0, &announced(129, 0))),
            ("payload-beyond-the-limit", cut_at(0, &announced(0, (8 << 10) + 1))),
            ("lengths-of-four-gigabytes", cut_at(0, &announced(u32::MAX, u32::MAX))),
            ("spoilt-body", cut_at(0, &[&one[..one.len() - 1], b"!"].concat())),
            ("another-version", cut_at(0, &version)),
            ("no-magic", cut_at(0, b"GET / HTTP/1.1\r\n\r\n")),
            ("garbage-behind-a-frame", cut_at(0, &[&one[..], &[0; 40]].concat())),
        ];
        replay("wire", wire, &seeds);
    }

    #[test]
    fn the_corpus_of_handshakes_is_held() {
        let hello = Hello {
            protocol_min: 1,
            protocol_max: 1,
            codecs: CodecSet::all(),
            pid: 7,
            build_id: BuildId([7; 32]),
            token: Token([9; 16]),
        };
        let with = |flags: u8, bytes: &[u8]| [&[flags], bytes].concat();
        let accepted = Welcome::Accepted(Agreement { protocol: 1, codec: Codec::Json, limits: LIMITS });
        let unoffered = Welcome::Accepted(Agreement { protocol: 9, codec: Codec::Json, limits: LIMITS });
        let seeds = [
            ("nothing", vec![0]),
            ("hello", with(0, &hello.encode())),
            ("hello-of-all-terms", with(7, &hello.encode())),
            ("half-a-hello", with(0, &hello.encode()[..40])),
            ("hello-of-no-version", with(0, &Hello { protocol_min: 2, protocol_max: 1, ..hello }.encode())),
            (
                "hello-of-another-version",
                with(0, &Hello { protocol_min: 9, protocol_max: 9, ..hello }.encode()),
            ),
            ("hello-without-codecs", with(1, &Hello { codecs: CodecSet::from_bits(0), ..hello }.encode())),
            ("hello-of-another-build", with(2, &Hello { build_id: BuildId([0; 32]), ..hello }.encode())),
            ("hello-without-the-token", with(4, &Hello { token: Token([0; 16]), ..hello }.encode())),
            ("hello-to-be-sealed", with(0, &hello.encode()[8..68])),
            ("welcome", with(8, &accepted.encode())),
            ("welcome-to-what-was-not-offered", with(0, &unoffered.encode())),
            ("welcome-that-rejects", with(0, &Welcome::Rejected(Rejection::Build).encode())),
            ("welcome-to-be-sealed", with(0, &accepted.encode()[8..24])),
            ("welcome-of-an-unknown-codec", with(0, &[0, 99, 1, 0])),
            ("welcome-of-an-unknown-rejection", with(0, &[77])),
            ("text", with(0, b"Usage: program [OPTIONS]\n")),
        ];
        replay("handshake", handshake, &seeds);
    }
}
