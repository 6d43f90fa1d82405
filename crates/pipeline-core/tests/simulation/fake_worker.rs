//! A worker that runs in no time and no process.

use crate::nature::Fate;
use cofferdam_pipeline_core::{LeaseId, OpenItem, Time};
use std::collections::VecDeque;

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
    /// It sent something that may not fit.
    pub violated: bool,
    /// What it sent did not fit at all, so that it has lost count itself.
    pub garbled: bool,
    /// A kill of the host has reached it.
    pub kill_sent: bool,
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
