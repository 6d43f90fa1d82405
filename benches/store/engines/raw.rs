//! One write and one sync of the same outputs, into a file that was filled with zeros before: no frames, no checksums.

use super::Engine;
use crate::journal::OUTPUT_LEN;
use crate::support::case::Failed;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

pub struct Raw {
    file: Mutex<File>,
    outputs: Vec<u8>,
}

impl Raw {
    /// With room for `commits` commits of `records` outputs.
    pub fn new(path: &Path, commits: usize, records: usize) -> Result<Self, Failed> {
        let outputs = vec![7; records * OUTPUT_LEN];
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&vec![0; (commits * outputs.len()).next_multiple_of(4096)])?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file: Mutex::new(file), outputs })
    }
}

impl Engine for Raw {
    fn commit(&self, _first: u64, count: usize) -> Result<(), Failed> {
        let mut file = self.file.lock().map_err(|_| "a committer panicked")?;
        file.write_all(&self.outputs[..count * OUTPUT_LEN])?;
        Ok(file.sync_data()?)
    }
}
