//! The one place that reads a clock.

use std::time::Instant;

#[allow(clippy::disallowed_methods, reason = "the one place of this crate that reads a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "a bounded pause between two tries to get a lock")]
pub(crate) fn pause(duration: std::time::Duration) {
    std::thread::sleep(duration);
}
