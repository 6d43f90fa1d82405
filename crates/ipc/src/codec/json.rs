//! The only module that names `serde_json`.

use super::Bounded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

type Reason = Box<dyn std::error::Error + Send + Sync>;

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.append(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Bounded<'_>) -> Result<(), Reason> {
    serde_json::to_writer(out, value).map_err(Into::into)
}

pub(super) fn encode_to<T: Serialize + ?Sized>(value: &T, to: &mut dyn Write) -> Result<(), Reason> {
    serde_json::to_writer(to, value).map_err(Into::into)
}

/// `serde_json` itself refuses what follows the value, but for white space.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Reason> {
    serde_json::from_slice(bytes).map(|value| (value, bytes.len())).map_err(Into::into)
}

/// Refuses what follows, too.
pub(super) fn decode_from<T: DeserializeOwned>(from: &mut dyn Read) -> Result<T, Reason> {
    serde_json::from_reader(from).map_err(Into::into)
}
