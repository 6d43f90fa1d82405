//! The promises, checked command by command.

use crate::nature::Nature;
use crate::scenario::Scenario;
use cofferdam_pipeline_core::supervisor::{Commit, Counters, Ended, Prior, Settled};
use cofferdam_pipeline_core::{Assignment, FailureBudget, OutcomeKind, SavedState, WorkerId};
use std::collections::BTreeMap;
use std::ops::Range;

pub struct Model {
    pub items: Vec<Item>,
    workers: BTreeMap<WorkerId, Known>,
    pub tickets: u64,
    /// Tickets that are durable.
    pub durable: u64,
    pub store_lost: bool,
    pub source_over: bool,
    pub in_threads: bool,
    crashes_max: u32,
    foreign_kills_max: u32,
    commits: Vec<(OutcomeKind, u64)>,
    /// The items of each commit.
    pub ranges: Vec<Range<u64>>,
    failure_budget: Option<FailureBudget>,
    told: BTreeMap<&'static str, u64>,
    pub finished: Option<Ended>,
    /// Deaths of workers with nothing open.
    pub idle_deaths: u32,
}

pub struct Item {
    pub nature: Nature,
    pub prior: Prior,
    pub fed: bool,
    /// The live worker that holds it, as the supervisor must see it.
    pub holder: Option<WorkerId>,
    pub committed: bool,
    /// The host does not want it.
    pub cancelled: bool,
    /// A completed reply was sent; a failure was sent.
    pub replied: bool,
    pub failed: bool,
    /// Deaths for which it may be charged.
    pub chargeable: u32,
    /// Deaths by foreign kills while it was open.
    pub foreign: u32,
    /// Deaths of workers that had been stopped from outside, ended for that.
    pub stops: u32,
    /// A limit ended it while its worker had been stopped.
    pub held_up: bool,
    /// Deaths of its own making.
    pub own_crashes: u32,
    /// The last that the supervisor told about it.
    pub noted: Prior,
    /// The last note, and the last state, that the store has of it.
    pub stored: Prior,
    pub saved: Option<SavedState>,
    /// A worker told lies about it.
    pub lied_about: bool,
}

#[derive(Default)]
struct Known {
    gone: bool,
    assigned: u32,
    /// The item of the trial that it holds.
    trial: Option<u64>,
}

impl Model {
    pub fn new(scenario: &Scenario) -> Self {
        let item = |(index, &nature): (usize, &Nature)| {
            let prior = scenario.priors.iter().find(|prior| prior.index.0 == index as u64).cloned();
            Item {
                nature,
                prior: prior.clone().unwrap_or_default(),
                noted: prior.clone().unwrap_or_default(),
                saved: prior.as_ref().and_then(|prior| prior.saved_state.clone()),
                stored: prior.unwrap_or_default(),
                lied_about: false,
                fed: false,
                holder: None,
                committed: false,
                cancelled: false,
                replied: false,
                failed: false,
                chargeable: 0,
                foreign: 0,
                stops: 0,
                held_up: false,
                own_crashes: 0,
            }
        };
        Self {
            items: scenario.items.iter().enumerate().map(item).collect(),
            workers: BTreeMap::new(),
            tickets: 0,
            durable: 0,
            store_lost: false,
            source_over: false,
            in_threads: false,
            crashes_max: scenario.policy.crashes_max,
            foreign_kills_max: scenario.policy.foreign_kills_max,
            commits: Vec::new(),
            ranges: Vec::new(),
            failure_budget: scenario.policy.failure_budget.clone(),
            told: BTreeMap::new(),
            finished: None,
            idle_deaths: 0,
        }
    }

    pub fn spawned(&mut self, worker: WorkerId) {
        assert!(self.workers.insert(worker, Known::default()).is_none(), "{worker} was there before");
    }

    pub fn assigned(&mut self, worker: WorkerId, assignment: &Assignment) {
        let exclusive_elsewhere = self
            .items
            .iter()
            .any(|item| item.holder.is_some() && (item.noted.host_deaths > 0 || item.noted.host_suspect));
        let others_run = self.items.iter().any(|item| item.holder.is_some());
        let known = self.workers.get_mut(&worker).expect("it was spawned");
        assert!(!known.gone, "{worker} is gone");
        assert!(known.trial.is_none(), "{worker} holds a trial, and nothing else");
        assert!(!exclusive_elsewhere, "an item that a host died with runs alone");
        assert!(!assignment.range.is_empty(), "leases are not empty");
        let first = assignment.chunk.first().0 + u64::from(assignment.range.start);
        let count = u64::from(assignment.range.end - assignment.range.start);
        for index in first..first + count {
            let item = &mut self.items[index as usize];
            assert!(item.fed, "item {index} was never fed");
            assert!(!item.committed, "item {index} is settled");
            assert!(!item.cancelled, "item {index} is cancelled");
            assert_eq!(item.holder, None, "item {index} is held by two workers");
            item.holder = Some(worker);
            let Prior { crashes, foreign_kills, host_deaths, host_suspect, .. } = item.noted;
            let is_suspect = crashes + foreign_kills + host_deaths > 0 || host_suspect;
            match &assignment.saved_state {
                Some(state) => assert_eq!(Some(state), item.saved.as_ref(), "item {index} gets an old state"),
                None if item.saved.is_some() => {
                    let may_be_last = is_suspect || self.idle_deaths > 0;
                    assert!(count == 1 && may_be_last, "item {index} has lost its state");
                }
                None => {}
            }
            if is_suspect {
                assert!(
                    !self.in_threads || crashes + foreign_kills + host_deaths == 0,
                    "item {index} ended a worker and runs in the host"
                );
                assert_eq!(
                    (count, known.assigned),
                    (1, 0),
                    "suspect {index} must be alone in a fresh worker"
                );
                assert!(
                    (host_deaths == 0 && !host_suspect) || !others_run,
                    "item {index} must be alone in the host"
                );
                known.trial = Some(index);
            }
        }
        known.assigned += 1;
    }

    /// The worker's message about this item has reached the supervisor, or its death did.
    pub fn released(&mut self, worker: WorkerId, index: u64) {
        let item = &mut self.items[index as usize];
        if item.holder == Some(worker) {
            item.holder = None;
        }
        let known = self.workers.get_mut(&worker).expect("it was spawned");
        if known.trial == Some(index) {
            known.trial = None;
        }
    }

    /// The supervisor was told of the worker's end, or gave it up.
    pub fn exited(&mut self, worker: WorkerId) {
        let known = self.workers.get_mut(&worker).expect("it was spawned");
        assert!(!std::mem::replace(&mut known.gone, true), "{worker} ended twice");
        for item in &mut self.items {
            if item.holder == Some(worker) {
                item.holder = None;
            }
        }
    }

    pub fn committed(&mut self, commit: &Commit) {
        self.tickets += 1;
        assert_eq!(commit.ticket, self.tickets, "tickets rise by one");
        assert!(!self.store_lost, "a lost store gets nothing");
        let first = commit.chunk.first().0 + u64::from(commit.range.start);
        let count = u64::from(commit.range.end - commit.range.start);
        self.ranges.push(first..first + count);
        assert!(count > 0);
        for index in first..first + count {
            let item = &mut self.items[index as usize];
            assert!(!std::mem::replace(&mut item.committed, true), "item {index} is settled twice");
            match &commit.settled {
                Settled::Completed(_) => assert!(item.replied, "item {index} never completed"),
                Settled::Failed(_) => assert!(item.failed, "item {index} never failed"),
                Settled::Cancelled(_) => assert!(item.cancelled, "nobody cancelled item {index}"),
                Settled::Quarantined(evidence) => {
                    let killed = item.foreign >= self.foreign_kills_max;
                    let just = item.nature.may_be_quarantined(self.crashes_max)
                        || killed
                        || item.lied_about
                        || item.held_up;
                    let hosts = item.prior.host_deaths >= 3;
                    assert!(just || hosts, "item {index} ({:?}) is innocent: {evidence:?}", item.nature);
                    assert_eq!(count, 1);
                }
            }
        }
        let kind = match &commit.settled {
            Settled::Completed(_) => OutcomeKind::Completed,
            Settled::Failed(_) => OutcomeKind::Failed,
            Settled::Quarantined(_) => OutcomeKind::Quarantined,
            Settled::Cancelled(_) => OutcomeKind::Cancelled,
        };
        self.commits.push((kind, count));
    }

    pub fn noted(&mut self, prior: Prior) {
        let index = prior.index.0;
        let item = &mut self.items[index as usize];
        assert!(!item.committed, "item {index} is settled");
        let charged = prior.crashes + prior.foreign_kills;
        let chargeable = item.chargeable + item.prior.crashes + item.prior.foreign_kills;
        assert!(
            charged <= chargeable,
            "item {index} is charged with {charged} deaths, {chargeable} at most are its own"
        );
        let crashes = item.chargeable - item.stops + item.prior.crashes;
        assert!(prior.crashes <= crashes, "item {index} is charged with what stopped its worker");
        item.noted = prior.clone();
        item.stored = prior;
    }

    /// The supervisor told the store what an item saved.
    pub fn saved(&mut self, index: u64, state: SavedState) {
        let item = &mut self.items[index as usize];
        assert!(!item.committed && item.holder.is_some(), "item {index} runs nowhere");
        item.saved = Some(state);
    }

    pub fn acquitted(&mut self, index: u64) {
        let item = &mut self.items[index as usize];
        item.noted = Prior { index: item.noted.index, failures: item.noted.failures, ..Prior::default() };
    }

    /// An item's own doing ended its worker.
    pub fn crashed(&mut self, index: u64) {
        let item = &mut self.items[index as usize];
        item.own_crashes += 1;
        // Beside another open item, or without a recorder, a first crash convicts nobody whatever the policy says.
        let most = self.crashes_max.max(2);
        let guilty = matches!(item.nature, Nature::Poison | Nature::Hang | Nature::Busy);
        assert!(!guilty || item.own_crashes <= most, "item {index} ended {} workers", item.own_crashes);
    }

    pub fn told_committed(&mut self, kind: OutcomeKind, count: u64) {
        *self.told.entry(kind.name()).or_default() += count;
        self.check_durable(kind);
    }

    fn check_durable(&self, kind: OutcomeKind) {
        let durable = self.durable_count(kind);
        let told = self.told.get(kind.name()).copied().unwrap_or(0);
        assert!(told <= durable, "{told} {} told, {durable} are durable", kind.name());
    }

    fn durable_count(&self, kind: OutcomeKind) -> u64 {
        self.commits[..self.durable as usize].iter().filter(|(k, _)| *k == kind).map(|(_, count)| count).sum()
    }

    pub fn check_counters(&self, counters: &Counters) {
        assert_eq!(counters.completed, self.durable_count(OutcomeKind::Completed));
        assert_eq!(counters.failed, self.durable_count(OutcomeKind::Failed));
        assert_eq!(counters.cancelled, self.durable_count(OutcomeKind::Cancelled));
        assert_eq!(counters.quarantined, self.durable_count(OutcomeKind::Quarantined));
    }

    pub fn finish(&mut self, how: &Ended) {
        assert!(self.finished.is_none(), "finished twice");
        let alive = self.workers.iter().filter(|(_, known)| !known.gone).count();
        assert_eq!(alive, 0, "workers live on");
        assert!(self.store_lost || self.durable == self.tickets, "commits are not durable");
        if *how == Ended::Complete {
            assert!(self.source_over);
            let unsettled = self.items.iter().filter(|item| item.fed && !item.committed).count();
            assert_eq!(unsettled, 0, "items have no outcome");
        }
        if let Ended::FailureBudget { failures, settled } = how {
            let budget = self.failure_budget.as_ref().expect("it has a budget");
            assert!(budget.is_exceeded(*failures, *settled), "{failures} of {settled} are not too many");
        }
        self.finished = Some(how.clone());
    }
}
