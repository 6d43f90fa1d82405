//! What items that completed have to show.

use crate::Buffer;

/// Outputs of consecutive items.
#[derive(Debug)]
pub enum Outputs {
    /// One entry for each item: varint length, output bytes ([`crate::entries`]).
    Entries(Buffer),
    /// The only item's output, which lies in the job's store already: whoever received it put it there, so that it need not wait in memory.
    Stored(BlobRef),
}

impl Outputs {
    /// The entries; none of what is stored.
    #[must_use]
    pub fn as_entries(&self) -> &[u8] {
        match self {
            Self::Entries(bytes) => bytes,
            Self::Stored(_) => &[],
        }
    }
}

impl From<Buffer> for Outputs {
    fn from(bytes: Buffer) -> Self {
        Self::Entries(bytes)
    }
}

/// Names a large output: its length and its BLAKE3 hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// Length in bytes.
    pub len: u64,
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
}
