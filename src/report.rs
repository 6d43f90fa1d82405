//! What a job has come to.

use crate::Isolation;
use cofferdam_pipeline_core::supervisor::Ended;
use std::collections::BTreeMap;
use std::time::Duration;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Why it ended.
    pub ended: Ended,
    /// What the workers were: [`Isolation::Process`] or [`Isolation::Thread`].
    pub isolation: Isolation,
    /// Items of the whole job that have an outcome or are known to be pending.
    pub items: u64,
    /// Outcomes of the whole job: completed.
    pub completed: u64,
    /// Outcomes of the whole job: failed.
    pub failed: u64,
    /// Outcomes of the whole job: quarantined.
    pub quarantined: u64,
    /// Outcomes of the whole job: cancelled one by one.
    pub cancelled: u64,
    /// Outcomes that were there when this run began.
    pub resumed: u64,
    /// Attempts of this run.
    pub attempts: u64,
    /// Workers of this run that died with an item open, by [`cofferdam_pipeline_core::Exit::kind`].
    pub crashes: BTreeMap<String, u64>,
    /// Workers started by this run.
    pub workers_started: u64,
    /// Wall time of this run.
    pub elapsed: Duration,
}
