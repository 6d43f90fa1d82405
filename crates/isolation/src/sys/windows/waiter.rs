//! Waits for the end of any of several processes, or for a wake-up.

use super::process::Process;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often processes are looked at. `WaitForMultipleObjects` takes 64 at most; and a closing pipe wakes the waiter much
/// earlier, so this only finds processes whose pipe somebody else holds open.
const TICK: Duration = Duration::from_millis(20);

/// Waits; see [`Waker`].
#[derive(Debug)]
pub(crate) struct Waiter(Arc<Bell>);

/// Ends a wait, the current one or the next.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

/// A connected pair.
#[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
pub(crate) fn waiter() -> io::Result<(Waiter, Waker)> {
    let bell = Arc::<Bell>::default();
    Ok((Waiter(bell.clone()), Waker(bell)))
}

impl Waker {
    pub(crate) fn wake(&self) {
        *self.0.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.ring.notify_one();
    }
}

impl Waiter {
    /// Returns when one of the processes may have ended, after a wake-up, or when `timeout` has passed; often earlier.
    pub(crate) fn wait<'a>(
        &mut self,
        mut processes: impl Iterator<Item = &'a Process>,
        timeout: Option<Duration>,
    ) {
        let tick = processes.next().map(|_| TICK);
        let timeout = timeout.into_iter().chain(tick).min().unwrap_or(Duration::MAX);
        let rung = self.0.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.ring.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
