//! The keyed index: a hash table of at most 32 bytes a key, slack included, that grows in small steps.
//!
//! A key is its hash of 88 bits (with ten million keys, two share one with a probability of 10^-13). A shard is an array in which each entry
//! lies at or behind the place that its hash asks for, in the order of hashes: a search ends at the first greater hash, and a larger array
//! is filled in one pass from front to back. A general table doubles, and so needs up to 70 bytes a key, and half as many again while it does.

use crate::format::snapshot::KEY_LEN;
use crate::seeded::has_bug;

/// Shards grow one at a time, so that growing takes no memory to speak of.
pub(crate) const SHARDS: usize = 256;

/// Of 64 places so many are taken at most; a shard then grows by an eighth.
const LOAD_MAX_OF_64: usize = 56;

const LSN_SHIFT: u32 = 4;
const FLAGS_MASK: u64 = (1 << LSN_SHIFT) - 1;
const LSN_BITS: u32 = 36;
const HASH_SHIFT: u32 = LSN_BITS + LSN_SHIFT;
const STATE_MASK: u64 = (1 << HASH_SHIFT) - 1;

/// The highest lsn that fits: 68 thousand million outcomes.
pub(crate) const LSN_MAX: u64 = (1 << LSN_BITS) - 1;

/// A key's hash: the 64 bits of the first number and the highest 24 of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash(u64, u32);

impl KeyHash {
    pub(crate) fn new(hash: u128) -> Self {
        Self((hash >> 64) as u64, (hash as u64 >> HASH_SHIFT) as u32)
    }

    pub(crate) fn shard(self) -> usize {
        (self.0 >> 56) as usize
    }

    pub(crate) fn to_bytes(self) -> [u8; 11] {
        let mut bytes = [0; 11];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.1.to_le_bytes()[..3]);
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; 11]) -> Self {
        let (high, low) = (bytes.first_chunk().expect("8 of 11"), &bytes[8..]);
        Self(u64::from_le_bytes(*high), u32::from_le_bytes([low[0], low[1], low[2], 0]))
    }
}

/// What is known of a key; an lsn of 0 marks an empty place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    high: u64,
    /// 24 bits of the hash, 36 of the lsn, 4 of flags.
    low_and_state: u64,
    /// 0 for none.
    pub(crate) fingerprint: u64,
}

impl Entry {
    pub(crate) fn new(hash: KeyHash, lsn: u64, flags: u64, fingerprint: u64) -> Self {
        assert!((1..=LSN_MAX).contains(&lsn), "lsn {lsn} is from 1 to {LSN_MAX}");
        let state = lsn << LSN_SHIFT | (flags & FLAGS_MASK);
        Self { high: hash.0, low_and_state: u64::from(hash.1) << HASH_SHIFT | state, fingerprint }
    }

    pub(crate) fn hash(&self) -> KeyHash {
        KeyHash(self.high, (self.low_and_state >> HASH_SHIFT) as u32)
    }

    pub(crate) fn lsn(&self) -> u64 {
        (self.low_and_state & STATE_MASK) >> LSN_SHIFT
    }

    pub(crate) fn flags(&self) -> u64 {
        self.low_and_state & FLAGS_MASK
    }

    pub(crate) fn set_flag(&mut self, flag: u64, is_set: bool) {
        let flag = flag & FLAGS_MASK;
        self.low_and_state = if is_set { self.low_and_state | flag } else { self.low_and_state & !flag };
    }

    fn is_empty(&self) -> bool {
        self.lsn() == 0
    }

    /// As a snapshot holds it; `flags` are those that last.
    pub(crate) fn to_bytes(self, flags: u64) -> [u8; KEY_LEN] {
        let mut bytes = [0; KEY_LEN];
        let low = self.low_and_state & !(FLAGS_MASK & !flags);
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.high, low, self.fingerprint]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// `None` when no entry looks like that.
    pub(crate) fn from_bytes(bytes: &[u8; KEY_LEN]) -> Option<Self> {
        let mut numbers =
            bytes.chunks_exact(8).map(|number| u64::from_le_bytes(*number.first_chunk().expect("8")));
        let mut next = || numbers.next().expect("three numbers");
        let entry = Self { high: next(), low_and_state: next(), fingerprint: next() };
        (!entry.is_empty()).then_some(entry)
    }
}

/// Entries by the hash of their key.
#[derive(Debug)]
pub(crate) struct KeyedTable {
    shards: Box<[Shard]>,
    len: usize,
    /// Places that a shard has at least once it has one: so many keys are expected.
    range_min: usize,
    copying: Option<Copying>,
}

/// A copy of what the table was at one moment, made shard by shard while it changes.
#[derive(Debug)]
struct Copying {
    /// Later outcomes do not belong into it.
    end_lsn: u64,
    next_shard: usize,
    /// Entries that belong into it and were replaced before their shard's turn.
    replaced: Vec<Entry>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    /// The first `range` can be asked for; as many follow as were pushed over the end.
    places: Vec<Entry>,
    range: usize,
    len: usize,
}

/// An entry that was there has refused to be replaced.
#[derive(Debug)]
pub(crate) struct Refused;

/// Where a hash is, or belongs.
enum Place {
    Found(usize),
    Missing(usize),
}

impl Default for KeyedTable {
    fn default() -> Self {
        Self { shards: vec![Shard::default(); SHARDS].into(), len: 0, range_min: 0, copying: None }
    }
}

impl KeyedTable {
    /// Tells how many keys are going to come, at least: shards then need not grow to that.
    pub(crate) fn expect(&mut self, keys: u64) {
        let of_shard = keys as usize / SHARDS;
        // Shards differ by some per cent of their square root.
        self.range_min = if of_shard < 1000 { 0 } else { range_for(of_shard + of_shard / 64) };
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, hash: KeyHash) -> Option<&Entry> {
        let shard = &self.shards[hash.shard()];
        match shard.find(hash) {
            Place::Found(at) => Some(&shard.places[at]),
            Place::Missing(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, hash: KeyHash) -> Option<&mut Entry> {
        let shard = &mut self.shards[hash.shard()];
        match shard.find(hash) {
            Place::Found(at) => Some(&mut shard.places[at]),
            Place::Missing(_) => None,
        }
    }

    /// Keys in one shard.
    pub(crate) fn shard_len(&self, number: usize) -> usize {
        self.shards[number].len
    }

    /// Looks at where each of the entries belongs, at all together: whoever then puts them in one by one finds that memory in the
    /// processor's cache instead of waiting for each in turn.
    pub(crate) fn ask_ahead(&self, entries: &[Entry]) {
        let looked = entries.iter().fold(0, |looked, entry| {
            let shard = &self.shards[entry.hash().shard()];
            looked ^ shard.places.get(shard.ideal(entry.hash())).map_or(0, |there| there.low_and_state)
        });
        std::hint::black_box(looked);
    }

    /// Puts an entry in; the one that it replaces.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        self.insert_unless(entry, |_, _| false).expect("nobody refuses")
    }

    /// The same, unless the one that it would replace refuses; it may also change the new one.
    pub(crate) fn insert_unless(
        &mut self,
        entry: Entry,
        is_refused: impl FnOnce(&Entry, &mut Entry) -> bool,
    ) -> Result<Option<Entry>, Refused> {
        let shard = entry.hash().shard();
        let replaced = self.shards[shard].insert_unless(entry, self.range_min, is_refused)?;
        self.len += usize::from(replaced.is_none());
        if let (Some(copying), Some(before)) = (&mut self.copying, replaced)
            && shard >= copying.next_shard
            && before.lsn() < copying.end_lsn
            && !has_bug("a snapshot lacks what is replaced meanwhile")
        {
            copying.replaced.push(before);
        }
        Ok(replaced)
    }

    /// Begins a copy of the table as it is now, in which no outcome has `end_lsn` or a higher one.
    pub(crate) fn begin_copy(&mut self, end_lsn: u64) {
        self.copying = Some(Copying { end_lsn, next_shard: 0, replaced: Vec::new() });
    }

    /// The next piece of the copy, in order of hashes; `None` at its end.
    pub(crate) fn copy_next(&mut self) -> Option<Vec<Entry>> {
        let copying = self.copying.as_mut()?;
        let Some(shard) = self.shards.get(copying.next_shard) else {
            self.copying = None;
            return None;
        };
        let is_of_copy = |entry: &&Entry| !entry.is_empty() && entry.lsn() < copying.end_lsn;
        let mut entries: Vec<Entry> = shard.places.iter().filter(is_of_copy).copied().collect();
        let is_here = |entry: &Entry| entry.hash().shard() == copying.next_shard;
        if copying.replaced.iter().any(is_here) {
            entries.extend(copying.replaced.iter().copied().filter(is_here));
            copying.replaced.retain(|entry| !is_here(entry));
            // A replacement that was taken back has put the entry where it was.
            entries.sort_by_key(Entry::hash);
            entries.dedup_by_key(|entry| entry.hash());
        }
        copying.next_shard += 1;
        Some(entries)
    }

    pub(crate) fn end_copy(&mut self) {
        self.copying = None;
    }

    /// Takes the next entries in, in order of hashes, all of one shard that is empty; false if they are not in order.
    pub(crate) fn fill_shard(&mut self, entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else { return true };
        let number = first.hash().shard();
        let is_in_order = entries.is_sorted_by(|a, b| a.hash() < b.hash())
            && entries.iter().all(|entry| entry.hash().shard() == number)
            && self.shards[number].len == 0;
        if is_in_order {
            let range = range_for(entries.len()).max(self.range_min);
            self.shards[number] = Shard::filled(range, entries.iter(), entries.len());
            self.len += entries.len();
        }
        is_in_order
    }

    pub(crate) fn remove(&mut self, hash: KeyHash) -> Option<Entry> {
        let removed = self.shards[hash.shard()].remove(hash)?;
        self.len -= 1;
        Some(removed)
    }

    /// The entries of one shard; `None` behind the last one.
    pub(crate) fn shard(&self, number: usize) -> Option<impl Iterator<Item = &Entry>> {
        let shard = self.shards.get(number)?;
        Some(shard.places.iter().filter(|entry| !entry.is_empty()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.shards.iter().flat_map(|shard| &shard.places).filter(|entry| !entry.is_empty())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.shards.iter_mut().flat_map(|shard| &mut shard.places).filter(|entry| !entry.is_empty())
    }
}

/// Places for so many keys.
fn range_for(keys: usize) -> usize {
    (keys + 1) * 64 / LOAD_MAX_OF_64 + 8
}

impl Shard {
    /// The place that a hash asks for, in order of hashes.
    fn ideal(&self, hash: KeyHash) -> usize {
        ((u128::from(hash.0 << 8) * self.range as u128) >> 64) as usize
    }

    fn find(&self, hash: KeyHash) -> Place {
        let start = self.ideal(hash);
        for (at, entry) in self.places.iter().enumerate().skip(start) {
            if entry.is_empty() || entry.hash() > hash {
                return Place::Missing(at);
            }
            if entry.hash() == hash {
                return Place::Found(at);
            }
        }
        Place::Missing(self.places.len())
    }

    fn insert_unless(
        &mut self,
        mut entry: Entry,
        range_min: usize,
        is_refused: impl FnOnce(&Entry, &mut Entry) -> bool,
    ) -> Result<Option<Entry>, Refused> {
        if (self.len + 1) * 64 > self.range * LOAD_MAX_OF_64 {
            self.grow(range_min);
        }
        match self.find(entry.hash()) {
            Place::Found(at) if is_refused(&self.places[at], &mut entry) => Err(Refused),
            Place::Found(at) => Ok(Some(std::mem::replace(&mut self.places[at], entry))),
            Place::Missing(at) => {
                let behind = self.places[at..].iter().position(Entry::is_empty);
                let free = behind.map_or(self.places.len(), |behind| at + behind);
                if free == self.places.len() {
                    self.places.push(Entry::default());
                }
                self.places.copy_within(at..free, at + 1);
                self.places[at] = entry;
                self.len += 1;
                Ok(None)
            }
        }
    }

    /// Those behind move up, as far as they are not where they ask to be.
    fn remove(&mut self, hash: KeyHash) -> Option<Entry> {
        let Place::Found(at) = self.find(hash) else { return None };
        let removed = self.places[at];
        let mut hole = at;
        while let Some(next) = self.places.get(hole + 1).copied() {
            if next.is_empty() || self.ideal(next.hash()) > hole {
                break;
            }
            self.places[hole] = next;
            hole += 1;
        }
        self.places[hole] = Entry::default();
        self.len -= 1;
        Some(removed)
    }

    fn grow(&mut self, range_min: usize) {
        let range = (self.range + self.range / 8 + 8).max(range_min);
        let entries = self.places.iter().filter(|entry| !entry.is_empty());
        *self = Self::filled(range, entries, self.len);
    }

    /// With `len` entries in order of hashes.
    fn filled<'a>(range: usize, entries: impl Iterator<Item = &'a Entry>, len: usize) -> Self {
        let places = Vec::with_capacity(range + range / 64 + 8);
        let mut filled = Self { places, range, len };
        for entry in entries {
            let at = filled.ideal(entry.hash()).max(filled.places.len());
            filled.places.resize(at, Entry::default());
            filled.places.push(*entry);
        }
        let end = filled.places.len().max(range);
        filled.places.resize(end, Entry::default());
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use xxhash_rust::xxh3::xxh3_128;

    fn hash(n: u64) -> KeyHash {
        KeyHash::new(xxh3_128(&n.to_le_bytes()))
    }

    #[test]
    fn it_does_what_a_map_does() {
        let (mut table, mut model) = (KeyedTable::default(), BTreeMap::new());
        let mut random = 1u64;
        for step in 1..200_000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, entry) =
                ((random >> 33) % 5_000, Entry::new(hash((random >> 33) % 5_000), step, random & 15, random));
            if random.is_multiple_of(3) {
                assert_eq!(table.remove(hash(key)), model.remove(&key));
            } else {
                assert_eq!(table.insert(entry), model.insert(key, entry));
            }
            assert_eq!(table.len(), model.len());
            let probe = (random >> 40) % 5_000;
            assert_eq!(table.get(hash(probe)), model.get(&probe));
        }
        let mut all: Vec<_> = table.iter().map(Entry::lsn).collect();
        all.sort_unstable();
        let mut modelled: Vec<_> = model.values().map(Entry::lsn).collect();
        modelled.sort_unstable();
        assert_eq!(all, modelled);
    }

    #[test]
    fn hashes_that_ask_for_the_same_places_all_find_one() {
        for high in [0, u64::MAX, u64::MAX << 8] {
            let mut table = KeyedTable::default();
            for low in 0..3_000u32 {
                table.insert(Entry::new(KeyHash(high, low), u64::from(low) + 1, 0, 0));
            }
            assert!((0..3_000).all(|low| table.get(KeyHash(high, low)).unwrap().lsn() == u64::from(low) + 1));
            assert!((0..3_000).rev().all(|low| table.remove(KeyHash(high, low)).is_some()));
            assert_eq!(table.len(), 0);
        }
    }

    #[test]
    fn a_key_takes_at_most_32_bytes_at_every_size() {
        let mut table = KeyedTable::default();
        for n in 1..=1_000_000u64 {
            table.insert(Entry::new(hash(n), n, 0, 0));
            if n >= 200_000 && n.is_multiple_of(10_000) {
                let places: usize = table.shards.iter().map(|shard| shard.places.capacity()).sum();
                let bytes = (places * size_of::<Entry>()) as f64 / n as f64;
                assert!(bytes <= 32.0, "{bytes} bytes with {n} keys");
            }
        }
    }

    #[test]
    fn expected_keys_take_as_little() {
        let mut table = KeyedTable::default();
        table.expect(500_000);
        for n in 1..=600_000u64 {
            table.insert(Entry::new(hash(n), n, 0, 0));
            if n >= 500_000 && n.is_multiple_of(20_000) {
                let places: usize = table.shards.iter().map(|shard| shard.places.capacity()).sum();
                let bytes = (places * size_of::<Entry>()) as f64 / n as f64;
                assert!(bytes <= 32.0, "{bytes} bytes with {n} keys");
            }
        }
        assert!((1..=600_000).all(|n| table.get(hash(n)).unwrap().lsn() == n));
    }

    #[test]
    fn flags_and_numbers_do_not_touch_each_other() {
        let mut entry = Entry::new(hash(1), LSN_MAX, 0b1001, 7);
        entry.set_flag(0b100, true);
        assert_eq!((entry.lsn(), entry.flags(), entry.hash()), (LSN_MAX, 0b1101, hash(1)));
        entry.set_flag(0b100, false);
        assert_eq!((entry.lsn(), entry.flags(), entry.fingerprint), (LSN_MAX, 0b1001, 7));
    }
}
