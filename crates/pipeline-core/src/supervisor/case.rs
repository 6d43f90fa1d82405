//! An item with a history.

use super::Prior;
use super::kills::Kills;
use crate::{Chunk, Evidence, Exit, Failure, ItemIndex, OpenItem, Policy, SavedState, Time};
use std::sync::Arc;

/// Deaths with nothing open after which the next item in line is tried alone. Such a death charges nobody, but without
/// a bound an item whose damage shows only after it was closed would rerun for ever.
const STRIKES_BEFORE_TRIAL: u32 = 3;

/// Host deaths with the item as the only open one that convict it without another try.
pub(super) const HOST_DEATHS_MAX: u32 = 3;

/// An item that something is known against; it always travels in a lease of its own.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) chunk: Arc<Chunk>,
    pub(super) position: u32,
    pub(super) record: Prior,
    /// What its last attempt saved.
    pub(super) saved_state: Option<SavedState>,
    /// The host does not want it any more.
    pub(super) cancelled: bool,
    /// Attempts made so far; acquittal refunds crashes but not these.
    pub(super) attempts: u32,
    /// Deaths of a ready worker with nothing open while this item was next in line.
    strikes: u32,
    /// Kills from outside in a row, in this session, that hit nobody else.
    lone_kills: u32,
    /// When it was last hit by one.
    hit_last: Option<Time>,
    /// Its last trial after deaths of the host has waited for all others.
    pub(super) is_next: bool,
}

impl Case {
    pub(super) fn new(chunk: Arc<Chunk>, position: u32) -> Self {
        let index = ItemIndex(chunk.first().0 + u64::from(position));
        let record = Prior { index, ..Prior::default() };
        Self {
            chunk,
            position,
            record,
            saved_state: None,
            cancelled: false,
            attempts: 0,
            strikes: 0,
            lone_kills: 0,
            hit_last: None,
            is_next: false,
        }
    }

    pub(super) fn from_prior(chunk: Arc<Chunk>, position: u32, mut prior: Prior) -> Self {
        let attempts = prior
            .crashes
            .saturating_add(prior.failures)
            .saturating_add(prior.foreign_kills)
            .saturating_add(prior.host_deaths);
        let saved_state = prior.saved_state.take();
        Self { attempts, record: prior, saved_state, ..Self::new(chunk, position) }
    }

    pub(super) fn index(&self) -> ItemIndex {
        self.record.index
    }

    /// Whether it must run alone in a fresh worker.
    pub(super) fn is_suspect(&self) -> bool {
        self.has_killed() || self.is_exclusive() || self.strikes >= STRIKES_BEFORE_TRIAL
    }

    /// Whether a worker ever ended while it was open: it never runs inside the host.
    pub(super) fn has_killed(&self) -> bool {
        self.record.crashes > 0 || self.record.foreign_kills > 0
    }

    /// Whether a host ended while it may have been open: it must be the only item that runs in the whole host.
    pub(super) fn is_exclusive(&self) -> bool {
        self.record.host_deaths > 0 || self.record.host_suspect
    }

    /// What the next attempt gets of what the last one saved. The trial that may convict gets nothing: the state may be
    /// what it dies of.
    pub(super) fn state_to_give(&self, policy: &Policy) -> Option<SavedState> {
        let Prior { crashes, host_deaths, .. } = self.record;
        let is_last = |count: u32, max: u32| count > 0 && count.saturating_add(1) >= max;
        let is_last_trial = is_last(crashes, policy.crashes_max)
            || is_last(self.lone_kills, policy.foreign_kills_max)
            || is_last(host_deaths, HOST_DEATHS_MAX)
            || is_last(self.strikes, STRIKES_BEFORE_TRIAL.saturating_add(policy.crashes_max));
        self.saved_state.clone().filter(|_| !is_last_trial)
    }

    /// Whether one more death of the host convicts it, so that everything else goes first.
    pub(super) fn must_go_last(&self) -> bool {
        !self.is_next && self.record.host_deaths.saturating_add(1) >= HOST_DEATHS_MAX
    }

    pub(super) fn charge_crash(&mut self) {
        self.record.crashes = self.record.crashes.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Counts a kill from outside, as one in a row only if nobody else is hit. Whether it is the `max`-th.
    pub(super) fn charge_foreign_kill(&mut self, kills: &Kills, now: Time, max: u32) -> bool {
        self.record.foreign_kills = self.record.foreign_kills.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
        self.lone_kills =
            if kills.are_at_random(self.index(), self.hit_last, now) { 0 } else { self.lone_kills + 1 };
        self.hit_last = Some(now);
        self.lone_kills >= max
    }

    pub(super) fn charge_failure(&mut self) {
        self.record.failures = self.record.failures.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Counts a death with nothing open while this item was next in line.
    pub(super) fn strike(&mut self) {
        self.strikes += 1;
    }

    /// Whether it was next in line so often, and then alone so often, that nothing else is left to blame.
    pub(super) fn is_struck_out(&self, crashes_max: u32) -> bool {
        self.strikes >= STRIKES_BEFORE_TRIAL.saturating_add(crashes_max)
    }

    /// It was alone and came back with a result: nothing is held against it any more. True when there was a crash to refund.
    pub(super) fn acquit(&mut self) -> bool {
        let refunded = self.record.crashes > 0 || self.is_exclusive();
        self.record = Prior { index: self.record.index, failures: self.record.failures, ..Prior::default() };
        self.strikes = 0;
        self.lone_kills = 0;
        refunded
    }
}

/// What the store keeps about an item that ended its worker.
pub(super) fn evidence(exit: &Exit, open: Option<&OpenItem>, stderr_tail: &str) -> Evidence {
    let mut evidence = Evidence {
        kind: exit.kind(),
        message: exit.to_string(),
        stderr_tail: stderr_tail.to_owned(),
        ..Evidence::default()
    };
    if let Exit::Panic { backtrace, .. } = exit {
        evidence.backtrace.clone_from(backtrace);
    }
    if let Some(open) = open {
        add_what_it_said(&mut evidence, open);
    }
    evidence
}

/// What the store keeps about an item that failed by its processor's own word.
pub(super) fn failed_evidence(failure: Failure, item: &OpenItem) -> Evidence {
    let kind = failure.kind.name().into();
    let mut evidence = Evidence { kind, message: failure.message, ..Evidence::default() };
    add_what_it_said(&mut evidence, item);
    evidence
}

fn add_what_it_said(evidence: &mut Evidence, item: &OpenItem) {
    evidence.stage.clone_from(&item.stage);
    evidence.progress = item.progress;
    evidence.breadcrumbs.clone_from(&item.breadcrumbs);
}
