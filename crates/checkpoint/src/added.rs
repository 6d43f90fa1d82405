//! Items that were added to a job and have no outcome: nobody else has them, so they are kept whole.

use crate::keyed::KeyHash;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// In the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Added {
    items: BTreeMap<u64, Kept>,
    numbers: HashMap<KeyHash, u64>,
    next: u64,
    bytes: usize,
}

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    hash: KeyHash,
    number: u64,
    key: Arc<[u8]>,
    content: Arc<[u8]>,
}

impl Added {
    pub(crate) fn contains(&self, hash: KeyHash) -> bool {
        !self.numbers.is_empty() && self.numbers.contains_key(&hash)
    }

    /// False if it is there.
    pub(crate) fn insert(&mut self, hash: KeyHash, key: &[u8], content: &[u8]) -> bool {
        if self.contains(hash) {
            return false;
        }
        self.next += 1;
        self.restore(Some(Kept { hash, number: self.next, key: key.into(), content: content.into() }));
        true
    }

    /// Takes it out, since it has an outcome.
    pub(crate) fn take(&mut self, hash: KeyHash) -> Option<Kept> {
        if self.numbers.is_empty() {
            return None;
        }
        let item = self.items.remove(&self.numbers.remove(&hash)?)?;
        self.bytes -= item.key.len() + item.content.len();
        Some(item)
    }

    /// Puts back what was taken out.
    pub(crate) fn restore(&mut self, item: Option<Kept>) {
        let Some(item) = item else { return };
        self.bytes += item.key.len() + item.content.len();
        self.numbers.insert(item.hash, item.number);
        self.items.insert(item.number, item);
    }

    /// Bytes of all keys and items.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keys and encodings, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.items.values().map(|item| (&*item.key, &*item.content))
    }
}
