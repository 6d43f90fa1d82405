//! What items save on their way: kept for their next attempt, and told to the store for the next session.

use super::case::Case;
use super::ledger::StoreState;
use super::results::Addressed;
use super::{Command, Supervisor, Turn};
use crate::{LeaseId, SAVED_STATE_BYTES_MAX, SavedState};

/// Saved states of items that wait, in bytes. An item beyond it begins anew in this session; the store has its state.
const WAITING_STATES_BYTES_MAX: usize = 64 << 20;

impl Supervisor {
    pub(super) fn state_saved(
        &mut self,
        at: usize,
        id: LeaseId,
        offset: u32,
        state: SavedState,
        turn: &mut Turn<'_>,
    ) {
        let lease_at = match self.address(at, id) {
            Addressed::Live(lease_at) => lease_at,
            Addressed::Fenced => return,
            Addressed::Stranger => return self.violate(at, turn),
        };
        let lease = &mut self.workers[at].leases[lease_at];
        if state.len() > SAVED_STATE_BYTES_MAX || offset >= lease.len {
            return self.violate(at, turn);
        }
        if !lease.holds(offset) {
            return; // it has its result
        }
        let slots = self.policy.slots_per_worker.get() as usize;
        // Not more are open at a time; a worker that claims otherwise loses what it saved first.
        if !lease.has_case(offset)
            && lease.cases.iter().filter(|case| case.saved_state.is_some()).count() >= slots
        {
            let oldest = lease.cases.iter_mut().find(|case| case.saved_state.is_some());
            oldest.expect("there is one for each slot").saved_state = None;
        }
        let case = lease.case_mut(offset);
        case.saved_state = Some(state.clone());
        let (chunk, position) = (case.chunk.clone(), case.position);
        if self.ledger.store != StoreState::Lost {
            turn.push(Command::SaveState { chunk, position, state });
        }
    }

    /// Called for a case that is about to wait.
    pub(super) fn bound_saved_states(&self, case: &mut Case) {
        let Some(state) = &case.saved_state else { return };
        let waiting = self.due.iter().chain(&self.trials).chain(self.retries.iter());
        let bytes: usize =
            waiting.filter_map(|case| case.saved_state.as_ref()).map(|state| state.len()).sum();
        if bytes.saturating_add(state.len()) > WAITING_STATES_BYTES_MAX {
            case.saved_state = None;
        }
    }
}
