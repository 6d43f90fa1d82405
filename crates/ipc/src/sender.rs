//! Frames into a stream.

use crate::checksum::{Checksum, crc32c};
use crate::frame::{FrameHeader, FrameLimits, FrameTooLarge};
use crate::{Codec, CodecError, WriteHalf};
use serde::Serialize;
use std::io::{self, IoSlice};
use std::time::Instant;

/// Writes frames, one vectored write each.
#[derive(Debug)]
pub struct FrameSender {
    half: WriteHalf,
    codec: Codec,
    limits: FrameLimits,
    message: Vec<u8>,
    /// A frame was cut off: whatever follows would be read as its rest.
    cut_off: bool,
}

/// A frame could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Too large for the limits; nothing was written and the channel is as good as before.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// The message cannot be encoded; nothing was written and the channel is as good as before.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The peer took too long to read; the channel cannot send any more.
    #[error("the peer did not read in time")]
    TimedOut,
    /// The peer is gone. What it sent before may still be received.
    #[error("the peer is gone")]
    Closed,
    /// An earlier send was cut off.
    #[error("an earlier frame was cut off")]
    CutOff,
    /// Something else failed; the channel cannot send any more.
    #[error("sending failed: {0}")]
    Io(#[source] io::Error),
}

impl FrameSender {
    /// Sends over `half`; `limits` are what the peer accepts.
    #[must_use]
    pub fn new(half: WriteHalf, codec: Codec, limits: FrameLimits) -> Self {
        Self { half, codec, limits: limits.min(FrameLimits::CEILING), message: Vec::new(), cut_off: false }
    }

    /// Sends one frame: `message` in the channel's codec, `payload` as it is.
    ///
    /// # Errors
    /// [`SendError`]; after any but `TooLarge` and `Codec` the sender is of no more use.
    pub fn send<M: Serialize + ?Sized>(
        &mut self,
        kind: u8,
        message: &M,
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let mut encoded = std::mem::take(&mut self.message);
        encoded.clear();
        let result = match self.codec.encode(message, &mut encoded) {
            Ok(()) => self.send_encoded(kind, &encoded, payload, deadline),
            Err(error) => Err(error.into()),
        };
        self.message = encoded;
        result
    }

    /// Sends one frame whose message is encoded already.
    ///
    /// # Errors
    /// As [`FrameSender::send`].
    pub fn send_encoded(
        &mut self,
        kind: u8,
        message: &[u8],
        payload: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        if self.cut_off {
            return Err(SendError::CutOff);
        }
        let (message_len, payload_len) = self.limits.check(message.len(), payload.len())?;
        let body_crc = body_crc(message, payload);
        let header = FrameHeader { kind, message_len, payload_len, body_crc }.encode();
        let mut parts = [IoSlice::new(&header), IoSlice::new(message), IoSlice::new(payload)];
        self.half.write_all(&mut parts, deadline).map_err(|error| {
            self.cut_off = true;
            match error.kind() {
                io::ErrorKind::TimedOut => SendError::TimedOut,
                io::ErrorKind::BrokenPipe => SendError::Closed,
                _ => SendError::Io(error),
            }
        })
    }

    /// The channel's codec.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The half below, whose control ends waits.
    #[must_use]
    pub fn half(&self) -> &WriteHalf {
        &self.half
    }
}

/// CRC-32C of a frame's body.
pub(crate) fn body_crc(message: &[u8], payload: &[u8]) -> u32 {
    if payload.is_empty() {
        return crc32c(message);
    }
    let mut crc = Checksum::crc32c();
    crc.update(message);
    crc.update(payload);
    crc.value()
}
