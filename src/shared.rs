//! What the driver and the handles of a job share.

use crate::events::Publisher;
use crate::{JobError, Report, Snapshot};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Written by the driver, read by every handle.
#[derive(Default)]
pub(crate) struct Shared {
    pub publisher: Publisher,
    snapshot: Mutex<Snapshot>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    durable_lsn: u64,
    /// Threads that wait for a change: to wake nobody costs a system call.
    waiting: u32,
    ended: Option<Result<Report, EngineStopped>>,
    wakers: Vec<Waker>,
}

/// The driver thread is gone without a report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineStopped;

impl Shared {
    pub fn set_snapshot(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_durable(&self, lsn: u64) {
        let mut progress = self.lock();
        progress.durable_lsn = lsn;
        if progress.waiting > 0 {
            drop(progress);
            self.changed.notify_all();
        }
    }

    /// The last word on the job; later ones are ignored.
    pub fn end(&self, result: Result<Report, EngineStopped>) {
        let mut progress = self.lock();
        progress.ended.get_or_insert(result);
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        self.changed.notify_all();
        self.publisher.end();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the report is there.
    pub fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    /// The highest durable lsn so far.
    pub fn durable(&self) -> u64 {
        self.lock().durable_lsn
    }

    /// Waits until more than `lsn` is durable (`true`) or the job is over with nothing more (`false`).
    pub fn wait_for_durable(&self, lsn: u64) -> bool {
        self.wait_while(|p| p.durable_lsn <= lsn && p.ended.is_none()).durable_lsn > lsn
    }

    pub fn wait(&self) -> Result<Report, JobError> {
        let progress = self.wait_while(|p| p.ended.is_none());
        answer(progress.ended.as_ref()).expect("waited until the job had ended")
    }

    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<Report, JobError>> {
        let mut progress = self.lock();
        progress.waiting += 1;
        let (mut progress, _) = self
            .changed
            .wait_timeout_while(progress, timeout, |p| p.ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        progress.waiting -= 1;
        answer(progress.ended.as_ref())
    }

    pub fn poll(&self, cx: &Context<'_>) -> Poll<Result<Report, JobError>> {
        let mut progress = self.lock();
        match answer(progress.ended.as_ref()) {
            Some(result) => Poll::Ready(result),
            None => {
                if !progress.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    progress.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn wait_while(&self, condition: impl FnMut(&mut Progress) -> bool) -> MutexGuard<'_, Progress> {
        let mut progress = self.lock();
        progress.waiting += 1;
        let mut progress =
            self.changed.wait_while(progress, condition).unwrap_or_else(PoisonError::into_inner);
        progress.waiting -= 1;
        progress
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(ended: Option<&Result<Report, EngineStopped>>) -> Option<Result<Report, JobError>> {
    Some(ended?.clone().map_err(|EngineStopped| JobError::Engine))
}
