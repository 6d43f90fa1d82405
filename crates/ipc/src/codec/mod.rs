//! How values become bytes: one seam, so that a successor is a change of one file.

mod binary;
mod json;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, Write};

/// No encoding that is longer than this is decoded, and no decode claims more memory, where the bytes may come from a hostile peer.
pub const DECODE_BYTES_MAX: usize = 256 << 20;

/// A value claims at most this many bytes of memory for each byte of its encoding: a `u128` that is small takes one.
const CLAIMED_FOR_EACH_BYTE_MAX: usize = 16;

/// How messages, items, outputs and configs are encoded. Handshake and store name it by its id.
///
/// `Vec<u8>` fields should carry `#[serde(with = "serde_bytes")]`: bincode then copies them at once (18 µs a MiB)
/// instead of byte by byte (475 µs). `serde_json` has no bytes and writes an array of numbers either way. Paths travel
/// as bytes: serde refuses a `PathBuf` that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// bincode 2 with variable-length integers, little-endian. Compact and fast. **No limit on nesting**: a recursive type decoded
    /// from a hostile peer can overflow the stack, and a sequence of values without bytes can announce any length;
    /// such types belong to [`Codec::Json`].
    Bincode,
    /// JSON, nested at most 128 deep. For workers in other languages and for recursive types.
    Json,
}

/// A value could not be encoded or bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value cannot be carried by this codec (a map key that is no string in JSON, a sequence of unknown length).
    #[error("{codec} cannot encode a value of type {type_name}: {reason}")]
    Encode {
        /// The codec's name.
        codec: &'static str,
        /// The value's type.
        type_name: &'static str,
        /// What the codec said.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes are not an encoding of that type.
    #[error("{codec} cannot decode a value of type {type_name}: {reason}")]
    Decode {
        /// The codec's name.
        codec: &'static str,
        /// The expected type.
        type_name: &'static str,
        /// What the codec said.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Bytes follow the value.
    #[error("{extra} bytes follow a value of type {type_name}")]
    Trailing {
        /// The expected type.
        type_name: &'static str,
        /// How many bytes follow.
        extra: usize,
    },
    /// The encoding would be longer than the caller wants it.
    #[error("the encoding of a value of type {type_name} is longer than {max} bytes")]
    TooLong {
        /// The value's type.
        type_name: &'static str,
        /// The caller's limit.
        max: usize,
    },
    /// The encoding is longer than [`DECODE_BYTES_MAX`].
    #[error("{len} bytes are too many to decode, the limit is {max}")]
    TooLarge {
        /// Length of the encoding in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
}

impl Codec {
    /// All codecs, by ascending id.
    pub const ALL: [Self; 2] = [Self::Bincode, Self::Json];

    /// The number that stands for the codec in handshakes and stores; never 0, never reused.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Bincode => 1,
            Self::Json => 2,
        }
    }

    /// The codec with this id.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// The codec's name in logs and specs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bincode => "bincode",
            Self::Json => "json",
        }
    }

    /// Appends the encoding of `value` to `out`; on an error `out` is as before.
    ///
    /// # Errors
    /// [`CodecError::Encode`]
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.encode_within(value, out, usize::MAX)
    }

    /// The same for an encoding of at most `max` bytes: memory for more is never taken.
    ///
    /// # Errors
    /// [`CodecError::Encode`], [`CodecError::TooLong`]
    pub fn encode_within<T: Serialize + ?Sized>(
        self,
        value: &T,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), CodecError> {
        let before = out.len();
        let mut bounded = Bounded { end_max: before.saturating_add(max), out, is_too_long: false };
        let result = match self {
            Self::Bincode => binary::encode(value, &mut bounded),
            Self::Json => json::encode(value, &mut bounded),
        };
        let Bounded { out, is_too_long, .. } = bounded;
        let type_name = std::any::type_name::<T>();
        result.map_err(|reason| {
            out.truncate(before);
            match is_too_long {
                true => CodecError::TooLong { type_name, max },
                false => CodecError::Encode { codec: self.name(), type_name, reason },
            }
        })
    }

    /// Writes the encoding of `value`, however long, in whatever pieces it comes: buffer them.
    ///
    /// # Errors
    /// [`CodecError::Encode`], also for what `to` says.
    pub fn encode_to<T: Serialize + ?Sized>(self, value: &T, to: &mut dyn Write) -> Result<(), CodecError> {
        let result = match self {
            Self::Bincode => binary::encode_to(value, to),
            Self::Json => json::encode_to(value, to),
        };
        let type_name = std::any::type_name::<T>();
        result.map_err(|reason| CodecError::Encode { codec: self.name(), type_name, reason })
    }

    /// The value that the whole of `bytes` encodes.
    ///
    /// # Errors
    /// Every [`CodecError`] but [`CodecError::Encode`].
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, CodecError> {
        if bytes.len() > DECODE_BYTES_MAX {
            return Err(CodecError::TooLarge { len: bytes.len(), max: DECODE_BYTES_MAX });
        }
        self.whole(
            bytes,
            match self {
                Self::Bincode => binary::decode(bytes),
                Self::Json => json::decode(bytes),
            },
        )
    }

    /// The same for what this program's own side encoded, however long: a length in it that claims more memory than its encoding can stand
    /// for is refused only where that is short.
    ///
    /// # Errors
    /// As [`Codec::decode`], but never [`CodecError::TooLarge`].
    pub fn decode_trusted<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, CodecError> {
        let is_short = bytes.len() <= DECODE_BYTES_MAX / CLAIMED_FOR_EACH_BYTE_MAX;
        self.whole(
            bytes,
            match self {
                Self::Bincode if is_short => binary::decode(bytes),
                Self::Bincode => binary::decode_trusted(bytes),
                Self::Json => json::decode(bytes),
            },
        )
    }

    /// The same for an encoding that is read piece by piece, so that it is never in memory beside its value.
    ///
    /// # Errors
    /// As [`Codec::decode_trusted`]; what `from` says is a [`CodecError::Decode`].
    pub fn decode_trusted_from<T: DeserializeOwned>(self, from: &mut impl BufRead) -> Result<T, CodecError> {
        let type_name = std::any::type_name::<T>();
        let decoded = match self {
            Self::Bincode => binary::decode_from(from),
            Self::Json => json::decode_from(from),
        };
        let refuse = |reason| CodecError::Decode { codec: self.name(), type_name, reason };
        let value = decoded.map_err(refuse)?;
        match from.fill_buf().map_err(|error| refuse(error.into()))?.len() {
            0 => Ok(value),
            extra => Err(CodecError::Trailing { type_name, extra }),
        }
    }

    fn whole<T>(self, bytes: &[u8], decoded: Result<(T, usize), Reason>) -> Result<T, CodecError> {
        let type_name = std::any::type_name::<T>();
        let (value, used) =
            decoded.map_err(|reason| CodecError::Decode { codec: self.name(), type_name, reason })?;
        match bytes.len() - used {
            0 => Ok(value),
            extra => Err(CodecError::Trailing { type_name, extra }),
        }
    }
}

type Reason = Box<dyn std::error::Error + Send + Sync>;

/// Where an encoding goes that may be no longer than somebody wants it.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    end_max: usize,
    is_too_long: bool,
}

impl Bounded<'_> {
    /// False when there is no room for that.
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.end_max - self.out.len() {
            self.is_too_long = true;
            return false;
        }
        self.out.extend_from_slice(bytes);
        true
    }
}

/// Some codecs: what a worker can speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodecSet(u16);

impl CodecSet {
    /// From the handshake's bits; bit n stands for the codec with id n. Unknown ones are kept.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The handshake's bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Every codec of this build.
    #[must_use]
    pub fn all() -> Self {
        Codec::ALL.into_iter().collect()
    }

    /// Whether `codec` is among them.
    #[must_use]
    pub const fn contains(self, codec: Codec) -> bool {
        self.0 & (1 << codec.id()) != 0
    }
}

impl FromIterator<Codec> for CodecSet {
    fn from_iter<I: IntoIterator<Item = Codec>>(codecs: I) -> Self {
        Self(codecs.into_iter().fold(0, |bits, codec| bits | 1 << codec.id()))
    }
}
