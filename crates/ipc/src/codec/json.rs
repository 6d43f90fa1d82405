//! The only module that names `serde_json`.

use serde::Serialize;
use serde::de::DeserializeOwned;

type Reason = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Reason> {
    serde_json::to_writer(out, value).map_err(Into::into)
}

/// `serde_json` itself refuses what follows the value, but for white space.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), Reason> {
    serde_json::from_slice(bytes).map(|value| (value, bytes.len())).map_err(Into::into)
}
