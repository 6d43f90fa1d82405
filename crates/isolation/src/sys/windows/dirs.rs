//! Directories that only their owner may enter.

use std::io;
use std::path::Path;

/// The temporary directory belongs to the user, and what is made in it inherits its access list.
pub(crate) fn private_builder<'a>() -> tempfile::Builder<'a, 'a> {
    tempfile::Builder::new()
}

/// Whether this is a directory and no link to one.
pub(crate) fn is_private(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Makes a directory, which inherits the access list of the one it is made in, and those above it that are not there.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Removes a directory and all that is in it. Links are removed, never followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}
