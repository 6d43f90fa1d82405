//! Outcomes with keys as a journal is read: gathered by the shard that they belong to, and taken in many at a time.
//!
//! Keys come in no order that their hashes know of. Taken in one by one, each waits for memory that is in no cache: of an opening that read
//! ten million, four fifths of the time. See ADR 0220.

use super::{AlreadyDone, FLAG_SEEN, Index, KeyId, fold, kind_flags};
use crate::KeyRef;
use crate::keyed::{Entry, KeyHash, SHARDS};
use crate::limits::{FRESH_KEYS, GATHERED_MAX, GATHERED_MIN};
use cofferdam_pipeline_core::{Fingerprint, OutcomeKind};

/// So many places are asked for at a time: more than a processor waits for at once.
const ASKED_AHEAD: usize = 32;

/// What waits to be taken in, in the order of the journal.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The newest, of all shards. Put straight where they belong, each would wait for another cold line, and what is read next with it.
    fresh: Vec<Entry>,
    shards: Box<[Vec<Entry>]>,
}

impl Index {
    /// From now on outcomes with keys are gathered, until [`Self::take_in_gathered`]; no key may be asked for meanwhile. That one was
    /// refused may be told with any later record.
    pub(crate) fn gather(&mut self) {
        self.gathered = Some(Gathered { fresh: Vec::new(), shards: vec![Vec::new(); SHARDS].into() });
    }

    /// Takes in all that was gathered, and gathers no longer.
    pub(crate) fn take_in_gathered(&mut self) -> Result<(), AlreadyDone> {
        self.sort_fresh()?;
        let Some(gathered) = self.gathered.take() else { return Ok(()) };
        gathered.shards.into_iter().try_for_each(|entries| self.take_in(&entries))
    }

    /// Takes in what was gathered of `key`, so that it may be asked for until the next outcome.
    pub(super) fn take_in_gathered_of(&mut self, key: &[u8]) -> Result<(), AlreadyDone> {
        let KeyId::Hash(hash) = self.id(KeyRef::Bytes(key)) else { return Ok(()) };
        self.sort_fresh()?;
        let of_shard =
            self.gathered.as_mut().map(|gathered| std::mem::take(&mut gathered.shards[hash.shard()]));
        self.take_in(&of_shard.unwrap_or_default())
    }

    /// Does all that an outcome does but for its key's place.
    pub(super) fn insert_later(
        &mut self,
        hash: KeyHash,
        fingerprint: Option<Fingerprint>,
        kind: OutcomeKind,
        lsn: u64,
    ) -> Result<(), AlreadyDone> {
        let flags = self.added_flag(hash) | kind_flags(kind) | FLAG_SEEN;
        self.added.take(hash);
        self.settle(KeyId::Hash(hash));
        *self.counts.of(kind) += 1;
        let gathered = self.gathered.as_mut().expect("the caller saw it");
        gathered.fresh.push(Entry::new(hash, lsn, flags, fold(fingerprint)));
        if gathered.fresh.len() < FRESH_KEYS { Ok(()) } else { self.sort_fresh() }
    }

    /// Puts the newest to the others of their shards, and takes in the shards of which enough have come.
    fn sort_fresh(&mut self) -> Result<(), AlreadyDone> {
        let Some(mut gathered) = self.gathered.take() else { return Ok(()) };
        for entry in gathered.fresh.drain(..) {
            let number = entry.hash().shard();
            let shard = &mut gathered.shards[number];
            shard.push(entry);
            if shard.len() >= (self.keyed.shard_len(number) / 16).clamp(GATHERED_MIN, GATHERED_MAX) {
                self.take_in(shard)?;
                shard.clear();
            }
        }
        self.gathered = Some(gathered);
        Ok(())
    }

    /// Entries of one shard.
    fn take_in(&mut self, entries: &[Entry]) -> Result<(), AlreadyDone> {
        for some in entries.chunks(ASKED_AHEAD) {
            self.keyed.ask_ahead(some);
            some.iter().try_for_each(|entry| self.place(*entry).map(drop))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{Item, Record};
    use crate::{Counts, Lookup, Note};

    const KEYS: u64 = 40_000;

    /// What an index tells of a key.
    type Known = (Option<u64>, Vec<Lookup>, Option<u32>, Option<Vec<u8>>);

    fn print(n: u64) -> Option<Fingerprint> {
        Some(Fingerprint(u128::from(n).to_le_bytes()))
    }

    fn apply(index: &mut Index, n: u64, input: u64, lsn: u64) -> Result<(), AlreadyDone> {
        let key = n.to_le_bytes();
        let item = Item { key: KeyRef::Bytes(&key), fingerprint: print(input) };
        let (attempts, step) = (1, 0);
        let record = match n % 3 {
            0 => Record::SetAside { item, kind: OutcomeKind::Failed, attempts, step, evidence: b"" },
            _ => Record::Completed { item, attempts, step, output: b"" },
        };
        index.apply(&record, lsn)
    }

    /// Outcomes of all keys in no order, each for three inputs, and between them what is known of keys before an outcome, or after it.
    fn read_journal(index: &mut Index) {
        for lsn in 1..=KEYS * 3 {
            let n = lsn * 7_919 % KEYS;
            apply(index, n, lsn.div_ceil(KEYS), lsn).unwrap();
            let (earlier, later) = (n, (lsn + 1_000) * 7_919 % KEYS);
            for key in [earlier, later].map(u64::to_le_bytes) {
                let item = Item { key: KeyRef::Bytes(&key), fingerprint: print(2) };
                let note = Note { crashes: lsn as u32, ..Note::default() };
                match lsn % 64 {
                    0 => index.apply(&Record::Note { key: item.key, note }, lsn + 1).unwrap(),
                    1 => index.apply(&Record::SavedState { item, state: b"minute 7" }, lsn + 1).unwrap(),
                    2 => index.apply(&Record::Added { key: &key, content: b"new" }, lsn + 1).unwrap(),
                    _ => {}
                }
            }
        }
    }

    fn knowledge(index: &mut Index) -> (Counts, Vec<Known>, u64) {
        let known = (0..KEYS).map(|n| {
            let key = n.to_le_bytes();
            let key = KeyRef::Bytes(&key);
            let state = index.saved_state(key, print(2)).map(|state| state.to_vec());
            let lookups = (0..4).map(|input| index.lookup(key, print(input))).collect();
            (index.outcome_lsn(key), lookups, index.note(key).map(|note| note.crashes), state)
        });
        let known = known.collect();
        index.begin_pass();
        (index.counts, known, index.added_unseen())
    }

    #[test]
    fn what_is_gathered_comes_to_what_is_taken_in_one_by_one() {
        let (mut one_by_one, mut gathered) = (Index::new(7), Index::new(7));
        gathered.gather();
        read_journal(&mut one_by_one);
        read_journal(&mut gathered);
        gathered.take_in_gathered().unwrap();

        let (counts, known, added) = knowledge(&mut one_by_one);
        assert_eq!(counts.total(), KEYS);
        assert!(
            added > 0
                && known.iter().any(|known| known.2.is_some())
                && known.iter().any(|known| known.3.is_some())
        );
        assert_eq!(knowledge(&mut gathered), (counts, known, added));
    }

    #[test]
    fn a_key_that_came_twice_is_refused_however_much_lies_between_and_follows() {
        for (between, behind) in [(0, 0), (100, 0), (50_000, 0), (0, 50_000), (50_000, 50_000)] {
            let mut index = Index::new(7);
            index.gather();
            let keys = [5].into_iter().chain(100..100 + between).chain([5]).chain(100_000..100_000 + behind);
            let read = keys.zip(1..).try_for_each(|(n, lsn)| apply(&mut index, n, 1, lsn));
            assert!(read.and_then(|()| index.take_in_gathered()).is_err(), "{between}, {behind}");
        }
    }
}
