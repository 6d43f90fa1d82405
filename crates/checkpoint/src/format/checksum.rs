//! CRC32C (Castagnoli). It detects damage, not tampering.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of one piece.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of two pieces as if they were one.
pub(crate) fn crc_of_two(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    digest.finalize() as u32
}
