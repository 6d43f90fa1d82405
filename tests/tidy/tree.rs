//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, read as text; bytes that are not UTF-8 are replaced.
pub struct File {
    /// Relative to the repository, with `/` on every system.
    pub path: String,
    pub text: String,
}

/// Not ours to judge: what git keeps, what cargo and the tools write (.gitignore), and the lock file, which names its registry.
const SKIPPED: [&str; 5] = [".git", "target", "ingest-out", "Cargo.lock", "mutants.out"];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("cannot read {path}: {e}"))
}

/// Every file below `folder` (`""` for the whole repository), sorted by path.
pub fn files(folder: &str) -> Vec<File> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    let files: Vec<File> = paths.iter().map(|path| load(path)).collect();
    assert!(!files.is_empty(), "no file below {folder:?}: the check looks in the wrong place");
    files
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
    for entry in entries.map(|entry| entry.expect("a readable folder")) {
        let name = entry.file_name();
        if SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let kind = entry.file_type().expect("the kind of a file");
        if kind.is_dir() {
            collect(&entry.path(), paths);
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

fn load(path: &Path) -> File {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    let relative = path.strip_prefix(root()).expect("collected below the root");
    let path = relative.to_string_lossy().replace('\\', "/");
    File { path, text: String::from_utf8_lossy(&bytes).into_owned() }
}
