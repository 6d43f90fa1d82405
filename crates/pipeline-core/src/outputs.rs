//! What items that completed have to show.

use crate::Buffer;

/// Files that one item may write with [`crate::Context::output_writer`].
pub const OUTPUT_FILES_MAX: usize = 16;

/// Outputs of consecutive items.
#[derive(Debug)]
pub enum Outputs {
    /// One entry for each item: varint length, output bytes ([`crate::entries`]).
    Entries(Buffer),
    /// The only item's output, of which something lies in the job's store already: whoever received it put it there, so that it need not
    /// wait in memory.
    Stored(StoredOutput<Buffer>),
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

/// One item's output, and the files that it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOutput<B> {
    /// What the processor returned.
    pub body: OutputBody<B>,
    /// What it wrote on its way, at most [`OUTPUT_FILES_MAX`] of them; the output says which is which.
    pub files: Vec<BlobRef>,
}

/// An encoded output, or the name under which it lies in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputBody<B> {
    /// The bytes.
    Inline(B),
    /// Its name.
    Blob(BlobRef),
}

impl<B> StoredOutput<B> {
    /// Everything of it that lies in the store under a name.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        let body = match &self.body {
            OutputBody::Inline(_) => None,
            OutputBody::Blob(blob) => Some(blob),
        };
        body.into_iter().chain(&self.files)
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
