//! The files that an item wrote beside its output, as the host reads them.

use crate::{Outcome, OutcomeError};
use cofferdam_checkpoint::{BlobReader, BlobRef, Blobs};
use cofferdam_pipeline_core::OutputFile;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// Where the files of an outcome lie.
#[derive(Clone)]
pub(crate) struct Files {
    blobs: Arc<Blobs>,
    names: Arc<[BlobRef]>,
}

impl Files {
    pub fn new(blobs: &Arc<Blobs>, names: Vec<BlobRef>) -> Self {
        Self { blobs: blobs.clone(), names: names.into() }
    }
}

/// The same content is the same file, whatever store it lies in.
impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for Files {}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names.iter().map(|name| name.len)).finish()
    }
}

impl<T> Outcome<T> {
    /// The files that the item wrote with [`Context::output_writer`](crate::Context::output_writer), in the order in which it finished them.
    pub fn files(&self) -> impl Iterator<Item = OutputFile> {
        let names = self.files.iter().flat_map(|files| files.names.iter());
        (0..).zip(names).map(|(index, name)| OutputFile { index, len: name.len })
    }

    /// Opens a file that the item wrote, to be read piece by piece in constant memory. `file` is what the processor put into its
    /// output. The reader may outlive the outcome and the job.
    ///
    /// # Errors
    /// [`OutcomeError::NoSuchFile`] when this outcome has no such file, [`OutcomeError::Store`] when it cannot be opened or has another length than
    /// was committed.
    pub fn open(&self, file: OutputFile) -> Result<OutputReader, OutcomeError> {
        let (files, name) = self.find(file)?;
        Ok(OutputReader(files.blobs.open(&name)?))
    }

    /// Reads a file that the item wrote whole, into memory.
    ///
    /// # Errors
    /// As [`Outcome::open`], and [`OutcomeError::Store`] when the content is not what was committed.
    pub fn read(&self, file: OutputFile) -> Result<Vec<u8>, OutcomeError> {
        let (files, name) = self.find(file)?;
        Ok(files.blobs.read(&name)?)
    }

    fn find(&self, file: OutputFile) -> Result<(&Files, BlobRef), OutcomeError> {
        let found = self.files.as_ref().and_then(|files| {
            let name = files.names.get(usize::try_from(file.index).ok()?)?;
            (name.len == file.len).then_some((files, *name))
        });
        found.ok_or_else(|| OutcomeError::NoSuchFile { key: self.key.clone(), file })
    }
}

/// Reads one file of an outcome from its beginning to its end; every read is one of the disk, so large pieces are better than small
/// ones ([`std::io::copy`] will do).
///
/// The content is checked against what was committed while it is read. If it is not that, the read that would return the last bytes fails
/// instead, with [`std::io::ErrorKind::InvalidData`] and [`crate::StoreError::BlobDamaged`] inside: what came before was not verified until then. So whoever
/// acts on the content does so after the end.
pub struct OutputReader(BlobReader);

impl OutputReader {
    /// The file's length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a reader's end is seen by reading")]
    pub fn len(&self) -> u64 {
        self.0.len()
    }
}

impl Read for OutputReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl fmt::Debug for OutputReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputReader({} bytes)", self.0.len())
    }
}
