//! What travels after the handshake: a 24-byte header, a codec-encoded message, raw payload bytes.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `CDFM` |
//! | 4 | 1 | version of the frame layout, 1 |
//! | 5 | 1 | kind of message |
//! | 6 | 2 | flags, 0 |
//! | 8 | 4 | length of the message |
//! | 12 | 4 | length of the payload |
//! | 16 | 4 | CRC-32C of message and payload |
//! | 20 | 4 | CRC-32C of bytes 0 to 19 |
//!
//! Integers are little-endian.

use crate::checksum::crc32c;

/// The first bytes of every frame.
pub const MAGIC: [u8; 4] = *b"CDFM";
/// The version of the frame layout.
pub const VERSION: u8 = 1;
/// The length of a header in bytes.
pub const HEADER_LEN: usize = 24;

/// The largest frame that one side accepts and the other may send; both sides check before they set memory aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The longest message in bytes; a receiver keeps a buffer of this size.
    pub message_max: u32,
    /// The longest payload in bytes.
    pub payload_max: u32,
}

impl FrameLimits {
    /// No limits lie above these: lengths of a message and its payload then add up without overflow on 32-bit hosts.
    pub const CEILING: Self = Self { message_max: 16 << 20, payload_max: 1 << 30 };

    /// Whether a frame of these lengths may be sent.
    ///
    /// # Errors
    /// [`FrameTooLarge`] with the length that is over.
    pub fn check(&self, message_len: usize, payload_len: usize) -> Result<(u32, u32), FrameTooLarge> {
        Ok((fit(message_len, self.message_max)?, fit(payload_len, self.payload_max)?))
    }

    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            message_max: self.message_max.min(other.message_max),
            payload_max: self.payload_max.min(other.payload_max),
        }
    }
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self { message_max: 64 << 10, payload_max: 64 << 20 }
    }
}

fn fit(len: usize, max: u32) -> Result<u32, FrameTooLarge> {
    match u32::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(FrameTooLarge { len: len as u64, max: u64::from(max) }),
    }
}

/// A message or a payload is longer than the limit; nothing was written, the channel is as good as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes are too many for one frame, the limit is {max}")]
pub struct FrameTooLarge {
    /// What was to be sent, in bytes.
    pub len: u64,
    /// What may be sent.
    pub max: u64,
}

/// The bytes are not a frame. The peer is broken or hostile; nothing after this can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not the start of a frame.
    #[error("not a frame: it does not start with the magic")]
    Magic,
    /// The header is damaged.
    #[error("the checksum of a frame's header does not match")]
    HeaderChecksum,
    /// A frame layout that this side does not know.
    #[error("unknown version {0} of the frame layout")]
    Version(u8),
    /// Flags that this side does not know.
    #[error("unknown flags {0:#06x} in a frame")]
    Flags(u16),
    /// A message longer than the limit.
    #[error("the peer announced a message of {len} bytes, the limit is {max}")]
    MessageTooLarge {
        /// What the header says.
        len: u32,
        /// The limit of this side.
        max: u32,
    },
    /// A payload longer than the limit.
    #[error("the peer announced a payload of {len} bytes, the limit is {max}")]
    PayloadTooLarge {
        /// What the header says.
        len: u32,
        /// The limit of this side.
        max: u32,
    },
    /// Message or payload is damaged.
    #[error("the checksum of a frame's body does not match")]
    BodyChecksum,
}

/// The fields of a header that mean something to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the message is; the meaning is the protocol's.
    pub kind: u8,
    /// Length of the message in bytes.
    pub message_len: u32,
    /// Length of the payload in bytes.
    pub payload_len: u32,
    /// CRC-32C of message and payload.
    pub body_crc: u32,
}

impl FrameHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind;
        bytes[8..12].copy_from_slice(&self.message_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.body_crc.to_le_bytes());
        let crc = crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, its lengths within `limits`; `None` when bytes are missing. A wrong magic
    /// shows as soon as its first wrong byte is there.
    ///
    /// # Errors
    /// [`FrameError`], never [`FrameError::BodyChecksum`].
    pub fn decode(bytes: &[u8], limits: &FrameLimits) -> Result<Option<Self>, FrameError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(FrameError::Magic);
        }
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if crc32c(&header[..20]) != u32_at(header, 20) {
            return Err(FrameError::HeaderChecksum);
        }
        let fields = Self {
            kind: header[5],
            message_len: u32_at(header, 8),
            payload_len: u32_at(header, 12),
            body_crc: u32_at(header, 16),
        };
        let flags = u16::from_le_bytes([header[6], header[7]]);
        if header[4] != VERSION {
            return Err(FrameError::Version(header[4]));
        }
        if flags != 0 {
            return Err(FrameError::Flags(flags));
        }
        fields.check(limits)?;
        Ok(Some(fields))
    }

    fn check(&self, limits: &FrameLimits) -> Result<(), FrameError> {
        if self.message_len > limits.message_max {
            return Err(FrameError::MessageTooLarge { len: self.message_len, max: limits.message_max });
        }
        if self.payload_len > limits.payload_max {
            return Err(FrameError::PayloadTooLarge { len: self.payload_len, max: limits.payload_max });
        }
        Ok(())
    }
}

fn u32_at(header: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}
