//! Frames, codec seam, handshake and channels between two programs that need not trust each other.
//!
//! From the bottom up: a [`Stream`] joins two processes; each side greets the other with the fixed tables of
//! [`handshake`], which settle the protocol version and the [`Codec`]; then a [`FrameSender`] and a [`FrameReceiver`],
//! each on a thread of its own, carry [`frame`]s of a codec-encoded message and raw payload bytes. Every length from
//! the peer is checked before memory is set aside for it, and every wait has a deadline or ends with the peer.
//!
//! The byte tables are in `docs/spec/wire-protocol.md`.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod checked_file;
mod checksum;
mod codec;
mod deadline;
mod decoder;
pub mod frame;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzzing;
pub mod handshake;
mod receiver;
mod sender;
mod stream;
mod sys;

pub use checked_file::{CheckedFile, NotWritten};
pub use checksum::Checksum;
pub use codec::{Codec, CodecError, CodecSet, DECODE_BYTES_MAX};
pub use decoder::{Decoded, decode_frame};
pub use frame::{FrameError, FrameHeader, FrameLimits, FrameTooLarge};
pub use receiver::{FrameReceiver, Received, RecvError};
pub use sender::{FrameSender, SendError};
pub use stream::{ChildEnd, ReadHalf, Stream, StreamControl, WriteHalf};
