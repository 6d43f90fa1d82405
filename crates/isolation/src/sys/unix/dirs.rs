//! Directories that only their owner may enter.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether this is a directory (no link to one) that belongs to this process's user and admits nobody else.
pub(crate) fn is_private(path: &Path) -> bool {
    let is_ours = |meta: Metadata| {
        meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0
    };
    fs::symlink_metadata(path).is_ok_and(is_ours)
}
