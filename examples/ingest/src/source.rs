//! Folders as a keyed, re-openable source of items.
//!
//! - A key is the path relative to its folder, with `/` between names, as raw bytes; where several folders are given,
//!   each key starts with the last component of its folder.
//! - Hidden files and folders are skipped. Links to files are read; links to folders are not followed, so no loop of
//!   links can catch the walk and no file appears twice through one. FIFOs, sockets and devices are never opened.
//! - What cannot be listed or examined becomes an item all the same, so that its failure is on record.

use crate::engine::{Fingerprint, ItemSource, Keying, SourceError, SourceItem};
use crate::inject::{Rule, mischief_for};
use crate::item::FileItem;
use crate::sys;
use serde::Serialize;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;
use walkdir::{DirEntry, WalkDir};

/// The folders cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, or cannot be reached.
    #[error("cannot read the folder {}: {error}", path.display())]
    Unreadable {
        /// As the user gave it.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is a file or something else.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Everything in it would be skipped.
    #[error("{} lies inside {}, which this program writes to and never reads; choose another --out or --jobs", path.display(), excluded.display())]
    InsideOutputs {
        /// As the user gave it.
        path: PathBuf,
        /// The out or jobs folder.
        excluded: PathBuf,
    },
    /// The root of a file system has no last component for keys to start with.
    #[error("{} has no name that its keys could start with; give it as the only folder", .0.display())]
    Nameless(PathBuf),
    /// Keys of two folders would start alike.
    #[error("{} and {} are both called '{name}', so their keys clash; rename one or run two jobs", first.display(), second.display())]
    Clash {
        /// The one given first.
        first: PathBuf,
        /// The one given later.
        second: PathBuf,
        /// Their last component.
        name: String,
    },
}

/// What the last walk passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Files and folders whose name starts with a dot; a folder counts once.
    pub hidden: u64,
    /// FIFOs, sockets, devices.
    pub special: u64,
    /// Links to folders.
    pub folder_links: u64,
    /// Links whose target is missing, and links in a circle.
    pub broken_links: u64,
}

/// The folders of one run.
#[derive(Debug)]
pub struct Folders {
    roots: Vec<Root>,
    excluded: Vec<PathBuf>,
    rules: Vec<Rule>,
    skipped: Arc<Mutex<Skipped>>,
}

#[derive(Debug)]
struct Root {
    given: PathBuf,
    path: PathBuf,
    /// Ends with `/` unless empty.
    prefix: Vec<u8>,
}

impl Folders {
    /// Checks the folders. `excluded` must exist; nothing in them is ever an item.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn new(dirs: &[PathBuf], excluded: &[&Path], rules: Vec<Rule>) -> Result<Self, FolderError> {
        let excluded = excluded.iter().map(|path| canonical(path)).collect::<Result<Vec<_>, _>>()?;
        let mut roots: Vec<Root> = Vec::new();
        for dir in dirs {
            let path = canonical(dir)?;
            if !path.is_dir() {
                return Err(FolderError::NotAFolder(dir.clone()));
            }
            if let Some(excluded) = excluded.iter().find(|excluded| path.starts_with(excluded)) {
                return Err(FolderError::InsideOutputs { path: dir.clone(), excluded: excluded.clone() });
            }
            let prefix = if dirs.len() > 1 { prefix(dir, &path)? } else { Vec::new() };
            if let Some(first) = roots.iter().find(|root| !prefix.is_empty() && root.prefix == prefix) {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(FolderError::Clash { first: first.given.clone(), second: dir.clone(), name });
            }
            roots.push(Root { given: dir.clone(), path, prefix });
        }
        Ok(Self { roots, excluded, rules, skipped: Arc::default() })
    }

    /// Where the last walk's count of skipped files can be read, also after the source was given away.
    pub fn skipped(&self) -> Arc<Mutex<Skipped>> {
        self.skipped.clone()
    }

    fn walk<'a>(&'a self, root: &'a Root) -> Walk<'a> {
        let entries = WalkDir::new(&root.path).min_depth(1).sort_by_file_name().into_iter();
        Walk { folders: self, root, entries }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.excluded.iter().any(|excluded| path.starts_with(excluded))
    }

    fn count(&self, count: impl FnOnce(&mut Skipped)) {
        count(&mut self.skipped.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ItemSource for Folders {
    type Item = FileItem;

    fn keying(&self) -> Keying {
        Keying::Keyed
    }

    fn open(
        &mut self,
    ) -> Result<Box<dyn Iterator<Item = Result<SourceItem<FileItem>, SourceError>> + Send + '_>, SourceError>
    {
        self.count(|skipped| *skipped = Skipped::default());
        let folders: &Self = self;
        Ok(Box::new(folders.roots.iter().flat_map(|root| folders.walk(root))))
    }
}

fn canonical(path: &Path) -> Result<PathBuf, FolderError> {
    path.canonicalize().map_err(|error| FolderError::Unreadable { path: path.to_owned(), error })
}

fn prefix(given: &Path, path: &Path) -> Result<Vec<u8>, FolderError> {
    // The name as the user wrote it, even when it is a link; `.` and `..` have only the real one.
    let name =
        given.file_name().or(path.file_name()).ok_or_else(|| FolderError::Nameless(given.to_owned()))?;
    Ok([sys::name_bytes(name), b"/"].concat())
}

struct Walk<'a> {
    folders: &'a Folders,
    root: &'a Root,
    entries: walkdir::IntoIter,
}

impl Iterator for Walk<'_> {
    type Item = Result<SourceItem<FileItem>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            return match self.entries.next()? {
                Ok(entry) => match self.visit(&entry) {
                    Some(item) => Some(Ok(item)),
                    None => continue,
                },
                Err(error) if error.depth() == 0 => Some(Err(SourceError::new(error))),
                // A folder that cannot be listed, or an entry that vanished: the processor will find out and fail.
                Err(error) => match error.path() {
                    Some(path) => Some(Ok(self.item(path, None))),
                    None => Some(Err(SourceError::new(error))),
                },
            };
        }
    }
}

impl Walk<'_> {
    fn visit(&mut self, entry: &DirEntry) -> Option<SourceItem<FileItem>> {
        let is_dir = entry.file_type().is_dir();
        let is_hidden = sys::name_bytes(entry.file_name()).starts_with(b".");
        if is_dir && (is_hidden || self.folders.is_excluded(entry.path())) {
            self.entries.skip_current_dir();
        }
        // What this program writes is not worth a count, even in a hidden folder.
        if self.folders.is_excluded(entry.path()) {
            return None;
        }
        if is_hidden {
            self.folders.count(|skipped| skipped.hidden += 1);
            return None;
        }
        if is_dir {
            return None;
        }
        if entry.path_is_symlink() {
            return self.visit_link(entry.path());
        }
        if !entry.file_type().is_file() {
            self.folders.count(|skipped| skipped.special += 1);
            return None;
        }
        Some(self.item(entry.path(), entry.metadata().ok().as_ref()))
    }

    fn visit_link(&self, path: &Path) -> Option<SourceItem<FileItem>> {
        let target = path.canonicalize().and_then(|target| Ok((target.metadata()?, target)));
        match target {
            Err(_) => self.folders.count(|skipped| skipped.broken_links += 1),
            Ok((metadata, _)) if metadata.is_dir() => self.folders.count(|skipped| skipped.folder_links += 1),
            Ok((metadata, _)) if !metadata.is_file() => self.folders.count(|skipped| skipped.special += 1),
            Ok((_, target)) if self.folders.is_excluded(&target) => {}
            Ok((metadata, _)) => return Some(self.item(path, Some(&metadata))),
        }
        None
    }

    fn item(&self, path: &Path, metadata: Option<&Metadata>) -> SourceItem<FileItem> {
        let key = self.key(path);
        let mischief = mischief_for(&self.folders.rules, &key);
        SourceItem {
            key: Some(key.into_boxed_slice()),
            fingerprint: Some(metadata.map_or(UNEXAMINED, fingerprint)),
            item: FileItem { path: sys::path_to_bytes(path), mischief },
        }
    }

    fn key(&self, path: &Path) -> Vec<u8> {
        let relative = path.strip_prefix(&self.root.path).expect("the walk stays below its root");
        let mut key = self.root.prefix.clone();
        for (i, name) in relative.components().enumerate() {
            if i > 0 {
                key.push(b'/');
            }
            key.extend_from_slice(sys::name_bytes(name.as_os_str()));
        }
        key
    }
}

/// Of what could not be examined: differs from that of any file, so that the item is redone once it can be.
const UNEXAMINED: Fingerprint = Fingerprint([0xff; 16]);

/// Size and time of the last change.
fn fingerprint(metadata: &Metadata) -> Fingerprint {
    let modified = metadata.modified().map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as u64,
        Err(before) => (before.duration().as_nanos() as u64).wrapping_neg(),
    });
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&metadata.len().to_le_bytes());
    bytes[8..].copy_from_slice(&modified.to_le_bytes());
    Fingerprint(bytes)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
