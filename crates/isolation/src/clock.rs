//! The one place of this crate that reads the clock and sleeps.

use std::time::{Duration, Instant};

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps between two looks at something that wakes nobody. The caller's loop has a bound, or ends with its host.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
