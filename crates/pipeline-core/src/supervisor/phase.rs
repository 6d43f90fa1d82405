//! Where a job is between its first and its last command.

use super::Ended;
use crate::Time;

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Items are handed out.
    Running,
    /// Nothing is handed out; `Context::check` blocks.
    Paused {
        /// Since when.
        since: Time,
    },
    /// Nothing is handed out any more; open items end.
    Draining {
        /// Since when open items are held at `Context::check`, if the host asked for that.
        paused: Option<Time>,
    },
    /// Decided; workers leave and commits become durable.
    Ending(Ended),
    /// Over.
    Finished(Ended),
}

impl Phase {
    /// A short stable name for snapshots.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Draining { .. } => "draining",
            Self::Ending(Ended::Cancelled) => "cancelling",
            Self::Ending(_) => "ending",
            Self::Finished(_) => "finished",
        }
    }

    /// Since when open items are held at `Context::check`.
    pub(super) fn paused_since(&self) -> Option<Time> {
        match self {
            Self::Paused { since } => Some(*since),
            Self::Draining { paused } => *paused,
            Self::Running | Self::Ending(_) | Self::Finished(_) => None,
        }
    }
}
