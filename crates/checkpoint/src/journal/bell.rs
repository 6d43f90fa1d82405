//! Wakes whoever waits, and costs nothing while nobody does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// A condition variable that counts those who wait: that of the standard library calls the system to wake them, whether there are any or
/// not. What they wait for must change under the mutex that they wait with, before [`Self::ring`].
#[derive(Debug, Default)]
pub(crate) struct Bell {
    condvar: Condvar,
    /// Grows under the mutex: whoever changes what they wait for finds them here.
    waiting: AtomicUsize,
}

impl Bell {
    /// Waits for the bell, or for nothing at all: look again.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = self.condvar.wait(guard).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Waits while `is_waiting` says so, but no longer than `timeout`.
    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        is_waiting: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.condvar.wait_timeout_while(guard, timeout, is_waiting);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes all who wait.
    pub(crate) fn ring(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::thread;

    #[test]
    fn all_who_wait_are_woken_and_nobody_counts_as_waiting_after_that() {
        let shared = Arc::new((Mutex::new(0), Bell::default()));
        for round in 1..=100 {
            let waiting: Vec<_> = (0..4)
                .map(|n| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        let (number, bell) = &*shared;
                        let mut number = number.lock().unwrap();
                        if n % 2 == 0 {
                            number =
                                bell.wait_while(number, Duration::from_secs(60), |number| *number < round);
                        }
                        while *number < round {
                            number = bell.wait(number);
                        }
                    })
                })
                .collect();
            // Some wait by now, and some do not.
            *shared.0.lock().unwrap() = round;
            shared.1.ring();
            waiting.into_iter().for_each(|one| one.join().unwrap());
            assert_eq!(shared.1.waiting.load(Ordering::Relaxed), 0);
        }
    }
}
