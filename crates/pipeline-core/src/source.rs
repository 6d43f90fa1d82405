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
        Ok(Box::new((self.0)().into_iter().map(|(key, item)| {
            Ok(SourceItem { key: Some(key.into().into_boxed_slice()), fingerprint: None, item })
        })))
    }
}

impl<T> SourceItem<T> {
    /// The item's key, given its position in the source.
    #[must_use]
    pub fn key_at(&self, ordinal: u64) -> Key {
        self.key.as_ref().map_or(Key::Ordinal(ordinal), |bytes| Key::Bytes(bytes.clone()))
    }
}
