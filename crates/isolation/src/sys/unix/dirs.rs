//! Directories that only their owner may enter.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
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

/// Makes a directory of mode 0700, and those above it that are not there.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a directory and all that is in it, also what its maker forbade itself to change (an unpacked archive often has
/// such directories). Links are removed, never followed.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            allow_removal(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    }
}

/// Lets the owner change every directory below. Without recursion: the tree may be deeper than our stack.
fn allow_removal(path: &Path) -> io::Result<()> {
    let mut waiting = vec![path.to_owned()];
    while let Some(dir) = waiting.pop() {
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_removed_although_its_maker_forbade_it_and_what_a_link_in_it_names_stays() {
        let (parent, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tree = parent.path().join("tree");
        create_private(&tree.join("locked/inner")).unwrap();
        fs::write(tree.join("locked/inner/file"), b"").unwrap();
        fs::write(elsewhere.path().join("kept"), b"").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), tree.join("locked/link")).unwrap();
        for (dir, mode) in [("locked/inner", 0o000), ("locked", 0o500)] {
            fs::set_permissions(tree.join(dir), Permissions::from_mode(mode)).unwrap();
        }

        remove_tree(&tree).unwrap();

        assert!(!tree.exists() && elsewhere.path().join("kept").exists());
    }

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
