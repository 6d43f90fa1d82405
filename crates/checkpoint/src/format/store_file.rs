//! STORE: what a directory of jobs says about itself; written once.

use super::bytes::Reader;
use super::checksum::crc;

/// The first bytes of a STORE file.
pub(crate) const MAGIC: [u8; 8] = *b"CFDMSTO1";
/// Format version of stores.
pub(crate) const VERSION: u32 = 2;
/// The version before: its stores are read, and migrated before anybody works on them.
pub(crate) const VERSION_BEFORE: u32 = 1;
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

/// What STORE says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreFile {
    pub(crate) version: u32,
    pub(crate) uuid: [u8; 16],
}

impl StoreFile {
    /// Where the jobs of such a store lie: those of two versions can lie side by side while a store is migrated.
    pub(crate) fn jobs_dir(&self) -> &'static str {
        if self.version == VERSION_BEFORE { JOBS_BEFORE } else { JOBS }
    }
}

/// The directory of jobs.
pub(crate) const JOBS: &str = "jobs-2";
/// That of the version before.
pub(crate) const JOBS_BEFORE: &str = "jobs";

pub(crate) fn encode(uuid: [u8; 16]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&uuid);
    let sum = crc(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<StoreFile, StoreFileFault> {
    if bytes.len() != LEN || crc(&bytes[..LEN - 4]).to_le_bytes() != bytes[LEN - 4..] {
        return Err(StoreFileFault::Damaged);
    }
    let mut r = Reader(bytes);
    let fields =
        (|| Ok::<_, super::bytes::Malformed>((r.array::<8>()?, r.u32()?, r.u32()?, r.array::<16>()?)))();
    match fields {
        Ok((MAGIC, version @ VERSION_BEFORE..=VERSION, 0, uuid)) => Ok(StoreFile { version, uuid }),
        Ok((MAGIC, VERSION_BEFORE..=VERSION, incompat, _)) => Err(StoreFileFault::Newer(incompat)),
        Ok((MAGIC, version, _, _)) => Err(StoreFileFault::Newer(version)),
        Ok(_) | Err(_) => Err(StoreFileFault::Damaged),
    }
}
