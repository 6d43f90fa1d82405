//! What a start would do: how much is done, new, changed or gone, before anything runs.

use cofferdam_checkpoint::{JobStore, KeyRef, Lookup};
use cofferdam_pipeline_core::{ItemSource, Key, Keying, SourceError, SourceItem};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;

use crate::JobError;

/// What a start found in the store and in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePlan {
    /// Whether the job existed.
    pub resumed: bool,
    /// Items that have an outcome, which counts.
    pub done: u64,
    /// Items without an outcome; `None` for a dense source of unknown length and for a stream.
    pub new: Option<u64>,
    /// Items whose input has changed since their outcome: they are redone.
    pub changed: u64,
    /// Outcomes whose item is no longer in the source: they stay in the store and drop out of [`crate::Outcomes`].
    pub gone: u64,
}

impl ResumePlan {
    /// All items of the source, where it is known.
    #[must_use]
    pub fn items(&self) -> Option<u64> {
        Some(self.done + self.changed + self.new?)
    }
}

impl fmt::Display for ResumePlan {
    /// `1204 done, 2 new, 3 inputs changed, 1 gone`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} done", self.done)?;
        if let Some(new) = self.new {
            write!(f, ", {new} new")?;
        }
        if self.changed > 0 {
            write!(f, ", {} {} changed", self.changed, if self.changed == 1 { "input" } else { "inputs" })?;
        }
        if self.gone > 0 {
            write!(f, ", {} gone", self.gone)?;
        }
        Ok(())
    }
}

/// Two items of the source have the same key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("items {first} and {second} of the source have the same key, {}", Key::Bytes(key.clone()))]
pub struct DuplicateKey {
    /// The key.
    pub key: Box<[u8]>,
    /// Position of the first item in the source.
    pub first: u64,
    /// Position of the second.
    pub second: u64,
}

/// Compares source and store. Keyed sources are read once for their keys.
pub(crate) fn plan<S: ItemSource>(
    source: &mut S,
    job: &JobStore,
    resumed: bool,
) -> Result<ResumePlan, JobError> {
    match source.keying() {
        Keying::Dense => {
            let done = job.counts().total();
            let new = source.len_hint().map(|len| len.saturating_sub(done));
            Ok(ResumePlan { resumed, done, new, changed: 0, gone: 0 })
        }
        Keying::Keyed if !source.is_reopenable() => {
            Ok(ResumePlan { resumed, done: job.counts().total(), new: None, changed: 0, gone: 0 })
        }
        Keying::Keyed => plan_keyed(source, job, resumed),
    }
}

fn plan_keyed<S: ItemSource>(source: &mut S, job: &JobStore, resumed: bool) -> Result<ResumePlan, JobError> {
    let hasher = RandomState::new();
    // Eight bytes a key, sorted afterwards: a set would take three times that while it grows, and a cache miss a key.
    let mut hashes = Vec::new();
    let (mut done, mut new, mut changed) = (0, 0, 0);
    let mut added: HashSet<Box<[u8]>> = job.added_items().into_iter().map(|item| item.key).collect();
    let is_empty = job.keys_len() == 0;
    job.begin_pass();
    for (position, element) in (0u64..).zip(source.open()?) {
        let SourceItem { key, fingerprint, .. } = element?;
        check_key(position, key.as_deref())?;
        let key = key.unwrap_or_default();
        hashes.push(hasher.hash_one(&*key));
        if !added.is_empty() {
            added.remove(&key);
        }
        if is_empty {
            new += 1;
            continue;
        }
        match job.see(KeyRef::Bytes(&key), fingerprint) {
            Lookup::New => new += 1,
            Lookup::Done => done += 1,
            Lookup::Changed => changed += 1,
        }
    }
    hashes.sort_unstable();
    let twice: HashSet<u64> =
        hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(hashes);
    if !twice.is_empty() {
        refuse_duplicates(source, |key| twice.contains(&hasher.hash_one(key)))?;
    }
    // Those that were added to the job and that the source does not have.
    new += added.len() as u64;
    done += job.added_and_done();
    Ok(ResumePlan { resumed, done, new: Some(new), changed, gone: job.unseen_keys() })
}

/// Every item of a keyed source has a key that can be kept.
pub(crate) fn check_key(position: u64, key: Option<&[u8]>) -> Result<(), SourceError> {
    match key {
        None => Err(SourceError::new(format!("item {position} of a keyed source has no key"))),
        Some(key) if key.len() > Key::LEN_MAX => {
            let (len, max) = (key.len(), Key::LEN_MAX);
            Err(SourceError::new(format!(
                "the key of item {position} has {len} bytes; at most {max} can be kept"
            )))
        }
        Some(_) => Ok(()),
    }
}

/// Finds the first key that the source has twice, among those that are suspected.
fn refuse_duplicates<S: ItemSource>(
    source: &mut S,
    is_suspect: impl Fn(&[u8]) -> bool,
) -> Result<(), JobError> {
    let mut first_of = HashMap::new();
    for (second, element) in (0u64..).zip(source.open()?) {
        let Some(key) = element?.key.filter(|key| is_suspect(key)) else { continue };
        if let Some(&first) = first_of.get(&key) {
            return Err(DuplicateKey { key, first, second }.into());
        }
        first_of.insert(key, second);
    }
    Ok(()) // two keys share a hash, which harms nothing here
}
