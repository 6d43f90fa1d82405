//! Where everything that happens reaches the driver: bounded, and never a place where the store can get stuck.

use cofferdam_checkpoint::StoreError;
use cofferdam_pipeline_core::supervisor::{Control, Input};
use cofferdam_pipeline_core::{Key, WorkerEvent, WorkerId};
use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Worker events that may wait; a reader thread that brings more is held, so a flooding worker meets a full socket.
const WORKER_EVENTS_MAX: usize = 4096;

/// What the driver takes out at once, in the order in which it must be handled.
#[derive(Default)]
pub(crate) struct Arrived {
    pub inputs: VecDeque<Input>,
    /// The highest durable ticket of the store and its lsn.
    pub durable: Option<(u64, u64)>,
    pub store_error: Option<StoreError>,
}

#[derive(Default)]
struct Waiting {
    arrived: Arrived,
    worker_events: usize,
    /// Items among `arrived` that are to be cancelled: the same one twice must not fill the memory.
    cancelled: HashSet<Key>,
    /// Writers that are held: to wake nobody costs a system call.
    held: u32,
    woken: bool,
    closed: bool,
}

/// Many writers, one reader.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    something: Condvar,
    room: Condvar,
}

impl Inbox {
    /// A worker's event; holds the caller while too many wait.
    pub fn worker(&self, worker: WorkerId, event: WorkerEvent) {
        let mut waiting = self.lock();
        while waiting.worker_events >= WORKER_EVENTS_MAX && !waiting.closed {
            waiting.held += 1;
            waiting = self.room.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.held -= 1;
        }
        waiting.worker_events += 1;
        self.push(waiting, Input::Worker(worker, event));
    }

    /// Something from the source; bounded by the credit that the supervisor gives.
    pub fn source(&self, input: Input) {
        self.push(self.lock(), input);
    }

    /// A wish of the host.
    pub fn control(&self, control: Control) {
        let mut waiting = self.lock();
        // Idempotent: a host that asks for the same thing again and again must not fill the memory.
        let asked = waiting.arrived.inputs.iter().any(|i| matches!(i, Input::Control(c) if *c == control));
        let last = waiting.arrived.inputs.iter().rev().find_map(|i| match i {
            Input::Control(c) => Some(*c),
            _ => None,
        });
        if !(asked && last == Some(control)) {
            waiting.arrived.inputs.push_back(Input::Control(control));
        }
        self.wake(waiting);
    }

    /// A wish of the host about one item.
    pub fn cancel_item(&self, key: Key) {
        let mut waiting = self.lock();
        if !waiting.closed && waiting.cancelled.insert(key.clone()) {
            waiting.arrived.inputs.push_back(Input::CancelItem(key));
        }
        self.wake(waiting);
    }

    /// The store made everything up to `ticket` durable. Never blocks: the store's writer thread calls it.
    pub fn durable(&self, ticket: u64, lsn: u64) {
        let mut waiting = self.lock();
        waiting.arrived.durable = Some((ticket, lsn));
        self.wake(waiting);
    }

    /// The store failed. Never blocks.
    pub fn store_error(&self, error: StoreError) {
        let mut waiting = self.lock();
        waiting.arrived.store_error.get_or_insert(error);
        self.wake(waiting);
    }

    /// Waits until something is there or `timeout` is over, and takes all of it.
    pub fn take(&self, timeout: Duration) -> Arrived {
        let mut waiting = self.lock();
        if !waiting.woken {
            waiting = self
                .something
                .wait_timeout_while(waiting, timeout, |w| !w.woken)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        waiting.woken = false;
        waiting.worker_events = 0;
        waiting.cancelled.clear();
        if waiting.held > 0 {
            self.room.notify_all();
        }
        std::mem::take(&mut waiting.arrived)
    }

    /// Nobody reads any more: writers are never held again.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, input: Input) {
        if !waiting.closed {
            waiting.arrived.inputs.push_back(input);
        }
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let sleeping = !std::mem::replace(&mut waiting.woken, true);
        drop(waiting);
        if sleeping {
            self.something.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
