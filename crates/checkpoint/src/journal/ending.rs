//! How a group ended, for the callers who wait for it: they learn it without the journal's lock.

use crate::StoreError;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};

/// Shared by a group and the callers whose commits are in it. What happens to the handle later, such as a reopening, cannot change it.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    result: OnceLock<Result<(), StoreError>>,
    sleepers: Mutex<Vec<Thread>>,
}

impl Ending {
    /// The caller will [`Self::wait`]. Only while the group still forms: then nobody can end it meanwhile.
    pub(crate) fn announce(&self) {
        self.sleepers().push(thread::current());
    }

    /// Tells how the group ended; the first word stands. Wakes one of those who wait: it wakes the others, so that whoever ends one group
    /// can begin the next.
    pub(crate) fn end(&self, result: Result<(), StoreError>) {
        // An error here says that it has ended before.
        let _ = self.result.set(result);
        let first = self.sleepers().pop();
        if let Some(first) = first {
            first.unpark();
        }
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn result(&self) -> Option<&Result<(), StoreError>> {
        self.result.get()
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> Result<(), StoreError> {
        loop {
            if let Some(result) = self.result.get() {
                // Whoever comes first after the end, woken or not, finds all the others here.
                let sleepers = std::mem::take(&mut *self.sleepers());
                sleepers.iter().for_each(Thread::unpark);
                return result.clone();
            }
            thread::park();
        }
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<Thread>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn all_who_wait_learn_the_first_result() {
        for result in [Ok(()), Err(StoreError::Indeterminate)] {
            let ending = Arc::new(Ending::default());
            let waiting: Vec<_> = (0..8)
                .map(|_| {
                    let ending = ending.clone();
                    thread::spawn(move || {
                        ending.announce();
                        ending.wait()
                    })
                })
                .collect();
            while ending.sleepers().len() < waiting.len() {
                thread::yield_now();
            }
            assert!(ending.result().is_none());

            ending.end(result.clone());
            ending.end(Err(StoreError::Closed));

            for one in waiting {
                assert_eq!(one.join().unwrap().is_ok(), result.is_ok());
            }
            assert!(ending.sleepers().is_empty());
        }
    }
}
