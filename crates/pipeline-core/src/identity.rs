//! Who the items of a chunk are: what the store needs to know them again.

use crate::{Fingerprint, Key};
use std::ops::Range;

/// Identities of a chunk's items, by position.
#[derive(Debug)]
pub enum Identities {
    /// Positions in a dense source, as runs without gaps.
    Ordinals(Vec<OrdinalRun>),
    /// Keys, each with an optional fingerprint.
    Keys(KeyTable),
}

/// `count` items that follow each other in a dense source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrdinalRun {
    /// Ordinal of the first.
    pub first: u64,
    /// How many.
    pub count: u32,
}

/// Keys back to back.
#[derive(Debug, Default)]
pub struct KeyTable {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    fingerprints: Vec<Option<Fingerprint>>,
}

impl Default for Identities {
    fn default() -> Self {
        Self::Ordinals(Vec::new())
    }
}

impl Identities {
    /// Appends the next item of a dense source.
    ///
    /// # Panics
    /// When the identities are keys.
    pub fn push_ordinal(&mut self, ordinal: u64) {
        let Self::Ordinals(runs) = self else { panic!("a keyed source has no ordinals") };
        match runs.last_mut() {
            Some(run) if run.first + u64::from(run.count) == ordinal => run.count += 1,
            _ => runs.push(OrdinalRun { first: ordinal, count: 1 }),
        }
    }

    /// The ordinal runs of the items at positions `range`; nothing for keys.
    pub fn ordinal_runs(&self, range: Range<u32>) -> impl Iterator<Item = OrdinalRun> {
        let runs: &[OrdinalRun] = match self {
            Self::Ordinals(runs) => runs,
            Self::Keys(_) => &[],
        };
        let mut position = 0;
        runs.iter().filter_map(move |run| {
            let start = range.start.max(position) - position;
            let end = range.end.max(position).min(position + run.count) - position;
            position += run.count;
            (start < end).then(|| OrdinalRun { first: run.first + u64::from(start), count: end - start })
        })
    }

    /// The ordinal of the item at `position` of a dense source.
    ///
    /// # Panics
    /// When there is no such item, or the source is keyed.
    #[must_use]
    pub fn ordinal(&self, position: u32) -> u64 {
        self.ordinal_runs(position..position + 1)
            .next()
            .expect("the position lies in a chunk of a dense source")
            .first
    }

    /// The key of the item at `position`.
    ///
    /// # Panics
    /// When there is no such item.
    #[must_use]
    pub fn key(&self, position: u32) -> Key {
        match self {
            Self::Ordinals(_) => Key::Ordinal(self.ordinal(position)),
            Self::Keys(table) => Key::Bytes(table.get(position).0.into()),
        }
    }

    /// The position of the item with this key, of those at `range`.
    #[must_use]
    pub fn find(&self, key: &Key, range: Range<u32>) -> Option<u32> {
        match (self, key) {
            (Self::Ordinals(runs), Key::Ordinal(ordinal)) => {
                let mut position = 0;
                let places = runs.iter().map(|run| {
                    let first = position;
                    position += run.count;
                    (first, run)
                });
                places
                    .filter_map(|(first, run)| {
                        let offset = u32::try_from(ordinal.checked_sub(run.first)?).ok()?;
                        (offset < run.count).then_some(first + offset)
                    })
                    .find(|position| range.contains(position))
            }
            (Self::Keys(table), Key::Bytes(wanted)) => {
                let mut positions = range;
                positions.find(|&position| *table.get(position).0 == **wanted)
            }
            (Self::Ordinals(_), Key::Bytes(_)) | (Self::Keys(_), Key::Ordinal(_)) => None,
        }
    }

    /// The fingerprint of the item at `position`.
    #[must_use]
    pub fn fingerprint(&self, position: u32) -> Option<Fingerprint> {
        match self {
            Self::Ordinals(_) => None,
            Self::Keys(table) => table.get(position).1,
        }
    }
}

impl KeyTable {
    /// Appends the next item's key.
    pub fn push(&mut self, key: &[u8], fingerprint: Option<Fingerprint>) {
        self.bytes.extend_from_slice(key);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a chunk's keys stay far below 4 GiB"));
        self.fingerprints.push(fingerprint);
    }

    /// Bytes of all keys.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Key and fingerprint of the item at `position`.
    ///
    /// # Panics
    /// When there is no such item.
    #[must_use]
    pub fn get(&self, position: u32) -> (&[u8], Option<Fingerprint>) {
        let position = position as usize;
        let start = if position == 0 { 0 } else { self.ends[position - 1] as usize };
        (&self.bytes[start..self.ends[position] as usize], self.fingerprints[position])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinal_runs_of_a_range_are_cut_at_both_ends_and_at_gaps() {
        let mut identities = Identities::default();
        [5, 6, 7, 20, 21, 40].into_iter().for_each(|o| identities.push_ordinal(o));
        let runs: Vec<_> = identities.ordinal_runs(1..5).collect();
        assert_eq!(runs, [OrdinalRun { first: 6, count: 2 }, OrdinalRun { first: 20, count: 2 }]);
        assert_eq!(identities.key(5), Key::Ordinal(40));
        assert_eq!(identities.ordinal_runs(3..3).count(), 0);
    }

    #[test]
    fn keys_are_found_by_position() {
        let mut table = KeyTable::default();
        table.push(b"a", None);
        table.push(b"", Some(Fingerprint([1; 16])));
        table.push(b"long", None);
        let identities = Identities::Keys(table);
        assert_eq!(identities.key(1), Key::Bytes((*b"").into()));
        assert_eq!(identities.fingerprint(1), Some(Fingerprint([1; 16])));
        assert_eq!(identities.key(2), Key::Bytes((*b"long").into()));
        assert_eq!(identities.ordinal_runs(0..3).count(), 0);
    }
}
