//! The greeting: fixed byte tables, so that a peer in any language can speak before a codec is agreed.
//!
//! The worker sends a [`Hello`], the host answers with a [`Welcome`] that accepts or rejects it. Integers are little-endian.

use crate::checksum::crc32c;
use crate::{Codec, CodecSet, FrameLimits, ReadHalf, WriteHalf};
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::RangeInclusive;
use std::time::Instant;

/// The first bytes of a [`Hello`].
pub const HELLO_MAGIC: [u8; 8] = *b"CFDHELLO";
/// The first bytes of a [`Welcome`].
pub const WELCOME_MAGIC: [u8; 8] = *b"CFDWELCM";
/// The length of a [`Hello`] in bytes.
pub const HELLO_LEN: usize = 72;
/// The length of a [`Welcome`] in bytes.
pub const WELCOME_LEN: usize = 28;
/// The oldest protocol that this build speaks.
pub const PROTOCOL_MIN: u16 = 1;
/// The newest protocol that this build speaks.
pub const PROTOCOL_MAX: u16 = 1;

/// Identifies an executable, so that a host never talks to a worker that was replaced on disk meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildId(pub [u8; 32]);

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Shows that the peer is the one that was meant; used once.
#[derive(Clone, Copy, Default)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// Whether both are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a worker says first.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | magic `CFDHELLO` |
/// | 8 | 2 | oldest protocol version |
/// | 10 | 2 | newest protocol version |
/// | 12 | 2 | codecs: bit n for the codec with id n |
/// | 14 | 2 | flags, 0 |
/// | 16 | 4 | process id |
/// | 20 | 32 | build id, or zeros |
/// | 52 | 16 | token, or zeros |
/// | 68 | 4 | CRC-32C of bytes 0 to 67 |
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// The oldest protocol that the worker speaks.
    pub protocol_min: u16,
    /// The newest protocol that the worker speaks.
    pub protocol_max: u16,
    /// The codecs that the worker speaks.
    pub codecs: CodecSet,
    /// The worker's process id, as it sees it itself.
    pub pid: u32,
    /// The worker's executable; zeros in another program than the host.
    pub build_id: BuildId,
    /// What the host gave the worker; zeros where the stream itself was inherited.
    pub token: Token,
}

/// What the host answers.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | magic `CFDWELCM` |
/// | 8 | 1 | rejection, 0 when accepted |
/// | 9 | 1 | codec id, 0 when rejected |
/// | 10 | 2 | protocol version, 0 when rejected |
/// | 12 | 2 | flags, 0 |
/// | 14 | 2 | reserved, 0 |
/// | 16 | 4 | longest message in bytes |
/// | 20 | 4 | longest payload in bytes |
/// | 24 | 4 | CRC-32C of bytes 0 to 23 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// The worker may go on.
    Accepted(Agreement),
    /// The worker must leave.
    Rejected(Rejection),
}

/// What both sides go by after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The protocol version.
    pub protocol: u16,
    /// How messages are encoded.
    pub codec: Codec,
    /// The largest frame in either direction.
    pub limits: FrameLimits,
}

/// Why a host turns a worker away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No protocol version in common.
    #[error("host and worker have no protocol version in common")]
    Protocol,
    /// The worker does not speak the host's codec.
    #[error("the worker does not speak the host's codec")]
    Codec,
    /// Another executable than the host expects: it was replaced while the host ran.
    #[error("the worker is another build than the host")]
    Build,
    /// The token is not the one that the host gave out.
    #[error("the worker does not know the token")]
    Token,
}

/// The bytes are not a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// It does not start with the magic: perhaps a program without the worker line that wrote to its stdin.
    #[error("not a greeting: it does not start with the magic")]
    Magic,
    /// The greeting is damaged.
    #[error("the checksum of a greeting does not match")]
    Checksum,
    /// A range is empty or a code is unknown: no version of this build sends that.
    #[error("a greeting holds an impossible value")]
    Value,
}

impl Hello {
    /// The greeting's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let mut bytes = [0; HELLO_LEN];
        bytes[..8].copy_from_slice(&HELLO_MAGIC);
        bytes[8..10].copy_from_slice(&self.protocol_min.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.protocol_max.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.codecs.bits().to_le_bytes());
        bytes[16..20].copy_from_slice(&self.pid.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.build_id.0);
        bytes[52..68].copy_from_slice(&self.token.0);
        seal(bytes)
    }

    /// The greeting in `bytes`. Flags are for later versions: they are ignored, since both ends of the range are known.
    ///
    /// # Errors
    /// [`GreetingError`]
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Self, GreetingError> {
        open(bytes, HELLO_MAGIC)?;
        let hello = Self {
            protocol_min: u16_at(bytes, 8),
            protocol_max: u16_at(bytes, 10),
            codecs: CodecSet::from_bits(u16_at(bytes, 12)),
            pid: u32_at(bytes, 16),
            build_id: BuildId(array_at(bytes, 20)),
            token: Token(array_at(bytes, 52)),
        };
        if hello.protocol_min > hello.protocol_max {
            return Err(GreetingError::Value);
        }
        Ok(hello)
    }
}

impl Welcome {
    /// The answer's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; WELCOME_LEN] {
        let mut bytes = [0; WELCOME_LEN];
        bytes[..8].copy_from_slice(&WELCOME_MAGIC);
        match self {
            Self::Accepted(agreement) => {
                bytes[9] = agreement.codec.id();
                bytes[10..12].copy_from_slice(&agreement.protocol.to_le_bytes());
                bytes[16..20].copy_from_slice(&agreement.limits.message_max.to_le_bytes());
                bytes[20..24].copy_from_slice(&agreement.limits.payload_max.to_le_bytes());
            }
            Self::Rejected(rejection) => bytes[8] = rejection.code(),
        }
        seal(bytes)
    }

    /// The answer in `bytes`.
    ///
    /// # Errors
    /// [`GreetingError`]
    pub fn decode(bytes: &[u8; WELCOME_LEN]) -> Result<Self, GreetingError> {
        open(bytes, WELCOME_MAGIC)?;
        if bytes[8] != 0 {
            return Rejection::from_code(bytes[8]).map(Self::Rejected).ok_or(GreetingError::Value);
        }
        let codec = Codec::from_id(bytes[9]).ok_or(GreetingError::Value)?;
        let limits = FrameLimits { message_max: u32_at(bytes, 16), payload_max: u32_at(bytes, 20) };
        Ok(Self::Accepted(Agreement { protocol: u16_at(bytes, 10), codec, limits }))
    }
}

impl Rejection {
    /// All reasons, by ascending code.
    pub const ALL: [Self; 4] = [Self::Protocol, Self::Codec, Self::Build, Self::Token];

    /// The number that stands for the reason on the wire; never 0, never reused.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Protocol => 1,
            Self::Codec => 2,
            Self::Build => 3,
            Self::Token => 4,
        }
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rejection| rejection.code() == code)
    }
}

/// What a host insists on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The protocol versions that the host speaks.
    pub protocols: RangeInclusive<u16>,
    /// The codec that the job is written in.
    pub codec: Codec,
    /// The largest frame in either direction.
    pub limits: FrameLimits,
    /// The executable that the worker must be, where it is the host's own.
    pub build_id: Option<BuildId>,
    /// What the worker must know, where anybody could have connected.
    pub token: Option<Token>,
}

impl Terms {
    /// This build's protocols with a job's codec and limits, for a stream that the worker inherits.
    #[must_use]
    pub fn new(codec: Codec, limits: FrameLimits) -> Self {
        Self { protocols: PROTOCOL_MIN..=PROTOCOL_MAX, codec, limits, build_id: None, token: None }
    }

    /// Whether a worker meets them: the newest protocol of both.
    ///
    /// # Errors
    /// The first [`Rejection`] in the order token, build, protocol, codec: who it is counts before what it can do.
    pub fn judge(&self, hello: &Hello) -> Result<Agreement, Rejection> {
        if self.token.is_some_and(|token| !token.matches(&hello.token)) {
            return Err(Rejection::Token);
        }
        if self.build_id.is_some_and(|build_id| build_id != hello.build_id) {
            return Err(Rejection::Build);
        }
        let protocol = hello.protocol_max.min(*self.protocols.end());
        if protocol < hello.protocol_min.max(*self.protocols.start()) {
            return Err(Rejection::Protocol);
        }
        if !hello.codecs.contains(self.codec) {
            return Err(Rejection::Codec);
        }
        Ok(Agreement { protocol, codec: self.codec, limits: self.limits })
    }
}

/// No agreement; the stream is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The host turned the worker away (both sides learn it).
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The peer sent something else.
    #[error(transparent)]
    Greeting(#[from] GreetingError),
    /// The host agreed to what this worker never offered.
    #[error("the host chose a protocol or codec that was not offered")]
    NotOffered,
    /// The peer took too long.
    #[error("the peer did not greet in time")]
    TimedOut,
    /// The peer left before it greeted.
    #[error("the peer left before the handshake was over")]
    Closed,
    /// Something else failed.
    #[error("the handshake failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// The host's side: reads the greeting, answers it.
///
/// # Errors
/// [`HandshakeError`]; a rejected worker has been told why.
pub fn welcome(
    (reader, writer): (&mut ReadHalf, &mut WriteHalf),
    terms: &Terms,
    deadline: Option<Instant>,
) -> Result<(Hello, Agreement), HandshakeError> {
    let hello = Hello::decode(&read_table(reader, HELLO_MAGIC, deadline)?)?;
    let judged = terms.judge(&hello);
    let answer = judged.map_or_else(Welcome::Rejected, Welcome::Accepted).encode();
    let sent = writer.write_all(&mut [IoSlice::new(&answer)], deadline);
    let agreement = judged?;
    sent?;
    Ok((hello, agreement))
}

/// The worker's side: greets, reads the answer.
///
/// # Errors
/// [`HandshakeError`]
pub fn greet(
    (reader, writer): (&mut ReadHalf, &mut WriteHalf),
    hello: &Hello,
    deadline: Option<Instant>,
) -> Result<Agreement, HandshakeError> {
    writer.write_all(&mut [IoSlice::new(&hello.encode())], deadline)?;
    let agreement = match Welcome::decode(&read_table(reader, WELCOME_MAGIC, deadline)?)? {
        Welcome::Accepted(agreement) => agreement,
        Welcome::Rejected(rejection) => return Err(rejection.into()),
    };
    let offered = (hello.protocol_min..=hello.protocol_max).contains(&agreement.protocol)
        && hello.codecs.contains(agreement.codec);
    if offered { Ok(agreement) } else { Err(HandshakeError::NotOffered) }
}

/// Something that is not a greeting may be shorter than one: its first bytes are looked at before the rest is waited for.
fn read_table<const N: usize>(
    reader: &mut ReadHalf,
    magic: [u8; 8],
    deadline: Option<Instant>,
) -> Result<[u8; N], HandshakeError> {
    let mut bytes = [0; N];
    let (start, rest) = bytes.split_at_mut(magic.len());
    reader.read_exact(start, deadline)?;
    if start != magic {
        return Err(GreetingError::Magic.into());
    }
    reader.read_exact(rest, deadline)?;
    Ok(bytes)
}

/// Puts the checksum of all before it into the last four bytes.
fn seal<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    let crc = crc32c(&bytes[..N - 4]);
    bytes[N - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn open<const N: usize>(bytes: &[u8; N], magic: [u8; 8]) -> Result<(), GreetingError> {
    if bytes[..8] != magic {
        return Err(GreetingError::Magic);
    }
    if crc32c(&bytes[..N - 4]) != u32_at(bytes, N - 4) {
        return Err(GreetingError::Checksum);
    }
    Ok(())
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("offsets lie within the fixed table")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}
