//! What unsettled items saved.

use crate::index::KeyId;
use cofferdam_pipeline_core::SavedState;
use std::collections::HashMap;

/// States that are kept in memory, in bytes; what comes on top is not kept, and its item begins anew.
const STATES_BYTES_MAX: usize = 64 << 20;

/// The newest state of each unsettled item that saved one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedStates {
    /// With the fingerprint of the input, folded.
    of: HashMap<KeyId, (u64, SavedState)>,
    bytes: usize,
}

impl SavedStates {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub(crate) fn get(&self, id: KeyId) -> Option<(u64, SavedState)> {
        self.of.get(&id).cloned()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (KeyId, u64, &SavedState)> {
        self.of.iter().map(|(id, (fingerprint, state))| (*id, *fingerprint, state))
    }

    /// Replaces what was saved before; an item whose newest state does not fit has none, for an old one may be misleading.
    pub(crate) fn set(&mut self, id: KeyId, fingerprint: u64, state: SavedState) {
        self.remove(id);
        if self.bytes + state.len() <= STATES_BYTES_MAX {
            self.bytes += state.len();
            self.of.insert(id, (fingerprint, state));
        }
    }

    /// The item has its outcome.
    pub(crate) fn remove(&mut self, id: KeyId) {
        if self.of.is_empty() {
            return;
        }
        if let Some((_, state)) = self.of.remove(&id) {
            self.bytes -= state.len();
        }
    }

    /// Several items have theirs.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&KeyId) -> bool) {
        if !self.of.is_empty() {
            self.of.retain(|id, _| keeps(id));
            self.bytes = self.of.values().map(|(_, state)| state.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_of_an_item_counts_until_its_outcome() {
        let mut states = SavedStates::default();
        states.set(KeyId::Ordinal(1), 0, b"one"[..].into());
        states.set(KeyId::Ordinal(1), 0, b"two"[..].into());
        states.set(KeyId::Ordinal(2), 0, b"three"[..].into());
        assert_eq!(states.get(KeyId::Ordinal(1)), Some((0, b"two"[..].into())));
        assert_eq!(states.bytes, 8);
        states.remove(KeyId::Ordinal(1));
        states.retain(|id| *id != KeyId::Ordinal(2));
        assert!(states.is_empty() && states.bytes == 0);
    }

    #[test]
    fn memory_is_bounded_and_an_old_state_does_not_outlive_one_that_does_not_fit() {
        let mut states = SavedStates::default();
        let large: SavedState = vec![0; STATES_BYTES_MAX - 1].into();
        states.set(KeyId::Ordinal(1), 0, b"x"[..].into());
        states.set(KeyId::Ordinal(2), 0, large);
        states.set(KeyId::Ordinal(1), 0, b"xx"[..].into());
        assert_eq!(states.get(KeyId::Ordinal(1)), None);
    }
}
