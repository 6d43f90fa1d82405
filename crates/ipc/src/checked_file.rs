//! Files that one side writes and the other one reads.

use crate::{Checksum, Codec, CodecError};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// What is written at once: not more than the processor's cache holds, where the checksum finds it.
const WRITE_BYTES: usize = 256 << 10;

/// A file that is counted and checksummed as it is written.
#[derive(Debug)]
pub struct CheckedFile {
    file: File,
    written: u64,
    crc: Checksum,
    error: Option<io::Error>,
}

/// A value is not in its file, of which nobody knows what it holds.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The value cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl CheckedFile {
    /// Writes into an empty file.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, written: 0, crc: Checksum::crc32(), error: None }
    }

    /// Writes the encoding of `value`, which is never in memory as a whole.
    ///
    /// # Errors
    /// [`NotWritten`]
    pub fn encode<T: Serialize + ?Sized>(&mut self, codec: Codec, value: &T) -> Result<(), NotWritten> {
        let mut to = BufWriter::with_capacity(WRITE_BYTES, &mut *self);
        let encoded = codec.encode_to(value, &mut to);
        let flushed = if encoded.is_ok() { to.flush() } else { Ok(()) };
        drop(to.into_parts()); // what is still in the buffer is of no use
        // What could not be written is the reason, not what the codec made of that.
        match self.error.take() {
            Some(error) => Err(error.into()),
            None => Ok(encoded.map(|()| flushed)??),
        }
    }

    /// Writes these bytes.
    ///
    /// # Errors
    /// That of the system, whole; after it nobody knows what the file holds.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).map_err(|error| self.error.take().unwrap_or(error))
    }

    /// Bytes that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Their CRC-32: that of zlib, gzip and PNG.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.crc.value()
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Write for CheckedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(&bytes[..bytes.len().min(WRITE_BYTES)]) {
            Ok(written) => {
                self.written += written as u64;
                self.crc.update(&bytes[..written]);
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.error.get_or_insert(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_bytes::ByteBuf;

    #[test]
    fn long_and_short_pieces_are_counted_and_checksummed_as_they_come() {
        let mut file = CheckedFile::new(tempfile::tempfile().unwrap());
        let value = (ByteBuf::from(vec![7; 3 * WRITE_BYTES + 5]), "and a few short ones", 9_u8);
        file.encode(Codec::Bincode, &value).unwrap();
        file.append(b"behind it").unwrap();

        let mut expected = Vec::new();
        Codec::Bincode.encode(&value, &mut expected).unwrap();
        expected.extend_from_slice(b"behind it");
        let mut found = vec![0; expected.len() + 1];
        let mut reader = file.file();
        io::Seek::rewind(&mut reader).unwrap();
        let len = io::Read::read(&mut reader, &mut found).unwrap();
        assert_eq!(found[..len], expected);
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &expected) as u32;
        assert_eq!((file.written(), file.crc32()), (expected.len() as u64, crc));
    }

    #[test]
    fn the_file_and_not_the_codec_is_to_blame_for_what_cannot_be_written() {
        let read_only = File::open(std::env::current_exe().unwrap()).unwrap();
        for value in [ByteBuf::from(vec![7; 2 * WRITE_BYTES]), ByteBuf::from(vec![7; 3])] {
            let mut file = CheckedFile::new(read_only.try_clone().unwrap());
            let refused = file.encode(Codec::Bincode, &value).unwrap_err();
            assert!(
                matches!(&refused, NotWritten::Io(error) if error.raw_os_error().is_some()),
                "{refused:?}"
            );
            assert!(file.append(b"bytes").unwrap_err().raw_os_error().is_some());
        }
    }

    #[test]
    fn what_has_no_encoding_is_told_from_what_cannot_be_written() {
        let mut file = CheckedFile::new(tempfile::tempfile().unwrap());
        let no_key_of_json = std::collections::BTreeMap::from([(vec![1], 1)]);
        let refused = file.encode(Codec::Json, &no_key_of_json).unwrap_err();
        assert!(matches!(refused, NotWritten::Codec(_)), "{refused:?}");
    }
}
