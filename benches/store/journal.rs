//! Stores to commit to.

use crate::support::case::Failed;
use cofferdam_checkpoint::{Batch, JobSpec, JobStore, Store, StoreOptions};
use cofferdam_pipeline_core::{Keying, push_entry_len};
use std::path::{Path, PathBuf};

/// Bytes of an output.
pub const OUTPUT_LEN: usize = 200;
/// The job's name.
pub const NAME: &str = "bench";

/// The store at `root`.
pub fn store(root: &Path) -> Result<Store, Failed> {
    Ok(Store::open(root, StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() })?)
}

/// What jobs are made with.
pub fn spec() -> JobSpec {
    JobSpec { processor: "bench".into(), version: 1, codec: 1, keying: Keying::Dense, config: Vec::new() }
}

/// A new job in a new store.
pub fn job(root: &Path) -> Result<JobStore, Failed> {
    Ok(store(root)?.create_job(NAME, &spec())?)
}

/// The output of an item: bytes that no compression shortens.
pub fn output(number: u64) -> [u8; OUTPUT_LEN] {
    let mut output = [0; OUTPUT_LEN];
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for part in output.chunks_mut(8) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        part.copy_from_slice(&bits.to_le_bytes()[..part.len()]);
    }
    output
}

/// So many outputs, as a batch takes them.
pub fn outputs(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..count {
        push_entry_len(&mut bytes, OUTPUT_LEN);
        bytes.extend_from_slice(&output(number as u64));
    }
    bytes
}

/// Outcomes of the items from `first` on.
pub fn batch(first: u64, count: usize, outputs: &[u8]) -> Result<Batch<'_>, Failed> {
    Ok(Batch::completed_dense(first, u32::try_from(count)?, 1, outputs)?)
}

/// The segments of all jobs below `dir`.
pub fn segments(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(segments(&entry.path())?);
        } else if entry.file_name().to_string_lossy().starts_with("seg-") {
            found.push(entry.path());
        }
    }
    Ok(found)
}
