//! Directories that only their owner may enter.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes directories with mode 0700 (the default is whatever the umask leaves).
pub(crate) fn private_builder<'a>() -> tempfile::Builder<'a, 'a> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o700));
    builder
}

/// Whether this is a directory (no link to one) that belongs to this process's user and admits nobody else.
pub(crate) fn is_private(path: &Path) -> bool {
    let is_ours = |meta: Metadata| {
        meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0
    };
    fs::symlink_metadata(path).is_ok_and(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_directory_admits_nobody_else() {
        let private = private_builder().tempdir().unwrap();
        assert!(is_private(private.path()));
        fs::set_permissions(private.path(), Permissions::from_mode(0o750)).unwrap();
        assert!(!is_private(private.path()));
    }

    #[test]
    fn a_link_to_a_private_directory_is_none() {
        let private = private_builder().tempdir().unwrap();
        let link = private.path().join("link");
        std::os::unix::fs::symlink(private.path(), &link).unwrap();
        assert!(!is_private(&link));
    }
}
