//! Directories that only their owner may enter.

use std::path::Path;

/// The temporary directory belongs to the user, and what is made in it inherits its access list.
pub(crate) fn private_builder<'a>() -> tempfile::Builder<'a, 'a> {
    tempfile::Builder::new()
}

/// Whether this is a directory and no link to one.
pub(crate) fn is_private(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}
