//! The checksums of what host and worker exchange: CRC-32C (Castagnoli) for frames, CRC-32 for files.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A checksum over bytes that arrive in pieces.
#[derive(Clone, Debug)]
pub struct Checksum(Digest);

impl Checksum {
    pub(crate) fn crc32c() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// CRC-32 as zlib, gzip and PNG have it, of nothing so far. Every language has it in its standard library, and files are long.
    #[must_use]
    pub fn crc32() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32IsoHdlc))
    }

    /// Goes on with these.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}
