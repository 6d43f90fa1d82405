//! An item that came in a file, since it is too large for a frame and for the host's memory.

use cofferdam_ipc::{Checksum, Codec};
use cofferdam_pipeline_core::{Failure, StagedItem};
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;

/// What is read at once.
const READ_BYTES: usize = 256 << 10;

/// Where an item lies, and what the host wrote there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagedFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    pub(crate) crc32: u32,
}

/// The file is not what the host wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it has {found} bytes and had {len}")]
    Length { len: u64, found: u64 },
    #[error("it is no file")]
    NoFile,
    #[error("its checksum does not match")]
    Checksum,
}

impl StagedFile {
    pub(crate) fn of(staged: &StagedItem) -> Self {
        Self { path: staged.path.clone(), len: staged.len, crc32: staged.crc32 }
    }

    /// The item. Its encoding is never in memory as a whole: the file is read once to check it, and again, out of the cache, to decode it.
    pub(crate) fn read<T: DeserializeOwned>(&self, codec: Codec, name: &str) -> Result<T, Failure> {
        let mut file = self.open_checked().map_err(|damaged| transient(name, &damaged))?;
        file.rewind().map_err(|error| transient(name, &error.into()))?;
        let read = codec.decode_trusted_from(&mut BufReader::with_capacity(READ_BYTES, file));
        // Somebody may have cut the file behind the check: then it is not the item that is wrong.
        read.map_err(|error| match self.open_checked() {
            Ok(_) => super::lease::unreadable_item(name, &error),
            Err(damaged) => transient(name, &damaged),
        })
    }

    fn open_checked(&self) -> Result<File, Damaged> {
        let meta = fs::symlink_metadata(&self.path)?;
        if !meta.is_file() {
            return Err(Damaged::NoFile);
        }
        if meta.len() != self.len {
            return Err(Damaged::Length { len: self.len, found: meta.len() });
        }
        let mut file = File::open(&self.path)?;
        let (mut bytes, mut crc, mut found) = (vec![0; READ_BYTES], Checksum::crc32(), 0);
        loop {
            match file.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => {
                    crc.update(&bytes[..read]);
                    found += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found != self.len {
            return Err(Damaged::Length { len: self.len, found });
        }
        if crc.value() == self.crc32 { Ok(file) } else { Err(Damaged::Checksum) }
    }
}

/// The item is not at fault, and another try may find the file as it was.
fn transient(name: &str, damaged: &Damaged) -> Failure {
    Failure::transient(format!("the file with an item of {name} is not as its host wrote it: {damaged}"))
}
