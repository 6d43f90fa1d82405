//! What happens when time passes.

use super::signs::Limits;
use super::worker::State;
use super::{Phase, Supervisor, Turn};
use crate::{KillReason, Time, TimeLimit};
use std::time::Duration;

impl Supervisor {
    /// When to call with [`super::Input::Tick`] if nothing else happens first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if matches!(self.phase, Phase::Finished(_)) {
            return None;
        }
        let limits = self.running_limits();
        let of_workers = self.workers.iter().flat_map(|worker| {
            [worker.state_deadline(), worker.cancel_deadline, worker.limit_deadline(limits)]
                .into_iter()
                .flatten()
        });
        // A delay that is over is no deadline: then something else is missing before the next worker may start.
        let restart = Some(self.restarts.not_before()).filter(|&at| at > self.now && self.is_hiring());
        let others = [self.retries.next_due(), restart, self.level_deadline()];
        of_workers.chain(others.into_iter().flatten()).min()
    }

    /// The driver handles all messages that arrived before it passes a tick, so what is late here is late.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        // Backwards: a verdict removes its worker.
        for at in (0..self.workers.len()).rev() {
            self.expire_limits(at, turn);
            self.expire_cancelled(at, turn);
            if self.workers[at].state_deadline().is_some_and(|deadline| deadline <= turn.now) {
                self.expire_state(at, turn);
            }
        }
    }

    fn expire_limits(&mut self, at: usize, turn: &mut Turn<'_>) {
        if let Some((reason, overdue)) = self.workers[at].overdue(turn.now, self.running_limits()) {
            self.kill(at, reason, overdue, turn);
        }
    }

    fn expire_state(&mut self, at: usize, turn: &mut Turn<'_>) {
        match self.workers[at].state {
            State::Starting { .. } => {
                let reason = KillReason::TimeLimit(TimeLimit::Start, self.policy.start_wall_max);
                self.kill(at, reason, None, turn);
            }
            State::Stopping { .. } => {
                let reason = match self.phase {
                    Phase::Ending(_) => self.leaving_reason(),
                    Phase::Running | Phase::Paused { .. } | Phase::Draining { .. } | Phase::Finished(_) => {
                        KillReason::TimeLimit(TimeLimit::Stop, self.policy.stop_grace)
                    }
                };
                self.kill(at, reason, None, turn);
            }
            State::Dying { .. } => self.dying_too_long(at, turn),
            State::Ready(_) => {}
        }
    }

    /// The machine or the host stood still: no deadline may count that time.
    pub(super) fn extend(&mut self, gap: Duration) {
        for worker in &mut self.workers {
            worker.extend(gap);
        }
        self.retries.extend(gap);
        self.restarts.extend(gap);
        self.kills.extend(gap);
    }

    fn running_limits(&self) -> Limits {
        Limits::new(&self.policy, self.phase.paused_since().is_some())
    }
}
