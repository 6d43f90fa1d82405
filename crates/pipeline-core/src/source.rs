//! Where items come from.

use crate::{Fingerprint, Key};

/// How a source's items are identified across runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keying {
    /// By position: the same item is at the same place each time the source is opened.
    Dense,
    /// By a key that each item carries; order may change between runs.
    Keyed,
}

/// One item on its way into the engine.
#[derive(Clone, Debug)]
pub struct SourceItem<T> {
    /// Identifies it; dense sources leave it `None` (the position counts).
    pub key: Option<Box<[u8]>>,
    /// Tells whether its input has changed since an earlier run.
    pub fingerprint: Option<Fingerprint>,
    /// What the processor gets.
    pub item: T,
}

/// The source could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the item source failed: {0}")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// Wraps any error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// A re-openable sequence of items. The store keeps keys and outcomes, never the items, so a resumed job opens its source again.
pub trait ItemSource: Send + 'static {
    /// The processor's item type.
    type Item;

    /// How items are identified.
    fn keying(&self) -> Keying;

    /// Starts from the beginning. Keyed sources are opened twice: once for the keys alone, once for the items.
    ///
    /// # Errors
    /// When the source cannot be opened; an error in the middle is an element.
    fn open(&mut self) -> Result<SourceItems<'_, Self::Item>, SourceError>;

    /// Whether [`ItemSource::open`] can be called again. One that cannot is read without a key pass: the plan does not know
    /// what is new, and an item whose key came before fails as `duplicate-key`, while the job goes on.
    fn is_reopenable(&self) -> bool {
        true
    }

    /// How many items there are, if that is known without reading them.
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

/// A source whose items are identified by position. `open` must give the same items in the same order each time.
pub fn dense<F, I>(open: F) -> impl ItemSource<Item = I::Item>
where
    F: FnMut() -> I + Send + 'static,
    I: IntoIterator,
    I::IntoIter: Send + 'static,
    I::Item: Send + 'static,
{
    Dense(open)
}

/// A source of `(key, item)` pairs. The order may change between runs; a key may occur once.
pub fn keyed<F, I, K, T>(open: F) -> impl ItemSource<Item = T>
where
    F: FnMut() -> I + Send + 'static,
    I: IntoIterator<Item = (K, T)>,
    I::IntoIter: Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
{
    Keyed(open)
}

/// A source of `(key, item)` pairs that may fail: to open, or at any item, which ends the job when what came before is
/// settled. The order may change between runs; a key may occur once.
pub fn fallible<F, I, K, T, E>(open: F) -> impl ItemSource<Item = T>
where
    F: FnMut() -> Result<I, E> + Send + 'static,
    I: IntoIterator<Item = Result<(K, T), E>>,
    I::IntoIter: Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    Fallible(open)
}

/// A source of `(key, item)` pairs that can be read only once and may have any length: a queue, a directory walk, standard
/// input. To resume such a job, give it a stream again; items that have an outcome are passed over.
pub fn stream<I, K, T>(items: I) -> impl ItemSource<Item = T>
where
    I: IntoIterator<Item = (K, T)>,
    I::IntoIter: Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
{
    Stream(Some(items.into_iter()))
}

/// The items of an opened source.
pub type SourceItems<'a, T> = Box<dyn Iterator<Item = Result<SourceItem<T>, SourceError>> + Send + 'a>;

struct Dense<F>(F);

impl<F, I> ItemSource for Dense<F>
where
    F: FnMut() -> I + Send + 'static,
    I: IntoIterator,
    I::IntoIter: Send + 'static,
    I::Item: Send + 'static,
{
    type Item = I::Item;
    fn keying(&self) -> Keying {
        Keying::Dense
    }
    fn open(&mut self) -> Result<SourceItems<'_, I::Item>, SourceError> {
        Ok(Box::new((self.0)().into_iter().map(|item| Ok(SourceItem { key: None, fingerprint: None, item }))))
    }
}

struct Keyed<F>(F);

impl<F, I, K, T> ItemSource for Keyed<F>
where
    F: FnMut() -> I + Send + 'static,
    I: IntoIterator<Item = (K, T)>,
    I::IntoIter: Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
{
    type Item = T;
    fn keying(&self) -> Keying {
        Keying::Keyed
    }
    fn open(&mut self) -> Result<SourceItems<'_, T>, SourceError> {
        Ok(Box::new((self.0)().into_iter().map(|item| Ok(with_key(item)))))
    }
}

struct Fallible<F>(F);

impl<F, I, K, T, E> ItemSource for Fallible<F>
where
    F: FnMut() -> Result<I, E> + Send + 'static,
    I: IntoIterator<Item = Result<(K, T), E>>,
    I::IntoIter: Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    type Item = T;
    fn keying(&self) -> Keying {
        Keying::Keyed
    }
    fn open(&mut self) -> Result<SourceItems<'_, T>, SourceError> {
        let items = (self.0)().map_err(SourceError::new)?.into_iter();
        Ok(Box::new(items.map(|item| item.map(with_key).map_err(SourceError::new))))
    }
}

struct Stream<I>(Option<I>);

impl<I, K, T> ItemSource for Stream<I>
where
    I: Iterator<Item = (K, T)> + Send + 'static,
    K: Into<Vec<u8>> + 'static,
    T: Send + 'static,
{
    type Item = T;
    fn keying(&self) -> Keying {
        Keying::Keyed
    }
    fn is_reopenable(&self) -> bool {
        false
    }
    fn open(&mut self) -> Result<SourceItems<'_, T>, SourceError> {
        let items = self.0.take().ok_or_else(|| SourceError::new("a stream can be read only once"))?;
        Ok(Box::new(items.map(|item| Ok(with_key(item)))))
    }
}

fn with_key<K: Into<Vec<u8>>, T>((key, item): (K, T)) -> SourceItem<T> {
    SourceItem { key: Some(key.into().into_boxed_slice()), fingerprint: None, item }
}

impl<T> SourceItem<T> {
    /// The item's key, given its position in the source.
    #[must_use]
    pub fn key_at(&self, ordinal: u64) -> Key {
        self.key.as_ref().map_or(Key::Ordinal(ordinal), |bytes| Key::Bytes(bytes.clone()))
    }
}
