//! What an executor under test lends to its workers.

use cofferdam_isolation::{StagedOutput, Workspace};
use cofferdam_pipeline_core::BlobRef;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, io};

/// A directory of its own, for scratch directories and staged files; what is kept of those is kept in memory.
#[derive(Debug)]
pub struct Place {
    dir: tempfile::TempDir,
    scratch: PathBuf,
    staged: AtomicU64,
    kept: Kept,
}

type Kept = Arc<Mutex<HashMap<[u8; 32], Vec<u8>>>>;

#[derive(Debug)]
struct Staged {
    path: PathBuf,
    kept: Kept,
}

impl Place {
    /// One that nobody has used.
    #[must_use]
    pub fn fresh() -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = dir.path().join("scratch");
        fs::create_dir(dir.path().join("staging")).expect("a directory in it");
        Arc::new(Self { scratch, dir, staged: AtomicU64::new(0), kept: Kept::default() })
    }

    /// What was kept under this name.
    #[must_use]
    pub fn kept(&self, blob: &BlobRef) -> Vec<u8> {
        let content = self.kept.lock().expect("no holder panics")[&blob.hash].clone();
        assert_eq!(content.len() as u64, blob.len);
        content
    }

    /// Files that are staged and neither kept nor discarded.
    #[must_use]
    pub fn staged(&self) -> usize {
        fs::read_dir(self.dir.path().join("staging")).expect("it is there").count()
    }
}

impl Workspace for Place {
    fn scratch(&self) -> Option<&Path> {
        Some(&self.scratch)
    }

    fn stages(&self) -> bool {
        true
    }

    fn stage(&self) -> io::Result<Box<dyn StagedOutput>> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.path().join("staging").join(number.to_string());
        fs::File::create_new(&path)?;
        Ok(Box::new(Staged { path, kept: self.kept.clone() }))
    }
}

impl StagedOutput for Staged {
    fn path(&self) -> &Path {
        &self.path
    }

    fn keep(self: Box<Self>, len: u64, crc32: u32) -> io::Result<BlobRef> {
        let content = fs::read(&self.path)?;
        let found = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &content) as u32;
        if (content.len() as u64, found) != (len, crc32) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let hash = *blake3::hash(&content).as_bytes();
        self.kept.lock().expect("no holder panics").insert(hash, content);
        Ok(BlobRef { len, hash })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        fs::remove_file(&self.path).expect("it is there until it is dropped");
    }
}
