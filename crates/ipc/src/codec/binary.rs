//! The only module that names bincode (docs/adr/0002-bincode.md).

use super::Bounded;
use super::DECODE_BYTES_MAX;
use bincode::config::{Configuration, Limit, LittleEndian, NoLimit, Varint};
use bincode::de::read::Reader;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};

type Reason = Box<dyn std::error::Error + Send + Sync>;

/// What a decode may claim of memory and read of bytes, whatever the lengths in it say.
const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

/// For what this program's own side encoded.
const UNBOUNDED: Configuration<LittleEndian, Varint, NoLimit> = bincode::config::standard();

struct Append<'a, 'b>(&'b mut Bounded<'a>);

impl Writer for Append<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.0.append(bytes) { Ok(()) } else { Err(EncodeError::Other("too long")) }
    }
}

struct Stream<T>(T);

impl Writer for Stream<&mut dyn Write> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.write_all(bytes).map_err(|error| EncodeError::OtherString(error.to_string()))
    }
}

impl Reader for Stream<&mut dyn Read> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        self.0.read_exact(bytes).map_err(|error| DecodeError::OtherString(error.to_string()))
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Bounded<'_>) -> Result<(), Reason> {
    bincode::serde::encode_into_writer(value, Append(out), UNBOUNDED).map_err(Into::into)
}

pub(super) fn encode_to<T: Serialize + ?Sized>(value: &T, to: &mut dyn Write) -> Result<(), Reason> {
    bincode::serde::encode_into_writer(value, Stream(to), UNBOUNDED).map_err(Into::into)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Reason> {
    bincode::serde::decode_from_slice(bytes, CONFIG).map_err(Into::into)
}

pub(super) fn decode_trusted<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Reason> {
    bincode::serde::decode_from_slice(bytes, UNBOUNDED).map_err(Into::into)
}

pub(super) fn decode_from<T: DeserializeOwned>(from: &mut dyn Read) -> Result<T, Reason> {
    bincode::serde::decode_from_reader(Stream(from), UNBOUNDED).map_err(Into::into)
}
