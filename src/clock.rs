//! The host's monotonic clock, and whether it or the host stood still.

use cofferdam_pipeline_core::Time;
use std::time::{Duration, Instant};

/// A wake-up later than this beyond its plan means that the host was stopped, suspended or starved.
const GAP_MIN: Duration = Duration::from_secs(2);

/// Time since the job started.
pub(crate) struct Clock {
    origin: Instant,
    expected: Option<Time>,
}

impl Clock {
    pub fn start() -> Self {
        Self { origin: instant(), expected: None }
    }

    pub fn now(&self) -> Time {
        Time::default() + self.origin.elapsed()
    }

    /// The driver goes to sleep at `now`, for at most `wait`.
    pub fn sleeping(&mut self, now: Time, wait: Duration) {
        self.expected = Some(now + wait);
    }

    /// The driver is awake at `now`: how long everything stood still, if it did.
    pub fn gap(&mut self, now: Time) -> Option<Duration> {
        let late = now.since(self.expected.take()?);
        (late >= GAP_MIN).then_some(late)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock in the facade")]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wake_up_far_beyond_its_plan_is_a_gap() {
        let mut clock = Clock::start();
        let at = |ms| Time::default() + Duration::from_millis(ms);
        clock.sleeping(at(0), Duration::from_millis(50));
        assert_eq!(clock.gap(at(1000)), None);
        clock.sleeping(at(1000), Duration::from_millis(50));
        assert_eq!(clock.gap(at(9050)), Some(Duration::from_secs(8)));
        assert_eq!(clock.gap(at(90_000)), None, "a gap is reported once");
    }
}
