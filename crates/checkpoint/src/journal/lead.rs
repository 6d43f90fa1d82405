//! Writing a group: whoever finds nobody writing does it, be it a blocked caller or the journal's own thread.

use super::append::{Appender, FrameKind};
use super::bell::Bell;
use super::chain::Chain;
use super::compact::Compaction;
use super::create::{append_mark, begin_segment};
use super::fill::{FillAhead, FillError, Filler};
use super::group::{Group, State};
use super::head_file::HeadFile;
use super::merge;
use super::snapshot::Snapshots;
use crate::disk::Disk;
use crate::format::frame::{FLAG_COMMIT, HEADER_LEN, TYPE_RECORDS};
use crate::format::segment::SegmentHeader;
use crate::limits::{HEAD_INTERVAL_BUSY, PROCESS_SYNC_BYTES, SEGMENT_LEN_MAX};
use crate::seeded::has_bug;
use crate::{CommitEvent, Counts, Durability, JobState, StoreError, clock};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Called with what happens to commits.
pub(crate) type OnCommit = Arc<dyn Fn(CommitEvent) + Send + Sync>;

/// The journal of an open job. Locks are taken one at a time, or the state's first.
pub(crate) struct Journal {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) fill: FillAhead,
    pub(crate) idle: Duration,
    pub(crate) state: Mutex<State>,
    /// The journal's own thread waits here.
    pub(crate) work: Condvar,
    /// Callers wait here, for room or for their commit.
    pub(crate) done: Bell,
    pub(crate) tip: Mutex<Tip>,
    pub(crate) chain: Mutex<Chain>,
    pub(crate) head: Mutex<HeadFile>,
    pub(crate) on_commit: Mutex<Option<OnCommit>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) compaction: Compaction,
    /// Whether the thread that fills the current segment ahead has been started.
    pub(crate) is_filling: AtomicBool,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Tip {
    pub(crate) appender: Appender,
    pub(crate) filler: Arc<Filler>,
    /// Bytes of records in it that only matter until their items have outcomes.
    pub(crate) passing_bytes: u64,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Locks; a panic of another thread under the lock does not spread, since every change under it is made in one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Writes the forming group and everything that is due after it. Nobody leads when this is called.
    pub(crate) fn lead_group(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.is_led = true;
        let mut group = state.take_group();
        let ending = group.ending.take().unwrap_or_default();
        let is_due = state.is_sync_due(self.durability);
        drop(state);
        let written = self.write_group(&mut group, is_due);
        let mut state = lock(&self.state);
        let event = match written {
            Ok(sync) => {
                let event = CommitEvent::Durable { through: group.last_ticket, lsn: group.last_lsn };
                ending.end(Ok(()));
                state.group_done(group, sync);
                Some(event)
            }
            Err(error) => {
                let event = state.fail(error.clone());
                ending.end(Err(state.failure.clone().unwrap_or(error)));
                event
            }
        };
        let on_commit = lock(&self.on_commit).clone();
        if on_commit.is_none() && !self.is_upkeep_due(&state) {
            // Whoever is woken first sees to the next group, but not before the lock is free.
            drop(self.hand_over(state, ending.is_waited_for()));
            return ending.wake();
        }
        self.done.ring();
        drop(state);
        ending.wake();
        if let (Some(on_commit), Some(event)) = (on_commit, event) {
            on_commit(event);
        }
        if let Err(error) = self.upkeep() {
            self.fail(error);
        }
        drop(self.resign());
    }

    /// Leads something that is not a group.
    pub(crate) fn lead_other<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        what: impl FnOnce(&Self) -> Result<(), StoreError>,
    ) -> MutexGuard<'a, State> {
        state.is_led = true;
        drop(state);
        if let Err(error) = what(self) {
            self.fail(error);
        }
        self.resign()
    }

    fn resign(&self) -> MutexGuard<'_, State> {
        self.hand_over(lock(&self.state), false)
    }

    /// Leads no longer. The journal's own thread is woken only if there is something to do; the next caller may be faster. If
    /// `is_seen_to`, a caller is about to look whether that is so: see [`Self::see_to_a_leader`].
    fn hand_over<'a>(&'a self, mut state: MutexGuard<'a, State>, is_seen_to: bool) -> MutexGuard<'a, State> {
        state.is_led = false;
        self.done.ring();
        // Woken once in a pause, it stays until the mark for that and all that follows is written.
        let is_mark_forgotten = state.is_asleep && state.is_unmarked;
        let is_for_others = state.forming.is_empty() || is_seen_to && state.forming.ending.is_some();
        if !is_for_others || state.closing.is_some() || state.failure.is_some() || is_mark_forgotten {
            self.work.notify_all();
        }
        state
    }

    /// Wakes the journal's own thread if a group has formed and nobody leads. Most often whoever led is back by then.
    pub(super) fn see_to_a_leader(&self) {
        let state = lock(&self.state);
        if !state.is_led && !state.forming.is_empty() && !has_bug("nobody looks for a leader") {
            self.work.notify_all();
        }
    }

    /// Waits for a caller who was leading when this failed or was closed; nobody begins to after that.
    pub(crate) fn wait_for_leader(&self) {
        let mut state = lock(&self.state);
        while state.is_led && !has_bug("a job goes on beside whoever leads") {
            state = self.done.wait(state);
        }
    }

    /// Makes everyone who waits, or comes later, learn of an error.
    pub(crate) fn fail(&self, error: StoreError) {
        let event = lock(&self.state).fail(error);
        self.done.ring();
        self.work.notify_all();
        self.tell(event);
    }

    fn tell(&self, event: Option<CommitEvent>) {
        let on_commit = lock(&self.on_commit).clone();
        if let (Some(on_commit), Some(event)) = (on_commit, event) {
            on_commit(event);
        }
    }

    /// One write and, if the durability asks for it, one sync; says how long that took.
    fn write_group(&self, group: &mut Group, is_due: bool) -> Result<Option<Duration>, StoreError> {
        let target = {
            let mut tip = lock(&self.tip);
            if tip.appender.offset() > SEGMENT_LEN_MAX {
                self.rotate(&mut tip)?;
            }
            let kind = FrameKind { kind: TYPE_RECORDS, flags: FLAG_COMMIT, count: group.count };
            let appended = tip.appender.append(kind, &mut group.frame);
            if !has_bug("acknowledged before the write") {
                appended?;
            }
            self.snapshots.appended(group.frame.len());
            let target = tip.appender.sync_target();
            let is_due = is_due || target.end - tip.appender.durable_end() > PROCESS_SYNC_BYTES;
            (target, is_due)
        };
        let (target, is_due) = target;
        let took = if is_due {
            let began = clock::now();
            let synced = target.sync();
            if !has_bug("acknowledged before the sync") {
                synced?;
            }
            lock(&self.tip).appender.synced(target.end);
            Some(clock::now().duration_since(began))
        } else {
            target.still_there()?;
            None
        };
        let mut chain = lock(&self.chain);
        chain.durable_end = target.end;
        chain.durable_lsn = group.last_lsn;
        Ok(took)
    }

    fn is_upkeep_due(&self, state: &State) -> bool {
        let is_filling = self.fill == FillAhead::Off || self.is_filling.load(Ordering::Relaxed);
        !is_filling || is_head_due(state) || self.snapshots.is_due()
    }

    /// What is done now and then by whoever wrote a group.
    fn upkeep(self: &Arc<Self>) -> Result<(), StoreError> {
        let is_head_due = {
            let state = lock(&self.state);
            if state.failure.is_some() {
                return Ok(());
            }
            is_head_due(&state)
        };
        self.fill_ahead()?;
        if self.snapshots.is_due() {
            self.snapshot_in_background();
        }
        if is_head_due { self.write_head(None) } else { Ok(()) }
    }

    fn fill_ahead(self: &Arc<Self>) -> Result<(), StoreError> {
        let filler = lock(&self.tip).filler.clone();
        match self.fill {
            FillAhead::Off => Ok(()),
            FillAhead::Inline => self.fill_result(filler.fill_if_due()),
            FillAhead::Background if self.is_filling.swap(true, Ordering::Relaxed) => Ok(()),
            FillAhead::Background => {
                let journal = self.clone();
                let thread = std::thread::Builder::new().name("cofferdam-fill".into());
                let spawned = thread.spawn(move || {
                    if let Err(error) = journal.fill_result(filler.run()) {
                        journal.fail(error);
                    }
                });
                // Without the thread commits are slower and nothing else.
                if let Err(error) = spawned {
                    tracing::warn!(%error, "segments are not filled ahead");
                }
                Ok(())
            }
        }
    }

    pub(super) fn fill_result(&self, result: Result<(), FillError>) -> Result<(), StoreError> {
        match result {
            Ok(()) => Ok(()),
            Err(FillError::Write) => {
                tracing::debug!("cannot fill ahead: the disk may be getting full");
                Ok(())
            }
            Err(FillError::Sync(error)) => Err(StoreError::io("sync", &self.dir, error)),
        }
    }

    /// Says in the journal that the last group is durable: damage to it is then told from a torn end.
    pub(crate) fn write_mark(&self) -> Result<(), StoreError> {
        let sync = |tip: &Mutex<Tip>| {
            let target = lock(tip).appender.sync_target();
            let began = clock::now();
            target.sync()?;
            lock(&self.state).synced(clock::now().duration_since(began));
            lock(tip).appender.synced(target.end);
            Ok::<u64, StoreError>(target.end)
        };
        if !self.durability.is_power() {
            sync(&self.tip)?;
        }
        {
            let mut tip = lock(&self.tip);
            if tip.appender.offset() > SEGMENT_LEN_MAX {
                self.rotate(&mut tip)?;
            }
            append_mark(&mut tip.appender)?;
        }
        let end = sync(&self.tip)?;
        lock(&self.chain).durable_end = end;
        lock(&self.state).is_unmarked = false;
        Ok(())
    }

    /// Brings HEAD up to date.
    pub(crate) fn write_head(&self, job_state: Option<JobState>) -> Result<(), StoreError> {
        let (counts, lsn) = {
            let mut state = lock(&self.state);
            state.is_head_stale = false;
            state.last_head = clock::now();
            (state.durable_counts, state.durable_lsn)
        };
        let (durable_end, seq, epoch) = {
            let tip = lock(&self.tip);
            (tip.appender.durable_end(), tip.appender.header.seq, tip.appender.header.epoch)
        };
        lock(&self.head).update(|head| {
            head.seq = seq;
            head.epoch = epoch;
            head.durable_end = durable_end;
            head.durable_lsn = lsn;
            head.counts = counts;
            head.state = job_state.unwrap_or(JobState::Running);
        })
    }

    /// Goes on in a new segment.
    pub(super) fn rotate(&self, tip: &mut Tip) -> Result<(), StoreError> {
        let target = tip.appender.sync_target();
        target.sync()?;
        tip.appender.synced(target.end);
        let before = &tip.appender.header;
        let mut header =
            SegmentHeader { seq: before.seq + 1, prev: tip.appender.pin(), absorbs: 0, ..*before };
        let replaced = merge::of_full_segment(tip);
        if replaced.is_some() {
            (header.prev, header.absorbs) = (before.prev, before.absorbs + 1);
        }
        tip.filler.end();
        let tails = replaced.as_slice();
        let (appender, filler) = begin_segment(&self.disk, &self.dir, header, tails, self.fill)?;
        lock(&self.chain).push(&appender.header);
        let (header, end) = (appender.header, appender.durable_end());
        *tip = Tip { appender, filler, passing_bytes: 0 };
        self.is_filling.store(false, Ordering::Relaxed);
        lock(&self.head).update(|head| {
            head.seq = header.seq;
            head.durable_end = end;
            if header.absorbs > 0 {
                // It may begin in what is replaced; the next one is due soon.
                head.snapshot_lsn = 0;
            }
        })?;
        merge::remove_absorbed(self.disk.as_ref(), &self.dir, &lock(&self.chain).links.clone());
        Ok(())
    }

    /// Writes records that need not survive a power cut at once, so that they survive this process.
    pub(crate) fn append_unsynced(&self, records: impl FnOnce(&mut Vec<u8>)) -> Result<(), StoreError> {
        if let Some(error) = lock(&self.state).refusal() {
            return Err(error);
        }
        let mut tip = lock(&self.tip);
        let mut frame = vec![0; HEADER_LEN];
        records(&mut frame);
        self.snapshots.appended(frame.len());
        let appended = tip.appender.append(FrameKind { kind: TYPE_RECORDS, flags: 0, count: 0 }, &mut frame);
        tip.passing_bytes += frame.len() as u64;
        let unsynced = tip.appender.offset() - tip.appender.durable_end();
        drop(tip);
        if unsynced > PROCESS_SYNC_BYTES {
            // Hours without an outcome: a mark syncs now and then, and a full segment is replaced.
            lock(&self.state).is_unmarked = true;
            self.work.notify_all();
        }
        appended.inspect_err(|error| self.fail(error.clone()))
    }

    /// Outcomes by kind, durable ones only.
    pub(crate) fn counts(&self) -> Counts {
        lock(&self.state).durable_counts
    }
}

fn is_head_due(state: &State) -> bool {
    clock::now().duration_since(state.last_head) >= HEAD_INTERVAL_BUSY
}

impl State {
    /// The first error wins; says what to tell.
    fn fail(&mut self, error: StoreError) -> Option<CommitEvent> {
        self.writing_bytes = 0;
        if self.failure.is_some() {
            return None;
        }
        self.failure = Some(error.clone());
        self.forming.end(Err(error.clone()));
        Some(CommitEvent::Failed(error))
    }

    /// Why nothing can be written now.
    pub(crate) fn refusal(&self) -> Option<StoreError> {
        if self.failure.is_some() {
            return Some(StoreError::Indeterminate);
        }
        self.closing.map(|_| StoreError::Closed)
    }
}
