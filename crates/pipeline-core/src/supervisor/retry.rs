//! Items that wait for another attempt.

use super::case::Case;
use crate::{RetryPolicy, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Cases by the time of their next attempt. Bounded: the source is not read while many wait.
#[derive(Debug, Default)]
pub(super) struct Retries {
    waiting: BTreeMap<(Time, u64), Case>,
    /// Tells apart retries of the same nanosecond, first come first served.
    sequence: u64,
}

impl Retries {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Case> {
        self.waiting.values()
    }

    pub(super) fn push(&mut self, due: Time, case: Case) {
        self.sequence += 1;
        self.waiting.insert((due, self.sequence), case);
    }

    /// The next case whose time has come.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Case> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// Those cases are due at `due` at the latest.
    pub(super) fn hasten(&mut self, due: Time, which: impl Fn(&Case) -> bool) {
        let late: Vec<_> = self.waiting.extract_if((due, u64::MAX).., |_, case| which(case)).collect();
        late.into_iter().for_each(|(_, case)| self.push(due, case));
    }

    /// Takes out a case.
    pub(super) fn remove(&mut self, which: impl Fn(&Case) -> bool) -> Option<Case> {
        self.waiting.extract_if(.., |_, case| which(case)).next().map(|(_, case)| case)
    }

    /// The clock stood still for `gap`.
    pub(super) fn extend(&mut self, gap: Duration) {
        self.waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|((due, n), case)| ((due + gap, n), case))
            .collect();
    }
}

/// How long to wait after the `failures`-th failure: exponential with full jitter, so that many items that failed
/// together do not come back together.
pub(super) fn backoff(
    policy: &RetryPolicy,
    failures: u32,
    retry_after: Duration,
    random: &mut SplitMix,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let ceiling = policy.backoff_first.saturating_mul(1 << doublings).min(policy.backoff_max);
    let ceiling_ns = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.up_to(ceiling_ns)).max(retry_after)
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few lines, reproducible from a seed, good enough for jitter.
#[derive(Debug)]
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `0..=max`.
    fn up_to(&mut self, max: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(max) + 1)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = SplitMix::new(0);
        // The first numbers of the reference implementation for seed 0.
        assert_eq!(random.next(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next(), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(random.next(), 0x06C4_5D18_8009_454F);
    }

    #[test]
    fn numbers_reach_both_ends_of_their_range() {
        let mut random = SplitMix::new(0);
        assert_eq!(random.up_to(u64::MAX), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.up_to(0), 0);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| random.up_to(3)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
