//! Submitting and waiting, and the thread that writes what nobody waits for.

use super::group::State;
use super::lead::{Journal, lock};
use crate::batch::Batch;
use crate::limits::{GROUP_BYTES_CUT, HEAD_INTERVAL_IDLE, QUEUE_BYTES_MAX};
use crate::{Durability, StoreError, clock};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the thread does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Group,
    Mark,
    Head,
    Close,
    Wait(Option<Instant>),
    End,
}

impl Journal {
    /// Takes a batch into the queue; blocks while that is full.
    pub(crate) fn submit(&self, batch: &Batch<'_>) -> Result<u64, StoreError> {
        let (ticket, _, state) = self.enqueue(batch)?;
        let is_first = state.forming.tickets == 1;
        if is_first || state.forming.frame.len() >= GROUP_BYTES_CUT {
            self.work.notify_all();
        }
        Ok(ticket)
    }

    /// Takes a batch into the queue and returns when it is durable, with the lsn of its last outcome.
    pub(crate) fn commit(self: &Arc<Self>, batch: &Batch<'_>) -> Result<u64, StoreError> {
        let (_, lsn, mut state) = self.enqueue(batch)?;
        let ending = state.forming.ending();
        if state.is_led {
            ending.announce();
            drop(state);
            ending.wait(|| self.see_to_a_leader())?;
        } else {
            self.lead_group(state);
            ending.result().cloned().expect("a group that was led has ended")?;
        }
        Ok(lsn)
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<(u64, u64, MutexGuard<'_, State>), StoreError> {
        let len = batch.encoded_len_max();
        if batch.outcomes() == 0 {
            return Err(StoreError::MalformedBatch);
        }
        if len > QUEUE_BYTES_MAX {
            return Err(StoreError::BatchTooLarge { len, max: QUEUE_BYTES_MAX });
        }
        let mut state = lock(&self.state);
        loop {
            if let Some(error) = state.refusal() {
                return Err(error);
            }
            if state.queued_bytes() + len <= QUEUE_BYTES_MAX || (state.forming.is_empty() && !state.is_led) {
                break;
            }
            state.flush = true;
            self.work.notify_all();
            state = self.done.wait(state);
        }
        let (ticket, lsn) = state.add(batch)?;
        Ok((ticket, lsn, state))
    }

    /// Lets the forming group be written without waiting for more.
    pub(crate) fn flush(&self) {
        lock(&self.state).flush = true;
        self.work.notify_all();
    }

    /// The life of the journal's thread: until it is closed, or fails.
    pub(crate) fn run(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        loop {
            state = match self.next(&state) {
                Next::Group => {
                    self.lead_group(state);
                    lock(&self.state)
                }
                Next::Mark => self.lead_other(state, Self::write_mark),
                Next::Head => self.lead_other(state, |journal| journal.write_head(None)),
                Next::Close => {
                    let job_state = state.closing;
                    drop(state);
                    self.snapshot_at_the_end();
                    let state = lock(&self.state);
                    let is_unmarked = state.is_unmarked;
                    drop(self.lead_other(state, |journal| {
                        if is_unmarked {
                            journal.write_mark()?;
                        }
                        journal.write_head(job_state)
                    }));
                    return self.end();
                }
                Next::End => {
                    drop(state);
                    return self.end();
                }
                Next::Wait(None) => {
                    state.is_asleep = self.idle != Duration::MAX;
                    let mut woken = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    woken.is_asleep = false;
                    woken
                }
                Next::Wait(Some(until)) => {
                    let left = until.saturating_duration_since(clock::now());
                    self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn next(&self, state: &State) -> Next {
        if state.failure.is_some() {
            return Next::End;
        }
        let now = clock::now();
        if state.is_led {
            // The leader wakes this thread if it leaves something; marks can wait for the next look.
            return Next::Wait(now.checked_add(self.idle));
        }
        if !state.forming.is_empty() {
            let linger = match self.durability {
                Durability::EachItem => Duration::ZERO,
                _ => state.linger(),
            };
            return next_when_forming(state, now, linger);
        }
        if state.closing.is_some() {
            return Next::Close;
        }
        if self.idle == Duration::MAX {
            return Next::Wait(None);
        }
        next_when_idle(state, now, self.durability.idle(self.idle))
    }

    fn end(&self) {
        lock(&self.tip).filler.end();
        self.done.ring();
    }
}

/// A group waits so long for company, unless something says that it is not to.
fn next_when_forming(state: &State, now: Instant, linger: Duration) -> Next {
    let until = state.forming.since + linger;
    let is_due = state.closing.is_some()
        || state.flush
        || state.forming.ending.is_some()
        || state.forming.frame.len() >= GROUP_BYTES_CUT
        || now >= until;
    if is_due { Next::Group } else { Next::Wait(Some(until)) }
}

/// What is due when nothing waits to be written: a mark so long after the last group, then HEAD.
fn next_when_idle(state: &State, now: Instant, mark_after: Duration) -> Next {
    // HEAD may only follow the mark: a reader then finds both or neither.
    let (next, at) = if state.is_unmarked {
        (Next::Mark, state.last_group + mark_after)
    } else if state.is_head_stale {
        (Next::Head, state.last_head + HEAD_INTERVAL_IDLE)
    } else {
        return Next::Wait(None);
    };
    if now >= at { next } else { Next::Wait(Some(at)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use crate::limits::IDLE;

    #[test]
    fn a_group_is_written_after_its_linger_or_when_anything_says_so() {
        const LINGER: Duration = Duration::from_millis(7);
        let due = |change: fn(&mut State), after: Duration| {
            let mut state = State::new(Index::new(1), 1, 1);
            change(&mut state);
            next_when_forming(&state, state.forming.since + after, LINGER)
        };
        let waits = |next| matches!(next, Next::Wait(Some(_)));
        assert!(waits(due(|_| {}, LINGER - Duration::from_nanos(1))));
        assert_eq!(due(|_| {}, LINGER), Next::Group);
        let reasons: [fn(&mut State); 4] = [
            |state| state.closing = Some(crate::JobState::Finished),
            |state| state.flush = true,
            |state| drop(state.forming.ending()),
            |state| state.forming.frame.resize(GROUP_BYTES_CUT, 0),
        ];
        for reason in reasons {
            assert_eq!(due(reason, Duration::ZERO), Next::Group);
        }
        assert!(waits(due(|state| state.forming.frame.resize(GROUP_BYTES_CUT - 1, 0), Duration::ZERO)));
    }

    #[test]
    fn in_a_pause_a_mark_is_due_then_head_and_then_nothing() {
        const JUST_BEFORE: Duration = Duration::from_nanos(1);
        let mut state = State::new(Index::new(1), 1, 1);
        (state.is_unmarked, state.is_head_stale) = (true, true);
        let mark_at = state.last_group + IDLE;
        assert_eq!(next_when_idle(&state, mark_at - JUST_BEFORE, IDLE), Next::Wait(Some(mark_at)));
        assert_eq!(next_when_idle(&state, mark_at, IDLE), Next::Mark);
        state.is_unmarked = false;
        let head_at = state.last_head + HEAD_INTERVAL_IDLE;
        assert_eq!(next_when_idle(&state, head_at - JUST_BEFORE, IDLE), Next::Wait(Some(head_at)));
        assert_eq!(next_when_idle(&state, head_at, IDLE), Next::Head);
        state.is_head_stale = false;
        assert_eq!(next_when_idle(&state, head_at + IDLE, IDLE), Next::Wait(None));
    }
}

#[cfg(test)]
#[path = "queue_test.rs"]
mod queue_tests;
