//! The only module that names bincode (docs/adr/0002-bincode.md).

use super::DECODE_BYTES_MAX;
use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::Serialize;
use serde::de::DeserializeOwned;

type Reason = Box<dyn std::error::Error + Send + Sync>;

/// What a decode may claim of memory and read of bytes, whatever the lengths in it say.
const CONFIG: Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();

struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Reason> {
    bincode::serde::encode_into_writer(value, Append(out), CONFIG).map_err(Into::into)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Reason> {
    bincode::serde::decode_from_slice(bytes, CONFIG).map_err(Into::into)
}
