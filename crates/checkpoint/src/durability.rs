//! What an acknowledged outcome survives, and when the journal is synced for that.

use crate::JobStore;
use crate::journal::lead::lock;
use std::time::Duration;

/// What an acknowledged outcome survives. The docs have one table of it: `docs/durability.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: nothing is acknowledged before its sync, and outcomes that come together share one.
    #[default]
    Power,
    /// A power cut, and no outcome waits for company: each is acknowledged as soon as a sync can make it durable.
    EachItem,
    /// The end of every process. A power cut loses what was acknowledged in the last so much time, and during one sync.
    Every(Duration),
    /// The end of every process. The journal is synced as often as takes at most so many per cent (1 to 100) of the time: on a fast
    /// disk a power cut loses milliseconds, on a slow one more.
    Adaptive {
        /// Of the time that passes.
        percent: u8,
    },
    /// The end of every process, but not of the machine: synced after 8 MiB, in pauses and at the end.
    Process,
}

impl Durability {
    /// Whether nothing is acknowledged before its sync.
    pub(crate) fn is_power(self) -> bool {
        matches!(self, Self::Power | Self::EachItem)
    }

    /// Whether a group that is written now is synced at once: so long after the last sync, where one takes so long.
    pub(crate) fn is_sync_due(self, since_last: Duration, sync: Duration) -> bool {
        match self {
            Self::Power | Self::EachItem => true,
            Self::Every(time) => since_last >= time,
            Self::Adaptive { percent } => since_last * u32::from(percent.clamp(1, 100)) >= sync * 100,
            Self::Process => false,
        }
    }

    /// How long after the last commit what is not synced is.
    pub(crate) fn idle(self, idle: Duration) -> Duration {
        match self {
            Self::Every(time) => idle.min(time),
            Self::Power | Self::EachItem | Self::Adaptive { .. } | Self::Process => idle,
        }
    }
}

/// What syncs of the journal took since the job was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncStats {
    /// How many there were.
    pub syncs: u64,
    /// How long they took together.
    pub time: Duration,
    /// How long the job has been open.
    pub elapsed: Duration,
}

impl SyncStats {
    /// The part of the time that syncs took, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.time.as_secs_f64() / self.elapsed.as_secs_f64() }
    }
}

impl JobStore {
    /// What syncs of the journal have taken until now.
    #[must_use]
    pub fn sync_stats(&self) -> SyncStats {
        lock(&self.journal.state).sync_stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_adaptive_journal_is_synced_as_often_as_its_share_allows() {
        let five = Durability::Adaptive { percent: 5 };
        assert!(!five.is_sync_due(19 * MS, MS));
        assert!(five.is_sync_due(20 * MS, MS));
        assert!(!five.is_sync_due(599 * MS, 30 * MS), "a slow disk is synced more rarely");
        assert!(five.is_sync_due(600 * MS, 30 * MS));
        assert!(Durability::Adaptive { percent: 100 }.is_sync_due(MS, MS));
        assert!(Durability::Adaptive { percent: 0 }.is_sync_due(100 * MS, MS), "0 is taken for 1");
    }

    #[test]
    fn a_journal_is_synced_after_its_time_and_no_later_in_a_pause() {
        let every = Durability::Every(50 * MS);
        assert!(!every.is_sync_due(49 * MS, MS) && every.is_sync_due(50 * MS, MS));
        assert_eq!((every.idle(100 * MS), every.idle(10 * MS)), (50 * MS, 10 * MS));
        assert_eq!(Durability::Process.idle(100 * MS), 100 * MS);
        assert!(Durability::EachItem.is_sync_due(Duration::ZERO, MS));
        assert!(!Durability::Process.is_sync_due(Duration::MAX, Duration::ZERO));
    }

    #[test]
    fn the_share_is_that_of_the_time_since_the_opening() {
        let stats = SyncStats { syncs: 3, time: 25 * MS, elapsed: 100 * MS };
        assert!((stats.share() - 0.25).abs() < 1e-9);
        assert!(SyncStats::default().share().abs() < 1e-9);
    }
}
