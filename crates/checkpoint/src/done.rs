//! A value that answers which ordinals are done.

use roaring::RoaringTreemap;
use std::ops::Range;

/// The ordinals of a dense job that had an outcome when it was asked for.
#[derive(Clone, Debug, Default)]
pub struct DoneOrdinals(RoaringTreemap);

impl DoneOrdinals {
    pub(crate) fn new(set: RoaringTreemap) -> Self {
        Self(set)
    }

    /// Whether the item has an outcome.
    #[must_use]
    pub fn contains(&self, ordinal: u64) -> bool {
        self.0.contains(ordinal)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many lie in `range`.
    #[must_use]
    pub fn count_in(&self, range: Range<u64>) -> u64 {
        self.0.range_cardinality(range)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter()
    }
}
