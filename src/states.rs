//! What items save, on its way to the store: of many states in a second the newest.

use cofferdam_checkpoint::{JobStore, KeyRef};
use cofferdam_pipeline_core::{Chunk, SavedState, Time};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The store gets a state of one item no more often: it is for the next session, this one has it in memory.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// States of unsettled items that the store has not got, and when it got the last one.
#[derive(Default)]
pub(crate) struct States {
    of: HashMap<(u64, u32), Waiting>,
}

struct Waiting {
    chunk: Arc<Chunk>,
    /// `None` once the store has it.
    state: Option<SavedState>,
    next_write: Time,
}

impl States {
    /// Takes the newest state of an item; it is written with one of the next calls of [`States::write_due`].
    pub fn save(&mut self, chunk: &Arc<Chunk>, position: u32, state: SavedState, now: Time) {
        let waiting = self.of.entry((chunk.first().0, position)).or_insert_with(|| Waiting {
            chunk: chunk.clone(),
            state: None,
            next_write: now,
        });
        waiting.state = Some(state);
    }

    /// These items have their outcomes.
    pub fn forget(&mut self, chunk: &Chunk, range: &Range<u32>) {
        if !self.of.is_empty() {
            let first = chunk.first().0;
            self.of.retain(|(of, position), _| *of != first || !range.contains(position));
        }
    }

    /// Writes what is due; errors are the store's own business, which says so by itself.
    pub fn write_due(&mut self, job: &JobStore, now: Time) {
        for ((_, position), waiting) in &mut self.of {
            if waiting.next_write <= now {
                waiting.write(*position, job);
                waiting.next_write = now + WRITE_EVERY;
            }
        }
    }

    /// Writes everything: the session ends.
    pub fn write_all(&mut self, job: &JobStore) {
        for ((_, position), waiting) in &mut self.of {
            waiting.write(*position, job);
        }
    }
}

impl Waiting {
    fn write(&mut self, position: u32, job: &JobStore) {
        let Some(state) = self.state.take() else { return };
        let identities = self.chunk.identities();
        let (key, fingerprint) = (identities.key(position), identities.fingerprint(position));
        if let Err(error) = job.save_state(KeyRef::from(&key), fingerprint, state) {
            tracing::debug!(%error, "a saved state was not kept");
        }
    }
}
