//! What open items save: the newest bytes, sent at once when little was sent of late, else with one of the next ticks.

use cofferdam_pipeline_core::{LeaseId, SAVED_STATE_BYTES_MAX};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A worker sends its items' states no more often than this; of several in between the newest counts.
const SEND_EVERY: Duration = Duration::from_millis(100);

/// The states of a worker's open items that the host has not heard of.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    /// Looked at after every item, so that one that saves nothing costs no lock.
    has_pending: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// At most one for each open item.
    pending: Vec<Saved>,
    last_sent: Option<Instant>,
}

/// One item's state.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) lease: LeaseId,
    pub(crate) offset: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Saving {
    /// Keeps an item's newest state; whether it may be sent now. What is too long is not kept.
    pub(crate) fn keep(&self, lease: LeaseId, offset: u32, bytes: &[u8]) -> bool {
        if bytes.len() > SAVED_STATE_BYTES_MAX {
            return false;
        }
        let mut state = self.lock();
        match state.pending.iter_mut().find(|saved| (saved.lease, saved.offset) == (lease, offset)) {
            Some(saved) => {
                saved.bytes.clear();
                saved.bytes.extend_from_slice(bytes);
            }
            None => state.pending.push(Saved { lease, offset, bytes: bytes.to_vec() }),
        }
        self.has_pending.store(true, Ordering::Relaxed);
        state.is_due()
    }

    /// What is to be sent by now.
    pub(crate) fn take_due(&self) -> Vec<Saved> {
        if !self.has_pending.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut state = self.lock();
        if !state.is_due() {
            return Vec::new();
        }
        state.last_sent = Some(crate::clock::now());
        self.has_pending.store(false, Ordering::Relaxed);
        std::mem::take(&mut state.pending)
    }

    /// What an item that has ended saved last and the host has not heard of.
    pub(crate) fn take(&self, lease: LeaseId, offset: u32) -> Option<Saved> {
        if !self.has_pending.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.lock();
        let at = state.pending.iter().position(|saved| (saved.lease, saved.offset) == (lease, offset))?;
        let saved = state.pending.swap_remove(at);
        self.has_pending.store(!state.pending.is_empty(), Ordering::Relaxed);
        Some(saved)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_due(&self) -> bool {
        let since = |sent: Instant| crate::clock::now().saturating_duration_since(sent);
        !self.pending.is_empty() && self.last_sent.is_none_or(|sent| since(sent) >= SEND_EVERY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: LeaseId = LeaseId(7);

    #[test]
    fn the_first_state_is_due_at_once_and_later_ones_wait_while_the_newest_counts() {
        let saving = Saving::default();
        assert!(saving.take_due().is_empty());
        assert!(saving.keep(LEASE, 0, b"one"));
        assert_eq!(saving.take_due()[0].bytes, b"one");

        assert!(!saving.keep(LEASE, 0, b"two"));
        assert!(!saving.keep(LEASE, 0, b"three"));
        assert!(saving.take_due().is_empty(), "too soon");
        assert_eq!(saving.take(LEASE, 0).unwrap().bytes, b"three");
        assert!(saving.take(LEASE, 0).is_none());
    }

    #[test]
    fn items_do_not_share_states_and_what_is_too_long_is_not_kept() {
        let saving = Saving::default();
        saving.keep(LEASE, 0, b"a");
        saving.keep(LEASE, 1, b"b");
        assert_eq!(saving.take(LEASE, 1).unwrap().bytes, b"b");
        assert!(!saving.keep(LEASE, 2, &vec![0; SAVED_STATE_BYTES_MAX + 1]));
        assert!(saving.take(LEASE, 2).is_none());
        assert_eq!(saving.take_due().len(), 1);
    }
}
