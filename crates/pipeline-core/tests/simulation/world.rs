//! The event loop: time, messages on their way, what workers and the host do.

use crate::fake_worker::{FakeWorker, Life, Open};
use crate::model::Model;
use crate::random::Random;
use crate::scenario::{Happening, Scenario, Starts};
use cofferdam_pipeline_core::supervisor::{Command, Control, Input, Supervisor, WorkerState};
use cofferdam_pipeline_core::{
    Assignment, EventKind, Exit, ExitReport, KillReason, LeaseId, Time, TimeLimit, WorkerEvent, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range};
use std::time::Duration;

const STEPS_MAX: u32 = 60_000;
pub const SAMPLE_EVERY: Duration = Duration::from_millis(150);

pub struct World {
    pub now: Time,
    pub random: Random,
    pub scenario: Scenario,
    pub supervisor: Supervisor,
    pub model: Model,
    pub workers: BTreeMap<WorkerId, FakeWorker>,
    /// Worker, first item and length of every lease.
    pub leases: BTreeMap<LeaseId, (WorkerId, u64, u32)>,
    pub events: BTreeMap<(Time, u64), Event>,
    pub sequence: u64,
    pub fed: u64,
    pub source_told: bool,
    pub sync_planned: bool,
    pub store_full: bool,
    pub starts: u64,
    /// States that items saved so far: each is another one.
    pub states: u32,
    pub host_died: bool,
    pub verbose: bool,
    /// (phase, input) pairs that came up.
    pub met: BTreeSet<(&'static str, &'static str)>,
}

#[derive(Debug)]
pub enum Event {
    ToHost(WorkerId, WorkerEvent),
    ToWorker(WorkerId, Message),
    Started(WorkerId),
    ItemEnds(WorkerId, LeaseId, u32),
    Flush(WorkerId),
    Feed,
    Sample,
    Sync,
    /// Somebody continues a stopped worker.
    GoesOn(WorkerId),
    Happens(Happening),
}

#[derive(Debug)]
pub enum Message {
    Assign(Assignment),
    TakeBack(LeaseId),
    SetPaused(bool),
    CancelItem(LeaseId, u32),
    Stop,
    Kill(KillReason),
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::new(seed, &mut random);
        Self::of(scenario, random, verbose)
    }

    /// One session.
    pub fn of(scenario: Scenario, random: Random, verbose: bool) -> Self {
        Self {
            now: Time(0),
            supervisor: Supervisor::new(scenario.policy.clone(), scenario.allow_threads),
            model: Model::new(&scenario),
            random,
            scenario,
            workers: BTreeMap::new(),
            leases: BTreeMap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            fed: 0,
            source_told: false,
            sync_planned: false,
            store_full: false,
            starts: 0,
            states: 0,
            host_died: false,
            verbose,
            met: BTreeSet::new(),
        }
    }

    /// Until the job is over.
    pub fn run(&mut self) {
        for (after, what) in std::mem::take(&mut self.scenario.happenings) {
            self.after(after, Event::Happens(what));
        }
        self.after(SAMPLE_EVERY, Event::Sample);
        self.input(Input::Tick);
        for _ in 0..STEPS_MAX {
            if self.model.finished.is_some() {
                return self.nothing_follows();
            }
            if self.host_died {
                return;
            }
            let deadline = self.supervisor.next_deadline();
            let next = self.events.keys().next().map(|key| key.0);
            // Messages that arrived are handled before any timer.
            match (next, deadline) {
                (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    let (_, event) = self.events.pop_first().expect("looked at above");
                    self.now = self.now.max(at);
                    self.happen(event);
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    self.input(Input::Tick);
                    let later = self.supervisor.next_deadline().is_none_or(|next| next > self.now);
                    assert!(later, "a deadline stays in the past");
                }
                (_, None) => panic!("stuck: nothing will ever happen"),
            }
        }
        panic!("no end after {STEPS_MAX} steps, phase {:?}", self.supervisor.phase());
    }

    pub fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub fn at(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    pub fn latency(&mut self) -> Duration {
        self.random.micros(self.scenario.latency_us)
    }

    pub fn happen(&mut self, event: Event) {
        if self.verbose && !matches!(event, Event::Sample | Event::Flush(_)) {
            eprintln!("{:>12} {event:?}", self.now.0);
        }
        match event {
            Event::ToHost(worker, event) => self.deliver(worker, event),
            Event::ToWorker(worker, message) => self.receive(worker, message),
            Event::Started(worker) => self.started(worker),
            Event::ItemEnds(worker, lease, offset) => self.item_ends(worker, lease, offset),
            Event::Flush(worker) => self.flush(worker),
            Event::Feed => self.feed(),
            Event::Sample => self.sample(),
            Event::Sync => self.sync(),
            Event::GoesOn(worker) => self.goes_on(worker),
            Event::Happens(what) => self.happens(what),
        }
    }

    // ---- the host's side ----

    pub fn input(&mut self, input: Input) {
        let phase = self.supervisor.phase().name();
        self.met.insert((phase, name(&input)));
        if let Input::Worker(worker, _) | Input::Observed(worker, _) = &input {
            let state = self.supervisor.workers().find(|view| view.worker == *worker);
            self.met.insert((worker_state(state.map(|view| view.state)), name(&input)));
        }
        let mut commands = Vec::new();
        self.supervisor.step(input, self.now, &mut commands);
        for command in commands {
            self.perform(command);
        }
        self.model.check_counters(&self.supervisor.counters());
    }

    pub fn perform(&mut self, command: Command) {
        if self.verbose {
            eprintln!("{:>12}     -> {command:?}", self.now.0);
        }
        assert!(self.model.finished.is_none(), "{command:?} after the end");
        match command {
            Command::WantItems => {
                let delay = self.random.micros(self.scenario.feed_us);
                self.after(delay, Event::Feed);
            }
            Command::Spawn(worker, _) => self.spawn(worker),
            Command::Assign(worker, assignment) => {
                assert!(self.workers[&worker].said_ready, "{worker} is not ready");
                self.model.assigned(worker, &assignment);
                let first = assignment.chunk.first().0 + u64::from(assignment.range.start);
                self.leases
                    .insert(assignment.lease, (worker, first, assignment.range.end - assignment.range.start));
                self.send(worker, Message::Assign(assignment));
            }
            Command::TakeBack(worker, lease) => {
                self.send(worker, Message::TakeBack(lease));
                if self.scenario.pauses_at_take_back {
                    self.after(Duration::ZERO, Event::Happens(Happening::Control(Control::Pause)));
                    self.after(
                        Duration::from_millis(50),
                        Event::Happens(Happening::Control(Control::Resume)),
                    );
                }
            }
            Command::SetPaused(worker, paused) => self.send(worker, Message::SetPaused(paused)),
            Command::CancelItem(worker, lease, offset) => {
                self.send(worker, Message::CancelItem(lease, offset))
            }
            Command::Stop(worker) => self.send(worker, Message::Stop),
            Command::Kill(worker, why) => self.kill(worker, why),
            Command::Commit(commit) => {
                self.model.committed(&commit);
                self.plan_sync();
            }
            Command::Note { prior, .. } => self.model.noted(prior),
            Command::SaveState { chunk, position, state } => {
                self.model.saved(chunk.first().0 + u64::from(position), state);
            }
            Command::Emit(EventKind::Committed { kind, count }) => self.model.told_committed(kind, count),
            Command::Emit(EventKind::Acquitted(index)) => self.model.acquitted(index.0),
            Command::Emit(EventKind::WorkerExited(worker, exit)) => self.worker_exited(worker, &exit),
            Command::Emit(_) => {}
            Command::UseThreads(_) => {
                assert!(self.scenario.allow_threads && !self.model.in_threads);
                self.model.in_threads = true;
                self.scenario.starts = Starts::Well;
            }
            Command::Finish(how) => self.model.finish(&how),
        }
    }

    /// A worker that is given up may have had anything open.
    pub fn worker_exited(&mut self, worker: WorkerId, exit: &Exit) {
        self.model.exited(worker);
        let fake = &self.workers[&worker];
        if fake.silent || !fake.killable {
            for index in self.may_be_unsettled(worker) {
                let item = &mut self.model.items[index as usize];
                item.chargeable += 1;
                // Nobody ever learns that it was a stranger's kill.
                item.held_up |= fake.silent && fake.struck;
            }
        }
        let never = *exit == Exit::Stopped && !fake.stopping;
        assert!(!never, "{worker} was not asked to stop");
    }

    /// A deadline must be real: the item was open that long, without the time in which the machine stood still.
    pub fn kill(&mut self, worker: WorkerId, why: KillReason) {
        let fake = &self.workers[&worker];
        let late = self.scenario.latency_us > 0;
        let has_open = |limit, may_report| {
            let old = |open: &&Open| self.now.since(open.since) >= limit;
            fake.open.iter().filter(old).any(|open| may_report || !open.reports())
        };
        let limit = match why {
            KillReason::TimeLimit(limit, after) => {
                let just = match limit {
                    TimeLimit::Item => has_open(after, true) || late,
                    TimeLimit::Stall => has_open(after, fake.stood_still(self.now, after)) || late,
                    TimeLimit::Heartbeat => fake.stood_still(self.now, after) && !fake.mute,
                    TimeLimit::Start => fake.life != Life::Running || late,
                    _ => true,
                };
                assert!(just, "{worker} is within its limit {why:?}");
                limit_name(limit)
            }
            _ => "no limit",
        };
        self.met.insert((self.supervisor.phase().name(), limit));
        self.fake(worker).killed_for.get_or_insert(why);
        self.send(worker, Message::Kill(why));
    }

    pub fn deliver(&mut self, worker: WorkerId, event: WorkerEvent) {
        match &event {
            WorkerEvent::Ready => self.fake(worker).said_ready = true,
            WorkerEvent::Replied(batch) => {
                self.release(worker, batch.lease, batch.offset..batch.offset.saturating_add(batch.count));
            }
            WorkerEvent::Failed { item, .. } => {
                self.release(worker, item.lease, item.offset..item.offset + 1);
            }
            WorkerEvent::Returned { lease, from } => self.release(worker, *lease, *from..u32::MAX),
            WorkerEvent::Exited(report) => self.count_deaths(worker, report),
            WorkerEvent::Spawned { .. }
            | WorkerEvent::StateSaved { .. }
            | WorkerEvent::StartFailed(_)
            | WorkerEvent::Lost => {}
        }
        self.input(Input::Worker(worker, event));
    }

    pub fn release(&mut self, worker: WorkerId, lease: LeaseId, offsets: Range<u32>) {
        let Some(&(_, first, len)) = self.leases.get(&lease) else { return };
        for item in (first + u64::from(offsets.start))..(first + u64::from(offsets.end.min(len))) {
            // What is late says nothing of an item that the worker was given once more.
            let mut newer = self.leases.range((Bound::Excluded(lease), Bound::Unbounded));
            if !newer.any(|(_, &(holder, f, l))| holder == worker && (f..f + u64::from(l)).contains(&item)) {
                self.model.released(worker, item);
            }
        }
    }

    /// What the supervisor may charge for this death.
    pub fn count_deaths(&mut self, worker: WorkerId, report: &ExitReport) {
        self.model.idle_deaths += u32::from(report.open.is_empty());
        let fake = &self.workers[&worker];
        let suspects: Vec<_> = if report.open_known && !fake.violated {
            report.open.iter().map(|open| self.leases[&open.lease].1 + u64::from(open.offset)).collect()
        } else {
            self.may_be_unsettled(worker)
        };
        let for_silence = matches!(fake.killed_for, Some(KillReason::TimeLimit(TimeLimit::Heartbeat, _)));
        let by_kill = report.exit.is_foreign_kill() || matches!(report.exit, Exit::TimedOut { .. });
        let stood_still = for_silence && by_kill;
        for index in suspects {
            let item = &mut self.model.items[index as usize];
            item.chargeable += 1;
            let strange = report.exit.is_foreign_kill() && !fake.kill_sent;
            item.foreign += u32::from(strange || stood_still);
            item.stops += u32::from(stood_still);
            item.held_up |= fake.stopped_last.is_some() && fake.killed_for.is_some() && !stood_still;
        }
        if let Some(index) = fake.culprit {
            self.model.crashed(index);
        }
    }

    /// Items that the supervisor may take for unsettled ones of this worker, whatever became of its messages.
    pub fn may_be_unsettled(&self, worker: WorkerId) -> Vec<u64> {
        let leases = self.leases.values().filter(|(holder, ..)| *holder == worker);
        let items = leases.flat_map(|&(_, first, len)| first..first + u64::from(len));
        items.filter(|&index| !self.model.items[index as usize].committed).collect()
    }
}

fn worker_state(state: Option<WorkerState>) -> &'static str {
    match state {
        None => "worker gone",
        Some(WorkerState::Starting) => "worker starting",
        Some(WorkerState::Ready) => "worker ready",
        Some(WorkerState::Stopping) => "worker stopping",
        Some(WorkerState::Dying) => "worker dying",
    }
}

fn limit_name(limit: TimeLimit) -> &'static str {
    match limit {
        TimeLimit::Item => "item limit",
        TimeLimit::Stall => "stall limit",
        TimeLimit::Heartbeat => "heartbeat limit",
        TimeLimit::Start => "start limit",
        _ => "stop limit",
    }
}

fn name(input: &Input) -> &'static str {
    match input {
        Input::Fed { .. } => "fed",
        Input::SourceEnded => "source ended",
        Input::SourceFailed(_) => "source failed",
        Input::Worker(_, WorkerEvent::Spawned { .. }) => "spawned",
        Input::Worker(_, WorkerEvent::Ready) => "ready",
        Input::Worker(_, WorkerEvent::Replied(_)) => "replied",
        Input::Worker(_, WorkerEvent::Failed { .. }) => "failed",
        Input::Worker(_, WorkerEvent::StateSaved { .. }) => "state saved",
        Input::Worker(_, WorkerEvent::Returned { .. }) => "returned",
        Input::Worker(_, WorkerEvent::StartFailed(_)) => "start failed",
        Input::Worker(_, WorkerEvent::Lost) => "lost",
        Input::Worker(_, WorkerEvent::Exited(_)) => "exited",
        Input::Observed(..) => "observed",
        Input::Committed { .. } => "committed",
        Input::StoreFull => "store full",
        Input::StoreRecovered => "store recovered",
        Input::StoreFailed(_) => "store failed",
        Input::Control(Control::Pause) => "pause",
        Input::Control(Control::Resume) => "resume",
        Input::Control(Control::Drain) => "drain",
        Input::Control(Control::Cancel) => "cancel",
        Input::CancelItem(_) => "cancel item",
        Input::Tick => "tick",
        Input::ClockGap(_) => "clock gap",
    }
}
