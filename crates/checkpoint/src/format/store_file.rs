//! STORE: what a directory of jobs says about itself; written once.

use super::bytes::Reader;
use super::checksum::crc;

/// The first bytes of a STORE file.
pub(crate) const MAGIC: [u8; 8] = *b"CFDMSTO1";
/// Format version of stores.
pub(crate) const VERSION: u32 = 1;
/// Length of the file.
pub(crate) const LEN: usize = 36;

/// The fields as the spec lists them: offset, size, name.
#[cfg(test)]
pub(crate) const LAYOUT: &[(usize, usize, &str)] =
    &[(0, 8, "magic"), (8, 4, "version"), (12, 4, "incompat"), (16, 16, "store uuid"), (32, 4, "crc")];

/// Why a STORE file is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFileFault {
    Damaged,
    Newer(u32),
}

pub(crate) fn encode(uuid: [u8; 16]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&uuid);
    let sum = crc(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<[u8; 16], StoreFileFault> {
    if bytes.len() != LEN || crc(&bytes[..LEN - 4]).to_le_bytes() != bytes[LEN - 4..] {
        return Err(StoreFileFault::Damaged);
    }
    let mut r = Reader(bytes);
    let fields =
        (|| Ok::<_, super::bytes::Malformed>((r.array::<8>()?, r.u32()?, r.u32()?, r.array::<16>()?)))();
    match fields {
        Ok((MAGIC, VERSION, 0, uuid)) => Ok(uuid),
        Ok((MAGIC, VERSION, incompat, _)) => Err(StoreFileFault::Newer(incompat)),
        Ok((MAGIC, version, _, _)) => Err(StoreFileFault::Newer(version)),
        Ok(_) | Err(_) => Err(StoreFileFault::Damaged),
    }
}
