//! Reads the source on a thread of its own and turns items into chunks, as far as the supervisor gives credit.

use crate::inbox::Inbox;
use crate::large_items::{IN_MEMORY_BYTES_MAX, Stager};
use crate::plan::{self, DuplicateKey};
use crate::suspects::Suspects;
use cofferdam_checkpoint::{JobStore, KeyRef, Lookup};
use cofferdam_ipc::{Codec, CodecError};
use cofferdam_pipeline_core::supervisor::{Input, Prior};
use cofferdam_pipeline_core::{
    Chunk, ChunkBuilder, Evidence, Fingerprint, Identities, ItemIndex, ItemSource, Key, KeyTable, Keying,
    SourceError, SourceItem, StagedItem,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::hash::BuildHasher;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A chunk is closed at this many wire bytes: several leases, so that cutting it into leases wastes little.
const CHUNK_BYTES: usize = 128 << 10;
/// A chunk is closed at this many items.
const CHUNK_ITEMS: u32 = 32 << 10;
/// A chunk's keys are closed at this many bytes.
const CHUNK_KEY_BYTES: usize = 1 << 20;

/// Shared by the feeder thread, which fills chunks, and the driver, which gives credit.
pub(crate) struct Feed {
    state: Mutex<FeedState>,
    credit_given: Condvar,
    inbox: Arc<Inbox>,
}

struct FeedState {
    builder: ChunkBuilder,
    /// A large item, which is a chunk of its own; the builder is empty then.
    staged: Option<StagedItem>,
    identities: Identities,
    priors: Vec<Prior>,
    next_index: u64,
    /// Items of the first chunks double, so that workers start at once and large chunks come when they are needed.
    items_max: u32,
    credit: u32,
    /// The supervisor waits: the next item goes out at once, however few there are.
    hungry: bool,
    closed: bool,
    /// Items that the host added in this run.
    added: u64,
}

impl Feed {
    pub fn new(inbox: Arc<Inbox>, keying: Keying) -> Arc<Self> {
        let state = FeedState {
            builder: ChunkBuilder::default(),
            staged: None,
            identities: empty(keying),
            priors: Vec::new(),
            next_index: 0,
            items_max: 1,
            credit: 0,
            hungry: false,
            closed: false,
            added: 0,
        };
        Arc::new(Self { state: Mutex::new(state), credit_given: Condvar::new(), inbox })
    }

    /// The supervisor takes one more chunk.
    pub fn want(&self) {
        self.lock().credit += 1;
        self.credit_given.notify_one();
    }

    /// Credit has lain unused for a while: deliver what there is, or the next item as soon as it comes.
    pub fn hurry(&self) {
        let mut state = self.lock();
        if state.credit > 0 {
            state.hungry = !self.deliver(&mut state);
        }
    }

    /// Nothing is wanted any more; the feeder thread ends at the next item.
    pub fn close(&self) {
        self.lock().closed = true;
        self.credit_given.notify_one();
    }

    /// Appends an item; blocks while a full chunk waits for credit. `false` when nothing is wanted any more.
    fn push<E>(&self, append: impl FnOnce(&mut FeedState) -> Result<(), E>) -> Result<bool, E> {
        self.push_when(|state| !state.is_full(), append)
    }

    /// The same, when what was appended before has gone as far as `can_append` says.
    fn push_when<E>(
        &self,
        can_append: impl Fn(&FeedState) -> bool,
        append: impl FnOnce(&mut FeedState) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut state = self.lock();
        while !can_append(&state) {
            if state.closed {
                return Ok(false);
            }
            if state.credit == 0 {
                state = self.credit_given.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                self.deliver(&mut state);
            }
        }
        append(&mut state)?;
        if state.hungry && self.deliver(&mut state) {
            state.hungry = false;
        }
        Ok(!state.closed)
    }

    /// Delivers what is left.
    fn flush(&self) {
        let mut state = self.lock();
        while state.items() > 0 && !state.closed {
            if state.credit == 0 {
                state = self.credit_given.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                self.deliver(&mut state);
            }
        }
    }

    /// An item that the host adds goes to the driver at once, without credit: the host's own bound holds it.
    pub fn add(&self, key: &[u8], content: &[u8]) {
        let mut state = self.lock();
        if !state.closed {
            if state.staged.is_some() {
                self.deliver(&mut state);
            }
            state.append_encoded(key, content, None);
            state.added += 1;
            self.deliver(&mut state);
        }
    }

    /// Waits; false when nothing is wanted any more.
    pub fn wait_while_open(&self, time: Duration) -> bool {
        let waited = self.credit_given.wait_timeout_while(self.lock(), time, |state| !state.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Items that were added so far.
    pub fn added(&self) -> u64 {
        self.lock().added
    }

    /// Hands the partial chunk to the driver, against credit; `false` when there is nothing to hand.
    fn deliver(&self, state: &mut FeedState) -> bool {
        let Some((chunk, priors)) = state.cut() else { return false };
        state.credit = state.credit.saturating_sub(1);
        self.inbox.source(Input::Fed { chunk: Arc::new(chunk), priors });
        true
    }

    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FeedState {
    fn is_full(&self) -> bool {
        let keys = match &self.identities {
            Identities::Ordinals(_) => 0,
            Identities::Keys(table) => table.bytes_len(),
        };
        self.staged.is_some()
            || self.builder.items() >= self.items_max
            || self.builder.bytes_len() >= CHUNK_BYTES
            || keys >= CHUNK_KEY_BYTES
    }

    /// Items that were not delivered.
    fn items(&self) -> u32 {
        self.builder.items() + u32::from(self.staged.is_some())
    }

    fn append<T: Serialize>(&mut self, codec: Codec, new: &Fresh<'_, T>) -> Result<(), CodecError> {
        self.builder.push(|out| codec.encode_within(new.item, out, IN_MEMORY_BYTES_MAX))?;
        self.identify(new);
        Ok(())
    }

    fn append_staged<T>(&mut self, item: StagedItem, new: &Fresh<'_, T>) {
        assert!(self.items() == 0, "it is a chunk of its own");
        self.staged = Some(item);
        self.identify(new);
    }

    /// Who the item is that was appended last.
    fn identify<T>(&mut self, new: &Fresh<'_, T>) {
        self.note_prior(new.prior.clone());
        match (&mut self.identities, new.key) {
            (Identities::Keys(table), Some(key)) => table.push(key, new.fingerprint),
            (identities, _) => identities.push_ordinal(new.ordinal),
        }
    }

    /// An item with a key, as it travels.
    fn append_encoded(&mut self, key: &[u8], content: &[u8], prior: Option<Prior>) {
        let copy = |out: &mut Vec<u8>| {
            out.extend_from_slice(content);
            Ok::<_, Infallible>(())
        };
        match self.builder.push(copy) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        self.note_prior(prior);
        match &mut self.identities {
            Identities::Keys(table) => table.push(key, None),
            Identities::Ordinals(_) => unreachable!("items are added to keyed jobs only"),
        }
    }

    /// What is known against the item that was pushed last.
    fn note_prior(&mut self, prior: Option<Prior>) {
        if let Some(mut prior) = prior {
            prior.index = ItemIndex(self.next_index + u64::from(self.items()) - 1);
            self.priors.push(prior);
        }
    }

    fn cut(&mut self) -> Option<(Chunk, Vec<Prior>)> {
        let keying = match &self.identities {
            Identities::Ordinals(_) => Keying::Dense,
            Identities::Keys(_) => Keying::Keyed,
        };
        let first = ItemIndex(self.next_index);
        let items = self.items();
        let identities = std::mem::replace(&mut self.identities, empty(keying));
        let chunk = match self.staged.take() {
            Some(item) => Chunk::of_staged(first, item, identities),
            None => self.builder.finish(first, identities)?,
        };
        self.next_index += u64::from(items);
        self.items_max = (self.items_max * 2).min(CHUNK_ITEMS);
        Some((chunk, std::mem::take(&mut self.priors)))
    }
}

/// An item that has no outcome yet.
struct Fresh<'a, T> {
    ordinal: u64,
    key: Option<&'a [u8]>,
    fingerprint: Option<Fingerprint>,
    prior: Option<Prior>,
    item: &'a T,
}

/// How items become bytes.
pub(crate) struct Encoding {
    pub codec: Codec,
    pub stager: Stager,
}

/// The feeder thread: everything from the source that has no outcome yet, then the end or the error.
pub(crate) fn feed<S>(mut source: S, todo: &Todo, encoding: &Encoding, feed: &Feed)
where
    S: ItemSource,
    S::Item: Serialize + DeserializeOwned,
{
    let fed = feed_added(todo, feed).and_then(|()| feed_all(&mut source, todo, encoding, feed));
    let end = match fed {
        Ok(()) => Input::SourceEnded,
        Err(error) => Input::SourceFailed(error.0.to_string()),
    };
    feed.flush();
    feed.inbox.source(end);
}

/// What was added to the job in earlier runs and has no outcome.
fn feed_added(todo: &Todo, feed: &Feed) -> Result<(), SourceError> {
    for (key, content) in &todo.added {
        let prior = todo.prior(KeyRef::Bytes(key), None);
        feed.push(|state| {
            state.append_encoded(key, content, prior);
            Ok::<_, SourceError>(())
        })?;
    }
    Ok(())
}

fn feed_all<S>(source: &mut S, todo: &Todo, encoding: &Encoding, feed: &Feed) -> Result<(), SourceError>
where
    S: ItemSource,
    S::Item: Serialize + DeserializeOwned,
{
    let keying = source.keying();
    let mut checked = false;
    let mut seen = (keying == Keying::Keyed && !source.is_reopenable()).then(SeenKeys::default);
    for (ordinal, element) in (0u64..).zip(source.open()?) {
        let SourceItem { mut key, fingerprint, item } = element?;
        if keying == Keying::Keyed {
            plan::check_key(ordinal, key.as_deref())?;
        }
        let first = match (&mut seen, &key) {
            (Some(seen), Some(key)) => seen.before(key, ordinal),
            (Some(_), None) | (None, _) => None,
        };
        let refused = first.and_then(|first| refuse_duplicate(&mut key, first, ordinal));
        let identity = match (&key, keying) {
            (Some(key), Keying::Keyed) => KeyRef::Bytes(key),
            _ => KeyRef::Ordinal(ordinal),
        };
        if !todo.wants(identity, fingerprint) {
            continue;
        }
        checked = checked || round_trip(encoding.codec, &item)?;
        let prior = match refused {
            Some(_) => Some(Prior { refused, ..Prior::default() }),
            None => todo.prior(identity, fingerprint),
        };
        let fresh = Fresh { ordinal, key: key.as_deref(), fingerprint, prior, item: &item };
        if !feed_one(&fresh, encoding, feed)? {
            break;
        }
    }
    Ok(())
}

/// False when nothing is wanted any more.
fn feed_one<T: Serialize>(
    fresh: &Fresh<'_, T>,
    encoding: &Encoding,
    feed: &Feed,
) -> Result<bool, SourceError> {
    match feed.push(|state| state.append(encoding.codec, fresh)) {
        // Written without the lock, which the driver needs.
        Err(CodecError::TooLong { .. }) => match encoding.stager.stage(fresh.item, feed)? {
            None => Ok(false),
            Some(staged) => feed.push_when(
                |state| state.items() == 0,
                |state| {
                    state.append_staged(staged, fresh);
                    Ok(())
                },
            ),
        },
        pushed => pushed.map_err(SourceError::new),
    }
}

/// Keys of a stream, where nobody could look for duplicates before: 16 bytes of hash and the position for each.
#[derive(Default)]
struct SeenKeys {
    positions: HashMap<(u64, u64), u64>,
    hashers: (RandomState, RandomState),
}

impl SeenKeys {
    /// The position of the item that had this key before.
    fn before(&mut self, key: &[u8], position: u64) -> Option<u64> {
        let hash = (self.hashers.0.hash_one(key), self.hashers.1.hash_one(key));
        match self.positions.entry(hash) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => {
                place.insert(position);
                None
            }
        }
    }
}

/// Two items have one key, and a key has one outcome: the later item gets a key of its own to fail under.
fn refuse_duplicate(key: &mut Option<Box<[u8]>>, first: u64, second: u64) -> Option<Evidence> {
    let duplicate = DuplicateKey { key: key.clone()?, first, second };
    let suffix = format!("\0duplicate-{second}");
    let mut own = duplicate.key.to_vec();
    own.truncate(Key::LEN_MAX - suffix.len());
    own.extend_from_slice(suffix.as_bytes());
    *key = Some(own.into_boxed_slice());
    Some(Evidence { kind: "duplicate-key".into(), message: duplicate.to_string(), ..Evidence::default() })
}

/// What the store knows, at the cost of nothing when it knows nothing.
pub(crate) struct Todo {
    job: Arc<JobStore>,
    any_done: bool,
    any_note: bool,
    any_state: bool,
    suspects: Suspects,
    /// Added in earlier runs: these come from the store, also if the source has them by now.
    added: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl Todo {
    pub fn new(job: Arc<JobStore>, suspects: Suspects) -> Self {
        let added = job.added_items().into_iter().map(|item| (item.key, item.content)).collect();
        let (any_done, any_note) = (job.counts().total() > 0, job.has_notes());
        let any_state = job.has_saved_states();
        Self { job, any_done, any_note, any_state, suspects, added }
    }

    fn wants(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> bool {
        if let KeyRef::Bytes(key) = key
            && !self.added.is_empty()
            && self.added.contains_key(key)
        {
            return false;
        }
        !self.any_done || self.job.lookup(key, fingerprint) != Lookup::Done
    }

    fn prior(&self, key: KeyRef<'_>, fingerprint: Option<Fingerprint>) -> Option<Prior> {
        let note = self.any_note.then(|| self.job.prior(key)).flatten();
        let host_suspect = self.suspects.contains(key);
        let saved_state = self.any_state.then(|| self.job.saved_state(key, fingerprint)).flatten();
        if note.is_none() && saved_state.is_none() && !host_suspect {
            return None;
        }
        let note = note.map(|note| self.suspects.clear(&self.job, key, note)).unwrap_or_default();
        Some(Prior {
            index: ItemIndex(0), // set when the item gets its place
            crashes: note.crashes,
            failures: note.failures,
            foreign_kills: note.foreign_kills,
            host_deaths: note.host_deaths,
            host_suspect,
            refused: None,
            saved_state,
        })
    }
}

/// A type that the codec cannot carry is found with the first item that fits into memory several times, and named; false for others.
fn round_trip<T: Serialize + DeserializeOwned>(codec: Codec, item: &T) -> Result<bool, SourceError> {
    let refuse = |what: String| {
        SourceError::new(format!("the {codec:?} codec cannot carry {}: {what}", std::any::type_name::<T>()))
    };
    let mut there = Vec::new();
    match codec.encode_within(item, &mut there, IN_MEMORY_BYTES_MAX) {
        Ok(()) => {}
        Err(CodecError::TooLong { .. }) => return Ok(false),
        Err(error) => return Err(refuse(error.to_string())),
    }
    let back: T = codec.decode_trusted(&there).map_err(|e| refuse(e.to_string()))?;
    let mut again = Vec::new();
    codec.encode(&back, &mut again).map_err(|e| refuse(e.to_string()))?;
    // Maps may change their order, never their size.
    if again.len() == there.len() { Ok(true) } else { Err(refuse("it does not come back as it went".into())) }
}

fn empty(keying: Keying) -> Identities {
    match keying {
        Keying::Dense => Identities::default(),
        Keying::Keyed => Identities::Keys(KeyTable::default()),
    }
}
