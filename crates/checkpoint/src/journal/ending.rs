//! How a group ended, for the callers who wait for it: they learn it without the journal's lock.

use crate::StoreError;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
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

    /// Tells how the group ended; the first word stands. See [`Self::wake`].
    pub(crate) fn end(&self, result: Result<(), StoreError>) {
        // An error here says that it has ended before.
        let _ = self.result.set(result);
    }

    /// Whether anybody waits who has not been woken.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.sleepers().is_empty()
    }

    /// Wakes one of those who wait: it wakes the others, so that whoever ended one group can begin the next.
    pub(crate) fn wake(&self) {
        let first = self.sleepers().last().cloned();
        first.iter().for_each(Thread::unpark);
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn result(&self) -> Option<&Result<(), StoreError>> {
        self.result.get()
    }

    /// Waits for the end. Whoever comes first after it, woken or not, does `then` and wakes the others.
    pub(crate) fn wait(&self, then: impl FnOnce()) -> Result<(), StoreError> {
        loop {
            if let Some(result) = self.result.get() {
                let sleepers = std::mem::take(&mut *self.sleepers());
                if !sleepers.is_empty() {
                    then();
                    let mine = thread::current().id();
                    sleepers.iter().filter(|other| other.id() != mine).for_each(Thread::unpark);
                }
                return result.clone();
            }
            thread::park();
        }
    }

    fn sleepers(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, mpsc};

    #[test]
    fn all_who_wait_learn_the_first_result_and_one_of_them_does_what_is_to_be_done() {
        for result in [Ok(()), Err(StoreError::Indeterminate)] {
            let ending = Arc::new(Ending::default());
            let done = Arc::new(AtomicU32::new(0));
            let (announced, is_announced) = mpsc::channel();
            let waiting: Vec<_> = (0..8)
                .map(|_| {
                    let (ending, done, announced) = (ending.clone(), done.clone(), announced.clone());
                    thread::spawn(move || {
                        ending.announce();
                        announced.send(()).unwrap();
                        ending.wait(|| {
                            done.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                })
                .collect();
            assert_eq!(is_announced.iter().take(waiting.len()).count(), waiting.len());
            assert!(ending.result().is_none());

            assert!(ending.is_waited_for());
            ending.end(result.clone());
            ending.end(Err(StoreError::Closed));
            ending.wake();

            for one in waiting {
                assert_eq!(one.join().unwrap().is_ok(), result.is_ok());
            }
            assert_eq!(done.load(Ordering::Relaxed), 1);
            assert!(!ending.is_waited_for());
        }
    }
}
