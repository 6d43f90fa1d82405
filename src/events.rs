//! Events for whoever listens: bounded, lossy, never a burden to the driver.

use cofferdam_pipeline_core::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Events that a listener may leave unread; older ones are dropped and counted.
const EVENTS_MAX: usize = 1024;

#[derive(Default)]
struct Unread {
    events: VecDeque<Event>,
    lost: u64,
    ended: bool,
}

#[derive(Default)]
struct Listener {
    unread: Mutex<Unread>,
    arrived: Condvar,
}

impl Listener {
    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end.
#[derive(Default)]
pub(crate) struct Publisher {
    listeners: Mutex<Vec<Weak<Listener>>>,
}

impl Publisher {
    pub fn subscribe(&self) -> Events {
        let listener = Arc::new(Listener::default());
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&listener));
        Events { listener }
    }

    pub fn publish(&self, event: &Event) {
        self.each(|unread| {
            if unread.events.len() == EVENTS_MAX {
                unread.events.pop_front();
                unread.lost += 1;
            }
            unread.events.push_back(event.clone());
        });
    }

    pub fn end(&self) {
        self.each(|unread| unread.ended = true);
    }

    fn each(&self, mut change: impl FnMut(&mut Unread)) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).retain(|weak| {
            let Some(listener) = weak.upgrade() else { return false };
            change(&mut listener.lock());
            listener.arrived.notify_all();
            true
        });
    }
}

/// Events of a job, see [`crate::JobHandle::events`].
///
/// A listener that falls more than 1,024 events behind loses the oldest ([`Events::lost`]); outcomes are never lost,
/// since they are read from the store.
pub struct Events {
    listener: Arc<Listener>,
}

impl Events {
    /// The next event; `None` when none came in time or the job is over and all are read.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Event> {
        let unread = self.listener.lock();
        let waiting = |u: &mut Unread| u.events.is_empty() && !u.ended;
        let (mut unread, _) = self
            .listener
            .arrived
            .wait_timeout_while(unread, timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        unread.events.pop_front()
    }

    /// How many events were dropped because nobody read them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.listener.lock().lost
    }
}

impl Iterator for Events {
    type Item = Event;

    /// The next event; blocks until there is one. `None` once the job is over.
    fn next(&mut self) -> Option<Event> {
        let mut unread = self.listener.lock();
        while unread.events.is_empty() && !unread.ended {
            unread = self.listener.arrived.wait(unread).unwrap_or_else(PoisonError::into_inner);
        }
        unread.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_pipeline_core::EventKind;

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let publisher = Publisher::default();
        let mut events = publisher.subscribe();
        for lsn in 0..EVENTS_MAX as u64 + 3 {
            publisher.publish(&Event { lsn, kind: EventKind::Paused });
        }
        publisher.end();
        assert_eq!(events.lost(), 3);
        assert_eq!(events.next().map(|e| e.lsn), Some(3));
        assert_eq!(events.by_ref().count(), EVENTS_MAX - 1, "the end of the job ends the events");
        assert_eq!(events.recv_timeout(Duration::from_secs(60)), None);
    }
}
