//! Frames out of bytes, without I/O.

use crate::checksum::crc32c;
use crate::frame::{FrameError, FrameHeader, FrameLimits, HEADER_LEN};

/// What the bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A frame may follow from here, but bytes are missing.
    Incomplete {
        /// How many bytes the next step needs in all: the header's, or the frame's once the header is known.
        needed: usize,
    },
    /// A whole frame.
    Frame {
        /// The kind of message.
        kind: u8,
        /// The encoded message.
        message: &'a [u8],
        /// The raw payload.
        payload: &'a [u8],
        /// How many bytes the frame took.
        consumed: usize,
    },
}

/// Looks for a frame at the start of `bytes`, which may come from a hostile peer. Never panics, never allocates.
///
/// # Errors
/// [`FrameError`] when this cannot become a frame, whatever follows.
pub fn decode_frame<'a>(bytes: &'a [u8], limits: &FrameLimits) -> Result<Decoded<'a>, FrameError> {
    let Some(header) = FrameHeader::decode(bytes, &limits.min(FrameLimits::CEILING))? else {
        return Ok(Decoded::Incomplete { needed: HEADER_LEN });
    };
    let message_end = HEADER_LEN + header.message_len as usize;
    let needed = message_end + header.payload_len as usize;
    let Some(body) = bytes.get(HEADER_LEN..needed) else {
        return Ok(Decoded::Incomplete { needed });
    };
    if crc32c(body) != header.body_crc {
        return Err(FrameError::BodyChecksum);
    }
    let (message, payload) = body.split_at(header.message_len as usize);
    Ok(Decoded::Frame { kind: header.kind, message, payload, consumed: needed })
}
