//! What waits to be written, and what is known to be durable.

use super::ending::Ending;
use crate::batch::Batch;
use crate::format::frame::HEADER_LEN;
use crate::index::Index;
use crate::limits::{GROUP_BYTES_KEPT, LINGER_MAX, LINGER_MIN, LINGER_SYNCS};
use crate::{Counts, Durability, JobState, StoreError, SyncStats, clock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Guarded by the journal's mutex.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) forming: Group,
    spare: Vec<u8>,
    /// Bytes of the group that is being written.
    pub(crate) writing_bytes: usize,
    /// Somebody writes: the next group forms meanwhile.
    pub(crate) is_led: bool,
    next_ticket: u64,
    next_lsn: u64,
    /// The last ticket and lsn of each batch that is not durable yet.
    pending: VecDeque<(u64, u64)>,
    pub(crate) durable_ticket: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) durable_counts: Counts,
    pub(crate) failure: Option<StoreError>,
    /// Set once: the writer finishes what there is, leaves this state in HEAD and ends.
    pub(crate) closing: Option<JobState>,
    /// A flush was asked for: the forming group is not kept waiting.
    pub(crate) flush: bool,
    /// The journal's own thread waits for whoever wakes it, however long that takes.
    pub(crate) is_asleep: bool,
    /// There were commits since the last mark.
    pub(crate) is_unmarked: bool,
    /// There were commits since the last HEAD.
    pub(crate) is_head_stale: bool,
    pub(crate) last_group: Instant,
    pub(crate) last_head: Instant,
    opened: Instant,
    synced_at: Instant,
    syncs: u64,
    sync_time: Duration,
    sync_average: Duration,
}

/// Records that will share a frame and a sync.
#[derive(Debug)]
pub(crate) struct Group {
    /// Room for the frame's header, then the records.
    pub(crate) frame: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) tickets: u32,
    pub(crate) last_ticket: u64,
    pub(crate) last_lsn: u64,
    pub(crate) counts: Counts,
    pub(crate) since: Instant,
    /// Callers wait for it: no lingering.
    pub(crate) ending: Option<Arc<Ending>>,
}

impl Group {
    fn empty(mut frame: Vec<u8>) -> Self {
        frame.clear();
        frame.shrink_to(GROUP_BYTES_KEPT);
        frame.resize(HEADER_LEN, 0);
        Self {
            frame,
            count: 0,
            tickets: 0,
            last_ticket: 0,
            last_lsn: 0,
            counts: Counts::default(),
            since: clock::now(),
            ending: None,
        }
    }

    /// What tells how the group ended.
    pub(crate) fn ending(&mut self) -> Arc<Ending> {
        self.ending.get_or_insert_default().clone()
    }

    /// Tells those who wait for it how it ended.
    pub(crate) fn end(&mut self, result: Result<(), StoreError>) {
        if let Some(ending) = self.ending.take() {
            ending.end(result);
            ending.wake();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl State {
    /// Continues after recovery; `durable_ticket` is the last one of before.
    pub(crate) fn new(index: Index, next_lsn: u64, next_ticket: u64) -> Self {
        let now = clock::now();
        Self {
            durable_counts: index.counts,
            index,
            forming: Group::empty(Vec::new()),
            spare: Vec::new(),
            writing_bytes: 0,
            is_led: false,
            next_ticket,
            next_lsn,
            pending: VecDeque::new(),
            durable_ticket: next_ticket - 1,
            durable_lsn: next_lsn - 1,
            failure: None,
            closing: None,
            flush: false,
            is_asleep: false,
            is_unmarked: false,
            is_head_stale: false,
            last_group: now,
            last_head: now,
            opened: now,
            synced_at: now,
            syncs: 0,
            sync_time: Duration::ZERO,
            sync_average: Duration::ZERO,
        }
    }

    /// Bytes that wait, those under way included.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.forming.frame.len() + self.writing_bytes
    }

    /// The lsn of the next outcome that is submitted.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// After a failure nothing can be done.
    pub(crate) fn check_failure(&self) -> Result<(), StoreError> {
        self.failure.as_ref().map_or(Ok(()), |_| Err(StoreError::Indeterminate))
    }

    pub(crate) fn next_ticket(&self) -> u64 {
        self.next_ticket
    }

    /// Takes a batch into the forming group and gives it a ticket.
    pub(crate) fn add(&mut self, batch: &Batch<'_>) -> Result<(u64, u64), StoreError> {
        let outcomes = batch.outcomes();
        if self.forming.is_empty() {
            self.forming.since = clock::now();
        }
        batch.encode(&mut self.forming.frame, &mut self.index, self.next_lsn)?;
        self.forming.count +=
            u32::try_from(outcomes).expect("a queue's bytes hold fewer than four billion outcomes");
        self.next_lsn += outcomes;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.forming.tickets += 1;
        self.forming.last_ticket = ticket;
        self.forming.last_lsn = self.next_lsn - 1;
        self.pending.push_back((ticket, self.next_lsn - 1));
        Ok((ticket, self.next_lsn - 1))
    }

    /// Takes the forming group out, to be written.
    pub(crate) fn take_group(&mut self) -> Group {
        let spare = std::mem::take(&mut self.spare);
        let mut group = std::mem::replace(&mut self.forming, Group::empty(spare));
        group.counts = self.index.counts;
        self.writing_bytes = group.frame.len();
        self.flush = false;
        group
    }

    /// The group is written, and synced if that took `sync`.
    pub(crate) fn group_done(&mut self, group: Group, sync: Option<Duration>) {
        self.durable_ticket = group.last_ticket;
        self.durable_lsn = group.last_lsn;
        self.durable_counts = group.counts;
        while self.pending.pop_front_if(|(ticket, _)| *ticket <= group.last_ticket).is_some() {}
        self.spare = group.frame;
        self.writing_bytes = 0;
        self.is_unmarked = true;
        self.is_head_stale = true;
        self.last_group = clock::now();
        if let Some(sync) = sync {
            self.synced(sync);
        }
    }

    /// Everything that was written is synced; that took so long.
    pub(crate) fn synced(&mut self, took: Duration) {
        self.synced_at = clock::now();
        self.syncs += 1;
        self.sync_time += took;
        self.sync_average = if self.syncs == 1 { took } else { (self.sync_average * 7 + took) / 8 };
    }

    /// Whether the group that is written now is to be synced.
    pub(crate) fn is_sync_due(&self, durability: Durability) -> bool {
        durability.is_power()
            || durability.is_sync_due(clock::now().duration_since(self.synced_at), self.sync_average)
    }

    pub(crate) fn sync_stats(&self) -> SyncStats {
        let elapsed = clock::now().duration_since(self.opened);
        SyncStats { syncs: self.syncs, time: self.sync_time, elapsed }
    }

    /// The highest ticket whose outcomes all have an lsn up to `lsn`.
    pub(crate) fn ticket_through(&self, lsn: u64) -> u64 {
        let durable = self.pending.iter().take_while(|(_, last)| *last <= lsn);
        durable.last().map_or(self.durable_ticket, |(ticket, _)| *ticket)
    }

    /// How long a group waits for company.
    pub(crate) fn linger(&self) -> Duration {
        (self.sync_average * LINGER_SYNCS).clamp(LINGER_MIN, LINGER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_group_waits_four_syncs_for_company_within_its_bounds() {
        let mut state = State::new(Index::new(1), 1, 1);
        for (average, linger) in [(Duration::ZERO, LINGER_MIN), (2 * MS, 8 * MS), (30 * MS, LINGER_MAX)] {
            state.sync_average = average;
            assert_eq!(state.linger(), linger);
        }
    }

    #[test]
    fn the_average_sync_begins_with_the_first_and_takes_an_eighth_of_each_later_one() {
        let mut state = State::new(Index::new(1), 1, 1);
        state.synced(16 * MS);
        assert_eq!(state.sync_average, 16 * MS);
        state.synced(8 * MS);
        assert_eq!(state.sync_average, 15 * MS);
        let stats = state.sync_stats();
        assert_eq!((stats.syncs, stats.time), (2, 24 * MS));
    }

    #[test]
    fn what_is_durable_is_not_waited_for_any_more() {
        let mut state = State::new(Index::new(1), 1, 1);
        let batch = |ordinal| Batch::completed_dense(ordinal, 2, 1, &[1, 7, 1, 7]).unwrap();
        assert_eq!(state.add(&batch(0)).unwrap(), (1, 2));
        assert_eq!(state.add(&batch(10)).unwrap(), (2, 4));
        let group = state.take_group();
        assert_eq!((group.count, group.tickets, group.last_ticket, group.last_lsn), (4, 2, 2, 4));
        assert_eq!(state.add(&batch(20)).unwrap(), (3, 6));
        assert_eq!(state.queued_bytes(), group.frame.len() + state.forming.frame.len());
        state.group_done(group, None);
        assert_eq!(state.pending, [(3, 6)]);
        assert_eq!((state.durable_ticket, state.durable_lsn), (2, 4));
        assert_eq!(state.queued_bytes(), state.forming.frame.len());
    }

    #[test]
    fn a_ticket_is_durable_with_its_last_outcome() {
        let mut state = State::new(Index::new(1), 1, 5);
        state.pending = [(5, 3), (6, 3), (7, 9)].into();
        assert_eq!([2, 3, 8, 9].map(|lsn| state.ticket_through(lsn)), [4, 6, 6, 7]);
    }
}
