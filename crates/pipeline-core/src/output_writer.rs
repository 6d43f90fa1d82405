//! Outputs that are too large to be returned: a processor writes them into files that become part of its item's outcome.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Write};

/// One file that an item wrote, for the processor to put wherever it likes in its output: plain numbers that travel with it. The host
/// opens the content with the outcome that this came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OutputFile {
    /// Its place among the files that the item finished: 0, 1, 2…
    pub index: u32,
    /// Its length in bytes.
    pub len: u64,
}

/// Where an [`OutputWriter`]'s bytes go.
pub trait OutputSink: Write + Send {
    /// Everything is written, and the file is a part of the item's outcome if that is a success.
    ///
    /// # Errors
    /// When the rest could not be written, or the item has ended.
    fn finish(&mut self) -> io::Result<OutputFile>;
}

/// Writes one file of an item's output: made by [`crate::Context::output_writer`], buffered, and not tied to the context, so that it can be given
/// to another thread. What is written goes to the disk and not to the host, whose memory it never touches.
///
/// Only [`OutputWriter::finish`] makes the file a part of the outcome. Dropped without it, all that was written is forgotten; so it is
/// when the attempt fails or its worker dies.
pub struct OutputWriter(Box<dyn OutputSink>);

impl OutputWriter {
    /// A writer to this sink.
    #[must_use]
    pub fn new(sink: Box<dyn OutputSink>) -> Self {
        Self(sink)
    }

    /// Ends the file: what is returned names it. The file is durable when the item's outcome is.
    ///
    /// # Errors
    /// As those of writing: with `?` the attempt fails as one that may work next time.
    pub fn finish(mut self) -> io::Result<OutputFile> {
        self.0.finish()
    }
}

impl Write for OutputWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl fmt::Debug for OutputWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutputWriter")
    }
}

/// The place that the host has for an output gave way: its disk is full or broken. The item is not at fault, so an error that has this among its
/// sources becomes a [`crate::Failure`] that is tried again.
#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written: {0}")]
pub struct OutputLost(#[source] pub io::Error);

impl OutputLost {
    /// As an error of writing, which has it among its sources.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        io::Error::new(self.0.kind(), Inside(self))
    }
}

/// Of what an [`io::Error`] is made of only the sources are found again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Inside(#[source] OutputLost);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, FailureKind};

    #[test]
    fn a_full_disk_under_an_output_is_tried_again_however_it_was_wrapped() {
        #[derive(Debug, thiserror::Error)]
        #[error("the archive cannot be packed")]
        struct Pack(#[from] io::Error);

        let lost = || OutputLost(io::ErrorKind::StorageFull.into()).into_io();
        assert_eq!(lost().kind(), io::ErrorKind::StorageFull);
        for failure in [Failure::from(lost()), Failure::from(Pack(lost()))] {
            assert_eq!(failure.kind, FailureKind::Transient, "{failure:?}");
            assert!(
                failure.message.contains("the output cannot be written: no storage space"),
                "{failure:?}"
            );
        }
        let of_input = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(of_input.kind, FailureKind::InvalidInput);
    }
}
