//! Frames out of a stream.

use crate::checksum::Checksum;
use crate::frame::{FrameError, FrameHeader, FrameLimits, HEADER_LEN};
use crate::{Codec, CodecError, ReadHalf};
use serde::de::DeserializeOwned;
use std::io;
use std::ops::Range;
use std::time::Instant;

/// What one read takes at most; frames up to this size cost one system call, or less when several arrived.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Reads frames.
#[derive(Debug)]
pub struct FrameReceiver {
    half: ReadHalf,
    codec: Codec,
    limits: FrameLimits,
    /// Read ahead: always large enough for a header and the largest message.
    buf: Box<[u8]>,
    /// What is read and not yet consumed.
    ahead: Range<usize>,
    /// Where the message of the latest frame is in `buf`.
    message: Range<usize>,
    /// A payload that a deadline interrupted.
    interrupted: Option<Incoming>,
    failed: Option<FrameError>,
}

/// A payload on its way in; `crc` covers the message and `bytes`.
#[derive(Debug)]
struct Incoming {
    header: FrameHeader,
    crc: Checksum,
    bytes: Vec<u8>,
}

/// A frame; its payload is in the buffer that was given to [`FrameReceiver::recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The kind of message.
    pub kind: u8,
    /// The encoded message.
    pub message: &'a [u8],
    codec: Codec,
}

impl Received<'_> {
    /// The message.
    ///
    /// # Errors
    /// When the bytes are not an encoding of `M`; the channel itself is intact.
    pub fn decode<M: DeserializeOwned>(&self) -> Result<M, CodecError> {
        self.codec.decode(self.message)
    }
}

/// No frame came.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The stream ended between two frames.
    #[error("the peer closed the channel")]
    Closed,
    /// The stream ended within a frame.
    #[error("the channel ended in the middle of a frame")]
    Truncated,
    /// The deadline passed. Nothing is lost: the next call goes on from here.
    #[error("no frame came in time")]
    TimedOut,
    /// The peer sent something else; every later call says the same.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Something else failed.
    #[error("receiving failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for RecvError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

impl FrameReceiver {
    /// Receives over `half`; a frame beyond `limits` is an error before any memory is set aside for it.
    #[must_use]
    pub fn new(half: ReadHalf, codec: Codec, limits: FrameLimits) -> Self {
        let limits = limits.min(FrameLimits::CEILING);
        let capacity = READ_AHEAD_BYTES.max(HEADER_LEN + limits.message_max as usize);
        let buf = vec![0; capacity].into_boxed_slice();
        Self { half, codec, limits, buf, ahead: 0..0, message: 0..0, interrupted: None, failed: None }
    }

    /// Waits for the next frame. `payload` is overwritten with its payload; give the same buffer again and again, then
    /// large payloads cost neither an allocation nor a page fault. Its content is unspecified after an error.
    ///
    /// # Errors
    /// [`RecvError`]
    pub fn recv(
        &mut self,
        payload: &mut Vec<u8>,
        deadline: Option<Instant>,
    ) -> Result<Received<'_>, RecvError> {
        if let Some(error) = self.failed {
            return Err(error.into());
        }
        let kind = self.recv_frame(payload, deadline).inspect_err(|error| {
            if let RecvError::Frame(error) = error {
                self.failed = Some(*error);
            }
        })?;
        Ok(Received { kind, message: &self.buf[self.message.clone()], codec: self.codec })
    }

    /// The half below, whose control ends waits.
    #[must_use]
    pub fn half(&self) -> &ReadHalf {
        &self.half
    }

    fn recv_frame(&mut self, payload: &mut Vec<u8>, deadline: Option<Instant>) -> Result<u8, RecvError> {
        let mut incoming = match self.interrupted.take() {
            Some(incoming) => incoming,
            None => {
                let header = self.recv_message(deadline)?;
                self.begin_payload(header, std::mem::take(payload))?
            }
        };
        let result = self.recv_payload(&mut incoming, deadline);
        if matches!(result, Err(RecvError::TimedOut)) {
            self.interrupted = Some(incoming);
            return Err(RecvError::TimedOut);
        }
        *payload = incoming.bytes;
        result?;
        if incoming.crc.value() != incoming.header.body_crc {
            return Err(FrameError::BodyChecksum.into());
        }
        Ok(incoming.header.kind)
    }

    /// Reads ahead until a header and its message are there, and consumes both.
    fn recv_message(&mut self, deadline: Option<Instant>) -> Result<FrameHeader, RecvError> {
        loop {
            if let Some(header) = FrameHeader::decode(&self.buf[self.ahead.clone()], &self.limits)? {
                let start = self.ahead.start + HEADER_LEN;
                let end = start + header.message_len as usize;
                if end <= self.ahead.end {
                    self.message = start..end;
                    self.ahead.start = end;
                    return Ok(header);
                }
            }
            self.read_ahead(deadline)?;
        }
    }

    fn read_ahead(&mut self, deadline: Option<Instant>) -> Result<(), RecvError> {
        self.buf.copy_within(self.ahead.clone(), 0);
        self.ahead = 0..self.ahead.len();
        match self.half.read(&mut self.buf[self.ahead.end..], deadline)? {
            0 if self.ahead.is_empty() => Err(RecvError::Closed),
            0 => Err(RecvError::Truncated),
            read => {
                self.ahead.end += read;
                Ok(())
            }
        }
    }

    /// Takes what was read ahead of the payload. `bytes` is the buffer to fill.
    fn begin_payload(&mut self, header: FrameHeader, mut bytes: Vec<u8>) -> Result<Incoming, RecvError> {
        let payload_len = header.payload_len as usize;
        let ahead = self.ahead.start..self.ahead.end.min(self.ahead.start + payload_len);
        let mut crc = Checksum::crc32c();
        crc.update(&self.buf[self.message.start..ahead.end]);
        bytes.clear();
        // The length is within the limits, and memory that the peer never fills is never touched.
        bytes.try_reserve_exact(payload_len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        bytes.extend_from_slice(&self.buf[ahead.clone()]);
        self.ahead.start = ahead.end;
        Ok(Incoming { header, crc, bytes })
    }

    fn recv_payload(&mut self, incoming: &mut Incoming, deadline: Option<Instant>) -> Result<(), RecvError> {
        loop {
            let start = incoming.bytes.len();
            let missing = incoming.header.payload_len as usize - start;
            if missing == 0 {
                return Ok(());
            }
            if self.half.read_append(&mut incoming.bytes, missing, deadline)? == 0 {
                return Err(RecvError::Truncated);
            }
            // While the new bytes are still in the processor's cache.
            incoming.crc.update(&incoming.bytes[start..]);
        }
    }
}
