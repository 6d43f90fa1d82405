//! Submitting and waiting, and the thread that writes what nobody waits for.

use super::group::State;
use super::lead::{Journal, lock};
use crate::batch::Batch;
use crate::limits::{GROUP_BYTES_CUT, HEAD_INTERVAL_IDLE, QUEUE_BYTES_MAX};
use crate::{Durability, StoreError, clock};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the thread does next.
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
            ending.wait()?;
        } else {
            drop(self.lead_group(state));
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
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
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
                Next::Group => self.lead_group(state),
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
                Next::Wait(None) => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
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
            let until = state.forming.since + linger;
            let is_due = state.closing.is_some()
                || state.flush
                || state.forming.ending.is_some()
                || state.forming.frame.len() >= GROUP_BYTES_CUT
                || now >= until;
            return if is_due { Next::Group } else { Next::Wait(Some(until)) };
        }
        if state.closing.is_some() {
            return Next::Close;
        }
        self.next_when_idle(state, now)
    }

    fn next_when_idle(&self, state: &State, now: Instant) -> Next {
        if self.idle == Duration::MAX {
            return Next::Wait(None);
        }
        let mark_at = state.is_unmarked.then(|| state.last_group + self.durability.idle(self.idle));
        // HEAD may only follow the mark: a reader then finds both or neither.
        let head_at =
            (state.is_head_stale && !state.is_unmarked).then(|| state.last_head + HEAD_INTERVAL_IDLE);
        match (mark_at, head_at) {
            (Some(at), _) if now >= at => Next::Mark,
            (None, Some(at)) if now >= at => Next::Head,
            (until, None) | (None, until) => Next::Wait(until),
            (Some(until), Some(_)) => Next::Wait(Some(until)),
        }
    }

    fn end(&self) {
        lock(&self.tip).filler.end();
        self.done.notify_all();
    }
}
