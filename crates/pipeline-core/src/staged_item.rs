//! Items that are too large to wait in memory.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;

/// The encoding of one item, in a file on the host's machine. Its chunk has it until the item needs no further attempt.
pub struct StagedItem {
    /// Where the host put it; no worker had a say in that.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32 of its bytes: that of zlib, gzip and PNG.
    pub crc32: u32,
    /// Removes the file when it is dropped.
    pub keeper: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for StagedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StagedItem({} bytes in {})", self.len, self.path.display())
    }
}
