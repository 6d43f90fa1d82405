//! A worker that runs in no time and no process.

use crate::nature::Fate;
use crate::world::Message;
use cofferdam_pipeline_core::{KillReason, LeaseId, Observation, OpenItem, Time, TimeLimit};
use std::collections::VecDeque;
use std::time::Duration;

pub struct FakeWorker {
    pub life: Life,
    /// Whether the supervisor knows that it is ready.
    pub said_ready: bool,
    pub leases: VecDeque<FakeLease>,
    /// Open items in order; they end in order.
    pub open: VecDeque<Open>,
    pub paused: bool,
    pub stopping: bool,
    pub killable: bool,
    pub silent: bool,
    pub pausable: bool,
    /// It has no heartbeat.
    pub mute: bool,
    /// When it was stopped from outside, while it is.
    pub stopped: Option<Time>,
    /// When it was stopped last.
    pub stopped_last: Option<Time>,
    /// How long it has run, but for the time since `runs_since`.
    pub ran: Duration,
    pub runs_since: Time,
    /// What came while it was stopped.
    pub unread: Vec<Message>,
    /// It sent something that may not fit.
    pub violated: bool,
    /// What it sent did not fit at all, so that it has lost count itself.
    pub garbled: bool,
    /// A kill of the host has reached it.
    pub kill_sent: bool,
    /// A stranger has killed it.
    pub struck: bool,
    /// Why the host wants it dead.
    pub killed_for: Option<KillReason>,
    /// The item that ended it.
    pub culprit: Option<u64>,
    pub die_when_idle: bool,
    /// When the last message in each direction arrives: they stay in order.
    pub to_host: Time,
    pub from_host: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Starting,
    Running,
    /// Dead, or so well as dead that it does nothing any more.
    Dead,
}

pub struct FakeLease {
    pub id: LeaseId,
    pub first: u64,
    pub len: u32,
    pub attempt: u32,
    pub started: u32,
    pub finished: u32,
    pub reported: u32,
}

pub struct Open {
    pub lease: LeaseId,
    pub offset: u32,
    pub item: u64,
    pub since: Time,
    pub fate: Fate,
    /// It has ended, but one before it has not.
    pub ended: bool,
}

impl Open {
    /// Whether looks at it differ. What has ended is no longer silent, it waits for another item.
    pub fn reports(&self) -> bool {
        self.ended || self.fate.reports()
    }

    fn hangs(&self) -> bool {
        matches!(self.fate, Fate::Hangs { .. })
    }
}

impl FakeWorker {
    pub fn lease(&mut self, id: LeaseId) -> Option<&mut FakeLease> {
        self.leases.iter_mut().find(|lease| lease.id == id)
    }

    /// What its recorder shows.
    pub fn recorder(&self) -> Vec<OpenItem> {
        self.open
            .iter()
            .map(|o| OpenItem { lease: o.lease, offset: o.offset, ..OpenItem::default() })
            .collect()
    }

    /// What a look at it shows: whoever ran has beaten, and those of its items that report have reported.
    pub fn look(&self, now: Time) -> Observation {
        let mut open = self.recorder();
        for (item, open) in open.iter_mut().zip(&self.open) {
            item.progress = open.reports().then(|| (self.running_time(now).as_nanos() as u64, u64::MAX));
        }
        let beats = self.running_time(now).as_nanos() as u64 + 1;
        Observation { heartbeat: if self.mute { 0 } else { beats }, open, ..Observation::default() }
    }

    fn running_time(&self, now: Time) -> Duration {
        self.ran + if self.stopped.is_some() { Duration::ZERO } else { now.since(self.runs_since) }
    }

    /// Somebody stops it.
    pub fn stop_from_outside(&mut self, now: Time) {
        self.ran = self.running_time(now);
        self.stopped = Some(now);
        self.stopped_last = self.stopped;
    }

    /// Somebody continues it: what it has not read.
    pub fn go_on(&mut self, now: Time) -> Vec<Message> {
        self.stopped = None;
        self.runs_since = now;
        std::mem::take(&mut self.unread)
    }

    /// The machine stood still for `gap`.
    pub fn extend(&mut self, gap: Duration) {
        self.to_host = self.to_host + gap;
        self.from_host = self.from_host + gap;
        self.runs_since = self.runs_since + gap;
        self.stopped = self.stopped.map(|at| at + gap);
        self.stopped_last = self.stopped_last.map(|at| at + gap);
        self.open.iter_mut().for_each(|open| open.since = open.since + gap);
    }

    /// The item for which a limit ends it. Whoever was stopped from outside may have been ended for an innocent one.
    pub fn culprit(&self, limit: TimeLimit) -> Option<u64> {
        let hung = self.open.iter().find(|open| match limit {
            TimeLimit::Item => open.hangs(),
            TimeLimit::Stall => open.hangs() && !open.reports(),
            _ => false,
        });
        hung.filter(|_| self.stopped_last.is_none()).map(|open| open.item)
    }

    /// Whether it stood still for so long.
    pub fn stood_still(&self, now: Time, limit: Duration) -> bool {
        self.stopped_last.is_some_and(|at| now.since(at) >= limit)
    }

    /// Starts the next item, if there is one and a slot is free.
    pub fn next_item(&mut self, slots: usize) -> Option<(LeaseId, u32, u64, u32)> {
        if self.life != Life::Running || self.stopping || self.open.len() >= slots {
            return None;
        }
        let lease = self.leases.iter_mut().find(|lease| lease.started < lease.len)?;
        lease.started += 1;
        let offset = lease.started - 1;
        Some((lease.id, offset, lease.first + u64::from(offset), lease.attempt))
    }
}
