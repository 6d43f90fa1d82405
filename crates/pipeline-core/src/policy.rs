//! The rules of a job: how many workers, how long, how often, how much.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// Longer than anybody waits, and short enough to be added to a time of any clock.
const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// All knobs of the supervisor, with defaults that suit a desktop app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Workers at a time.
    pub workers: NonZeroU32,
    /// Items that are open in one worker at a time; more than 1 only for processors that take several at once.
    pub slots_per_worker: NonZeroU32,
    /// The wall time that one item may take; `None` for no limit.
    pub item_wall_max: Option<Duration>,
    /// How long an open item may go on without a new stage, progress, message or breadcrumb; `None` for ever. For processors
    /// that report: to one that never does, it is a second `item_wall_max`.
    pub item_stall_max: Option<Duration>,
    /// How long a ready worker may stand still as a whole, its heartbeat too, which rises every 100 ms. Whoever has it so
    /// was stopped from outside, and no item is charged. `None` for ever.
    pub heartbeat_silence_max: Option<Duration>,
    /// From spawn to the end of `Processor::start`.
    pub start_wall_max: Duration,
    /// From the request to stop until the kill.
    pub stop_grace: Duration,
    /// From the first sign of a worker's death to our kill, if its verdict does not come, and from there to giving it up: its
    /// place is taken long before, but the end of the job must not wait for ever for a process on a dead network drive.
    pub verdict_wall_max: Duration,
    /// Attempts after failures that a processor reported.
    pub retry: RetryPolicy,
    /// Crashes of one item before it is quarantined; 2 means one trial alone after the first. At least 1.
    pub crashes_max: u32,
    /// Deaths by a SIGKILL or SIGTERM of unknown origin before the open item is quarantined.
    pub foreign_kills_max: u32,
    /// Deaths of workers that no item is to blame for.
    pub restarts: RestartBudget,
    /// When so many items have failed that the rest is not worth trying; `None` for never.
    pub failure_budget: Option<FailureBudget>,
    /// Items after which a worker is replaced by a fresh one, for processors that grow; `None` for never.
    pub items_per_worker_max: Option<NonZeroU64>,
    /// Sizes of leases.
    pub lease: LeaseLimits,
    /// Outputs that wait for their commit, in bytes; no lease is handed out beyond it. Beside a slow disk the host needs some three times
    /// as much: what waits, what is written, and what comes next. Default 4 MiB: 16 MiB were no faster, and took 58 MiB.
    pub uncommitted_bytes_max: usize,
    /// Items that wait for another attempt; the source is not read beyond it.
    pub waiting_items_max: u32,
    /// Seeds the jitter of backoffs.
    pub seed: u64,
}

impl Policy {
    /// For a person with a debugger: one worker, and none of the limits on time, since whoever stands still is being looked at.
    #[must_use]
    pub fn for_debugging(self) -> Self {
        Self {
            workers: NonZeroU32::MIN,
            item_wall_max: None,
            item_stall_max: None,
            heartbeat_silence_max: None,
            start_wall_max: AGES,
            stop_grace: AGES,
            verdict_wall_max: AGES,
            ..self
        }
    }
}

/// Attempts after failures that a processor reported, with exponential backoff and full jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all for `Transient`, `RateLimited` and `Offline`.
    pub attempts_max: u32,
    /// The first backoff's upper end.
    pub backoff_first: Duration,
    /// No backoff is longer, unless `retry_after` says so.
    pub backoff_max: Duration,
}

/// How often workers may die without an item to blame: more than `deaths_max` within `window` is one step down the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartBudget {
    /// Deaths tolerated within the window; only a completed item resets the count.
    pub deaths_max: u32,
    /// The window.
    pub window: Duration,
    /// The delay before the second restart in a row; doubles, to at most 32 times. The first has none.
    pub backoff_first: Duration,
}

/// When to give a job up: more than so many of the items that this run settled failed or were quarantined, or more than such a
/// share of them. What was cancelled counts as neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureBudget {
    /// Tolerated in all.
    pub failures_max: Option<u64>,
    /// Tolerated of 100 settled items.
    pub percent_max: Option<u8>,
    /// The share counts once so many items are settled.
    pub percent_after: u64,
}

impl FailureBudget {
    /// Whether `failures` of `settled` items are too many.
    #[must_use]
    pub fn is_exceeded(&self, failures: u64, settled: u64) -> bool {
        let by_share = |percent: u8| {
            settled >= self.percent_after
                && u128::from(failures) * 100 > u128::from(settled) * u128::from(percent)
        };
        self.failures_max.is_some_and(|max| failures > max) || self.percent_max.is_some_and(by_share)
    }
}

/// Sizes of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseLimits {
    /// The work that one lease should hold.
    pub target: Duration,
    /// Leases that one worker holds at a time.
    pub depth: u32,
    /// Items of one lease.
    pub items_max: u32,
    /// Wire bytes of one lease; a larger item travels alone.
    pub bytes_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            workers: NonZeroU32::MIN,
            slots_per_worker: NonZeroU32::MIN,
            item_wall_max: None,
            item_stall_max: None,
            heartbeat_silence_max: Some(Duration::from_secs(60)),
            start_wall_max: Duration::from_secs(60),
            stop_grace: Duration::from_secs(5),
            verdict_wall_max: Duration::from_secs(10),
            retry: RetryPolicy::default(),
            crashes_max: 2,
            foreign_kills_max: 5,
            restarts: RestartBudget::default(),
            failure_budget: None,
            items_per_worker_max: None,
            lease: LeaseLimits::default(),
            uncommitted_bytes_max: 4 << 20,
            waiting_items_max: 1024,
            seed: 0,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            backoff_first: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
        }
    }
}

impl Default for RestartBudget {
    fn default() -> Self {
        Self { deaths_max: 5, window: Duration::from_secs(60), backoff_first: Duration::from_millis(50) }
    }
}

impl Default for LeaseLimits {
    fn default() -> Self {
        Self { target: Duration::from_millis(5), depth: 2, items_max: 65_536, bytes_max: 32 << 10 }
    }
}
