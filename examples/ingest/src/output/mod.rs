//! The files in the out folder.
//!
//! Outcomes come in the order in which they were committed and leave in the order of their keys. In between, their
//! lines lie in a file without a name; memory holds only keys and offsets.

mod failures;
mod index;
mod json;
mod knowledge;
mod report;

pub use report::{Headline, Report};

use crate::engine::Evidence;
use crate::facts::Facts;
use index::Card;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Collects outcomes and writes the files about them.
pub struct Outputs {
    dir: PathBuf,
    spool: BufWriter<File>,
    spool_len: u64,
    entries: BTreeMap<Box<[u8]>, Entry>,
}

/// Where the lines of one item lie in the spool.
struct Entry {
    offset: u64,
    line_len: usize,
    /// The card for the index follows the line; nothing when the item was set aside.
    card_len: usize,
    /// Why it was set aside; `None` when it completed.
    set_aside: Option<Box<str>>,
}

/// How an item that was set aside ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// Its processor returned a failure.
    Failed,
    /// It ended its worker once too often.
    Quarantined,
}

impl Outputs {
    /// For files in `dir`, which must exist.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let spool = BufWriter::new(tempfile::tempfile_in(dir)?);
        Ok(Self { dir: dir.to_owned(), spool, spool_len: 0, entries: BTreeMap::new() })
    }

    /// Takes an outcome; a later one for the same key replaces it.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn completed(&mut self, key: &[u8], facts: &Facts) -> io::Result<()> {
        let line = knowledge::line(key, facts)?;
        let card = json::to_vec(&Card::of(facts))?;
        self.add(key, &line, &card, None)
    }

    /// Takes an outcome; a later one for the same key replaces it.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn set_aside(
        &mut self,
        key: &[u8],
        how: SetAside,
        attempts: u32,
        evidence: &Evidence,
    ) -> io::Result<()> {
        let line = failures::line(key, how, attempts, evidence)?;
        self.add(key, &line, &[], Some(evidence.kind.as_str().into()))
    }

    /// How many items were set aside, by kind of failure or crash.
    pub fn set_aside_by_kind(&self) -> BTreeMap<String, u64> {
        let mut kinds = BTreeMap::new();
        for kind in self.entries.values().filter_map(|entry| entry.set_aside.as_deref()) {
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        kinds
    }

    /// Writes `knowledge.jsonl`, `index.md` and `failures.jsonl`, each complete or not at all.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(self) -> io::Result<()> {
        let spool = self.spool.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut spool = Spool { file: spool, buffer: Vec::new() };
        replace(&self.dir, "knowledge.jsonl", |out| {
            completed(&self.entries).try_for_each(|(_, entry)| out.write_all(spool.line(entry)?))
        })?;
        replace(&self.dir, "failures.jsonl", |out| {
            let set_aside = self.entries.values().filter(|entry| entry.set_aside.is_some());
            set_aside.into_iter().try_for_each(|entry| out.write_all(spool.line(entry)?))
        })?;
        replace(&self.dir, "index.md", |out| {
            let keys: Vec<&[u8]> = completed(&self.entries).map(|(key, _)| key).collect();
            index::write(out, keys, |key| spool.card(&self.entries[key]))
        })
    }

    fn add(&mut self, key: &[u8], line: &[u8], card: &[u8], set_aside: Option<Box<str>>) -> io::Result<()> {
        self.spool.write_all(line)?;
        self.spool.write_all(card)?;
        let entry = Entry { offset: self.spool_len, line_len: line.len(), card_len: card.len(), set_aside };
        self.spool_len += (line.len() + card.len()) as u64;
        self.entries.insert(key.into(), entry);
        Ok(())
    }
}

fn completed(entries: &BTreeMap<Box<[u8]>, Entry>) -> impl Iterator<Item = (&[u8], &Entry)> {
    entries.iter().filter(|(_, entry)| entry.set_aside.is_none()).map(|(key, entry)| (&**key, entry))
}

struct Spool {
    file: File,
    buffer: Vec<u8>,
}

impl Spool {
    fn line(&mut self, entry: &Entry) -> io::Result<&[u8]> {
        self.read(entry.offset, entry.line_len)
    }

    fn card(&mut self, entry: &Entry) -> io::Result<Card> {
        Ok(serde_json::from_slice(self.read(entry.offset + entry.line_len as u64, entry.card_len)?)?)
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        self.buffer.resize(len, 0);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut self.buffer)?;
        Ok(&self.buffer)
    }
}

/// Puts a file in place at once, so that nobody ever reads half of it.
pub fn replace(
    dir: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let draft = dir.join(format!(".{name}.new"));
    let mut out = BufWriter::new(File::create(&draft)?);
    fill(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&draft, dir.join(name))
}

#[cfg(test)]
mod tests;
