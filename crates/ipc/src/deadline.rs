//! The one place that reads the clock.

use std::io;
use std::time::{Duration, Instant};

/// The time until `deadline`; `None` when there is none.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] once it has passed.
pub(crate) fn remaining(deadline: Option<Instant>) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else { return Ok(None) };
    match deadline.checked_duration_since(now()) {
        Some(left) if !left.is_zero() => Ok(Some(left)),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "waits on the operating system need the real clock, here only")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
