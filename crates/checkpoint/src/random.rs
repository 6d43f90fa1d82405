//! Salts, nonces and uuids.

use std::io;
use std::path::Path;

use crate::StoreError;

/// Random bytes from the system.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        StoreError::io("get random bytes for", Path::new("a new file"), io::Error::other(error.to_string()))
    })?;
    Ok(bytes)
}

pub(crate) fn number() -> Result<u64, StoreError> {
    bytes().map(u64::from_le_bytes)
}
