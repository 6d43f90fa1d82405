//! A file in memory, for tests of what reads and writes single files.

use super::lead::lock;
use crate::disk::DiskFile;
use std::io;
use std::sync::Mutex;

/// Remembers its content and in which pieces that was written.
#[derive(Debug, Default)]
pub(crate) struct TestFile {
    pub(crate) content: Mutex<Vec<u8>>,
    pub(crate) pieces: Mutex<Vec<(u64, usize)>>,
}

impl DiskFile for TestFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.content);
        let rest = content.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = lock(&self.content);
        let end = offset as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        lock(&self.pieces).push((offset, bytes.len()));
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content).len() as u64)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}
