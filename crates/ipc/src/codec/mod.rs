//! How values become bytes: one seam, so that a successor is a change of one file.

mod binary;
mod json;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No encoding that is longer than this is decoded.
pub const DECODE_BYTES_MAX: usize = 256 << 20;

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
        let before = out.len();
        let result = match self {
            Self::Bincode => binary::encode(value, out),
            Self::Json => json::encode(value, out),
        };
        result.map_err(|reason| {
            out.truncate(before);
            CodecError::Encode { codec: self.name(), type_name: std::any::type_name::<T>(), reason }
        })
    }

    /// The value that the whole of `bytes` encodes.
    ///
    /// # Errors
    /// Every [`CodecError`] but [`CodecError::Encode`].
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, CodecError> {
        if bytes.len() > DECODE_BYTES_MAX {
            return Err(CodecError::TooLarge { len: bytes.len(), max: DECODE_BYTES_MAX });
        }
        let type_name = std::any::type_name::<T>();
        let decoded = match self {
            Self::Bincode => binary::decode(bytes),
            Self::Json => json::decode(bytes),
        };
        let (value, used) =
            decoded.map_err(|reason| CodecError::Decode { codec: self.name(), type_name, reason })?;
        match bytes.len() - used {
            0 => Ok(value),
            extra => Err(CodecError::Trailing { type_name, extra }),
        }
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
