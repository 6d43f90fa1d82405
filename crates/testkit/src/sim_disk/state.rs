//! What is on the medium and what is only in memory.

use super::fault::Faults;
use cofferdam_checkpoint::OpenMode;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const PAGE: usize = 4096;
/// Forms of a page between two syncs that are remembered: the first and the last ones.
const FORMS_MAX: usize = 3;
const ROOT: u64 = 0;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Changes of directories that are not durable yet, in order.
    pub(super) pending: Vec<DirChange>,
    pub(super) locked: BTreeSet<u64>,
    pub(super) faults: Faults,
    next_id: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir(Dir),
    File(File),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Dir {
    pub(super) live: BTreeMap<OsString, u64>,
    pub(super) durable: BTreeMap<OsString, u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) live: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    /// By page, the forms it had since the last sync, oldest first.
    pub(super) dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// One change of one directory that a power cut takes or leaves as a whole.
#[derive(Clone, Debug)]
pub(super) struct DirChange {
    pub(super) dir: u64,
    pub(super) unlink: Option<OsString>,
    pub(super) link: Option<(OsString, u64)>,
}

impl Default for State {
    fn default() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Dir(Dir::default()))]);
        Self { nodes, pending: Vec::new(), locked: BTreeSet::new(), faults: Faults::default(), next_id: 1 }
    }
}

impl State {
    pub(super) fn lookup(&self, path: &Path) -> io::Result<u64> {
        path.iter()
            .filter(|name| *name != ".")
            .try_fold(ROOT, |id, name| self.dir(id)?.live.get(name).copied().ok_or_else(not_found))
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.add(path, Node::Dir(Dir::default())).map(drop)
    }

    pub(super) fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.dir(self.lookup(path)?)?.live.keys().cloned().collect())
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        match (self.lookup(path), mode) {
            (Ok(_), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Ok(id), OpenMode::Read | OpenMode::ReadWrite | OpenMode::Create) => self.file(id).map(|_| id),
            (Err(_), OpenMode::Create | OpenMode::CreateNew) => self.add(path, Node::File(File::default())),
            (Err(error), OpenMode::Read | OpenMode::ReadWrite) => Err(error),
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.lookup(from)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if let Ok(existing) = self.lookup(to)
            && let Ok(dir) = self.dir(existing)
            && !dir.live.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if from_dir == to_dir {
            self.change(DirChange { dir: to_dir, unlink: Some(from_name), link: Some((to_name, id)) })
        } else {
            self.change(DirChange { dir: to_dir, unlink: None, link: Some((to_name, id)) })?;
            self.change(DirChange { dir: from_dir, unlink: Some(from_name), link: None })
        }
    }

    /// A whole tree goes with its entry.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.lookup(path)?;
        let (dir, name) = self.parent(path)?;
        self.change(DirChange { dir, unlink: Some(name), link: None })
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.lookup(path)?;
        let dir = self.dir_mut(id)?;
        dir.durable = dir.live.clone();
        self.pending.retain(|change| change.dir != id);
        Ok(())
    }

    /// Locks and faults go with the processes; memory stays.
    pub(super) fn forget_processes(&mut self) {
        self.locked.clear();
        self.faults = Faults::default();
    }

    pub(super) fn put_durable(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let id = self.open(path, OpenMode::Create)?;
        let (dir, name) = self.parent(path)?;
        self.dir_mut(dir)?.durable.insert(name, id);
        let content = Arc::new(content);
        *self.file_mut(id)? = File { live: content.clone(), durable: content, dirty: BTreeMap::new() };
        Ok(())
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            match &self.nodes[&id] {
                Node::File(_) => found.push(path),
                Node::Dir(dir) => open.extend(dir.live.iter().map(|(name, id)| (path.join(name), *id))),
            }
        }
        found.sort();
        found
    }

    /// Whether a path leads to it.
    pub(super) fn is_linked(&self, id: u64) -> bool {
        self.linked().any(|at| at == id)
    }

    /// Bytes that the files take.
    pub(super) fn used(&self) -> u64 {
        let pages = |id| match &self.nodes[&id] {
            Node::File(file) => file.live.len().div_ceil(PAGE) as u64,
            Node::Dir(_) => 0,
        };
        self.linked().map(pages).sum::<u64>() * PAGE as u64
    }

    /// Writes to a file as much as there is room for, and says how much that was; an error if it was nothing.
    pub(super) fn write_what_fits(&mut self, id: u64, buf: &[u8], offset: u64) -> io::Result<usize> {
        let Some(space) = self.faults.space else { return Ok(self.file_mut(id)?.write(buf, offset)) };
        let has = self.file(id)?.live.len().next_multiple_of(PAGE) as u64;
        let may_have = has + space.bytes().saturating_sub(self.used()) / PAGE as u64 * PAGE as u64;
        let fitting = (may_have.saturating_sub(offset) as usize).min(buf.len());
        self.faults.unfit += u64::from(fitting < buf.len());
        if fitting == 0 && !buf.is_empty() {
            return Err(space.error());
        }
        Ok(self.file_mut(id)?.write(&buf[..fitting], offset))
    }

    /// Everything that a path leads to.
    fn linked(&self) -> impl Iterator<Item = u64> {
        let mut open = vec![ROOT];
        std::iter::from_fn(move || {
            let at = open.pop()?;
            if let Node::Dir(dir) = &self.nodes[&at] {
                open.extend(dir.live.values());
            }
            Some(at)
        })
    }

    pub(super) fn file(&self, id: u64) -> io::Result<&File> {
        match &self.nodes[&id] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn file_mut(&mut self, id: u64) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) | None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Makes a change in memory and remembers that it is not durable.
    fn change(&mut self, change: DirChange) -> io::Result<()> {
        let dir = self.dir_mut(change.dir)?;
        change.apply(&mut dir.live);
        self.pending.push(change);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<u64> {
        if self.lookup(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (dir, name) = self.parent(path)?;
        self.dir(dir)?;
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        self.change(DirChange { dir, unlink: None, link: Some((name, id)) })?;
        Ok(id)
    }

    fn parent(&self, path: &Path) -> io::Result<(u64, OsString)> {
        let name = path.file_name().map(OsStr::to_owned).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.lookup(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn dir(&self, id: u64) -> io::Result<&Dir> {
        match &self.nodes[&id] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, id: u64) -> io::Result<&mut Dir> {
        match self.nodes.get_mut(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) | None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

impl DirChange {
    pub(super) fn apply(&self, entries: &mut BTreeMap<OsString, u64>) {
        if let Some(name) = &self.unlink {
            entries.remove(name);
        }
        if let Some((name, id)) = &self.link {
            entries.insert(name.clone(), *id);
        }
    }
}

impl File {
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> usize {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let live = Arc::make_mut(&mut self.live);
        if live.len() < end {
            live.resize(end, 0);
        }
        live[start..end].copy_from_slice(bytes);
        for page in start / PAGE..end.div_ceil(PAGE) {
            let forms = self.dirty.entry(page).or_default();
            if forms.len() == FORMS_MAX {
                forms.remove(1);
            }
            forms.push(page_of(&self.live, page));
        }
        bytes.len()
    }

    pub(super) fn sync(&mut self) {
        self.dirty.clear();
        self.durable = self.live.clone();
    }
}

/// A page, filled with zeros beyond the end.
pub(super) fn page_of(content: &[u8], page: usize) -> Vec<u8> {
    let from = content.get(page * PAGE..).unwrap_or_default();
    let mut bytes = from[..from.len().min(PAGE)].to_vec();
    bytes.resize(PAGE, 0);
    bytes
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}
