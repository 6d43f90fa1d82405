//! The event loop: time, messages on their way, what workers and the host do.

use crate::fake_worker::{FakeLease, FakeWorker, Life, Open};
use crate::model::Model;
use crate::nature::Fate;
use crate::random::Random;
use crate::scenario::{Happening, Scenario, Starts};
use cofferdam_pipeline_core::supervisor::{Command, Control, Input, Prior, Supervisor};
use cofferdam_pipeline_core::{
    Assignment, Buffer, ChunkBuilder, EventKind, Exit, ExitReport, Failure, FailureKind, Identities, ItemIndex, KillReason,
    LeaseId, Observation, ReplyBatch, Time, TimeLimit, WorkerEvent, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const STEPS_MAX: u32 = 60_000;
const SAMPLE_EVERY: Duration = Duration::from_millis(150);
const FLUSH_AFTER: Duration = Duration::from_millis(5);

pub struct World {
    now: Time,
    random: Random,
    scenario: Scenario,
    supervisor: Supervisor,
    model: Model,
    workers: BTreeMap<WorkerId, FakeWorker>,
    /// Worker, first item and length of every lease.
    leases: BTreeMap<LeaseId, (WorkerId, u64, u32)>,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    fed: u64,
    source_told: bool,
    sync_planned: bool,
    store_full: bool,
    starts: u64,
    verbose: bool,
    /// (phase, input) pairs that came up.
    pub met: BTreeSet<(&'static str, &'static str)>,
}

#[derive(Debug)]
enum Event {
    ToHost(WorkerId, WorkerEvent),
    ToWorker(WorkerId, Message),
    Started(WorkerId),
    ItemEnds(WorkerId, LeaseId, u32),
    Flush(WorkerId),
    Feed,
    Sample,
    Sync,
    Happens(Happening),
}

#[derive(Debug)]
enum Message {
    Assign(Assignment),
    TakeBack(LeaseId),
    SetPaused(bool),
    Stop,
    Kill(KillReason),
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::new(seed, &mut random);
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

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    fn latency(&mut self) -> Duration {
        self.random.micros(self.scenario.latency_us)
    }

    fn happen(&mut self, event: Event) {
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
            Event::Happens(what) => self.happens(what),
        }
    }

    // ---- the host's side ----

    fn input(&mut self, input: Input) {
        let phase = self.supervisor.phase().name();
        self.met.insert((phase, name(&input)));
        let mut commands = Vec::new();
        self.supervisor.step(input, self.now, &mut commands);
        for command in commands {
            self.perform(command);
        }
        self.model.check_counters(&self.supervisor.counters());
    }

    fn perform(&mut self, command: Command) {
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
                self.leases.insert(assignment.lease, (worker, first, assignment.range.end - assignment.range.start));
                self.send(worker, Message::Assign(assignment));
            }
            Command::TakeBack(worker, lease) => {
                self.send(worker, Message::TakeBack(lease));
                if self.scenario.pauses_at_take_back {
                    self.after(Duration::ZERO, Event::Happens(Happening::Control(Control::Pause)));
                    self.after(Duration::from_millis(50), Event::Happens(Happening::Control(Control::Resume)));
                }
            }
            Command::SetPaused(worker, paused) => self.send(worker, Message::SetPaused(paused)),
            Command::Stop(worker) => self.send(worker, Message::Stop),
            Command::Kill(worker, why) => self.kill(worker, why),
            Command::Commit(commit) => {
                self.model.committed(&commit);
                self.plan_sync();
            }
            Command::Note { prior, .. } => self.model.noted(prior),
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
    fn worker_exited(&mut self, worker: WorkerId, exit: &Exit) {
        self.model.exited(worker);
        let fake = &self.workers[&worker];
        if fake.silent || !fake.killable {
            for index in self.may_be_unsettled(worker) {
                self.model.items[index as usize].chargeable += 1;
            }
        }
        let never = *exit == Exit::Stopped && !fake.stopping;
        assert!(!never, "{worker} was not asked to stop");
    }

    /// A deadline must be real: the item was open that long, without the time in which the machine stood still.
    fn kill(&mut self, worker: WorkerId, why: KillReason) {
        if let KillReason::TimeLimit(TimeLimit::Item, limit) = why {
            let fake = &self.workers[&worker];
            let overdue = fake.open.iter().any(|open| self.now.since(open.since) >= limit);
            let late = self.scenario.latency_us > 0;
            assert!(overdue || late, "{worker} has no item that is open for {limit:?}");
        }
        self.send(worker, Message::Kill(why));
    }

    fn deliver(&mut self, worker: WorkerId, event: WorkerEvent) {
        match &event {
            WorkerEvent::Ready => self.fake(worker).said_ready = true,
            WorkerEvent::Replied(batch) => {
                self.release(worker, batch.lease, batch.offset..batch.offset.saturating_add(batch.count));
            }
            WorkerEvent::Failed { lease, offset, .. } => self.release(worker, *lease, *offset..*offset + 1),
            WorkerEvent::Returned { lease, from } => self.release(worker, *lease, *from..u32::MAX),
            WorkerEvent::Exited(report) => self.count_deaths(worker, report),
            WorkerEvent::StartFailed(_) | WorkerEvent::Lost => {}
        }
        self.input(Input::Worker(worker, event));
    }

    fn release(&mut self, worker: WorkerId, lease: LeaseId, offsets: Range<u32>) {
        let Some(&(_, first, len)) = self.leases.get(&lease) else { return };
        for offset in offsets.start..offsets.end.min(len) {
            self.model.released(worker, first + u64::from(offset));
        }
    }

    /// What the supervisor may charge for this death.
    fn count_deaths(&mut self, worker: WorkerId, report: &ExitReport) {
        let fake = &self.workers[&worker];
        let suspects: Vec<_> = if report.open_known && !fake.violated {
            report.open.iter().map(|open| self.leases[&open.lease].1 + u64::from(open.offset)).collect()
        } else {
            self.may_be_unsettled(worker)
        };
        for index in suspects {
            let item = &mut self.model.items[index as usize];
            item.chargeable += 1;
            item.foreign += u32::from(report.exit.is_foreign_kill() && !fake.kill_sent);
        }
        if let Some(index) = fake.culprit {
            self.model.crashed(index);
        }
    }

    /// Items that the supervisor may take for unsettled ones of this worker, whatever became of its messages.
    fn may_be_unsettled(&self, worker: WorkerId) -> Vec<u64> {
        let leases = self.leases.values().filter(|(holder, ..)| *holder == worker);
        let items = leases.flat_map(|&(_, first, len)| first..first + u64::from(len));
        items.filter(|&index| !self.model.items[index as usize].committed).collect()
    }

    fn feed(&mut self) {
        if self.source_told {
            return;
        }
        let total = self.scenario.items.len() as u64;
        if self.fed == total {
            self.source_told = true;
            self.model.source_over = true;
            return self.input(Input::SourceEnded);
        }
        let count = 1 + self.random.below(self.scenario.chunk_items_max.min(total - self.fed));
        let mut builder = ChunkBuilder::default();
        let mut identities = Identities::default();
        for index in self.fed..self.fed + count {
            builder.push::<()>(|out| { out.extend([7; 6]); Ok(()) }).unwrap();
            identities.push_ordinal(index);
            self.model.items[index as usize].fed = true;
        }
        let chunk = Arc::new(builder.finish(ItemIndex(self.fed), identities).expect("it has items"));
        let range = self.fed..self.fed + count;
        let priors: Vec<Prior> =
            self.scenario.priors.iter().filter(|prior| range.contains(&prior.index.0)).copied().collect();
        self.fed += count;
        if self.fed == total {
            let delay = self.random.micros(self.scenario.feed_us);
            self.after(delay, Event::Feed);
        }
        self.input(Input::Fed { chunk, priors });
    }

    fn sample(&mut self) {
        self.after(SAMPLE_EVERY, Event::Sample);
        let running = self.workers.iter().filter(|(_, fake)| fake.life == Life::Running);
        let looks: Vec<_> = running.map(|(&worker, fake)| (worker, fake.recorder())).collect();
        for (worker, open) in looks {
            self.input(Input::Observed(worker, Observation { open, ..Observation::default() }));
        }
    }

    fn plan_sync(&mut self) {
        if !self.sync_planned && !self.store_full && !self.model.store_lost {
            self.sync_planned = true;
            let delay = self.random.micros(self.scenario.sync_us);
            self.after(delay, Event::Sync);
        }
    }

    fn sync(&mut self) {
        self.sync_planned = false;
        if self.store_full || self.model.store_lost || self.model.durable == self.model.tickets {
            return;
        }
        self.model.durable += 1 + self.random.below(self.model.tickets - self.model.durable);
        let through = self.model.durable;
        if through < self.model.tickets {
            self.plan_sync();
        }
        self.input(Input::Committed { through, lsn: through });
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Control(control) => self.input(Input::Control(control)),
            Happening::StoreFull => {
                self.store_full = true;
                self.input(Input::StoreFull);
            }
            Happening::StoreRecovered => {
                self.store_full = false;
                self.plan_sync();
                self.input(Input::StoreRecovered);
            }
            Happening::StoreFailed => {
                self.model.store_lost = true;
                self.input(Input::StoreFailed("EIO".into()));
            }
            Happening::SourceFails if self.source_told => {}
            Happening::SourceFails => {
                self.source_told = true;
                self.model.source_over = true;
                self.input(Input::SourceFailed("the disk is gone".into()));
            }
            Happening::Kill => {
                if let Some(worker) = self.any_running() {
                    self.die(worker, Exit::Signal { number: 15, name: "SIGTERM" }, None);
                }
            }
            Happening::DieIdle => {
                if let Some(worker) = self.any_running() {
                    self.fake(worker).die_when_idle = true;
                    self.pump(worker);
                }
            }
            Happening::Gap(gap) => {
                let events = std::mem::take(&mut self.events);
                self.events = events.into_iter().map(|((at, n), event)| ((at + gap, n), event)).collect();
                for fake in self.workers.values_mut() {
                    fake.to_host = fake.to_host + gap;
                    fake.from_host = fake.from_host + gap;
                    fake.open.iter_mut().for_each(|open| open.since = open.since + gap);
                }
                self.now = self.now + gap;
                self.input(Input::ClockGap(gap));
            }
        }
    }

    /// Everything that may still arrive after the end changes nothing.
    fn nothing_follows(&mut self) {
        let worker = WorkerId(1);
        let lease = LeaseId(1);
        let failure = Failure::fatal("late");
        let report = ExitReport { exit: Exit::Unknown, open: vec![], open_known: false, stderr_tail: String::new() };
        let mut builder = ChunkBuilder::default();
        builder.push::<()>(|_| Ok(())).unwrap();
        let chunk = Arc::new(builder.finish(ItemIndex(self.fed), Identities::default()).expect("it has an item"));
        let batch = ReplyBatch { lease, offset: 0, count: 1, outputs: Buffer::default() };
        let events = [
            WorkerEvent::Ready,
            WorkerEvent::Replied(batch),
            WorkerEvent::Failed { lease, offset: 0, failure: failure.clone() },
            WorkerEvent::Returned { lease, from: 0 },
            WorkerEvent::StartFailed(failure),
            WorkerEvent::Lost,
            WorkerEvent::Exited(report),
        ];
        events.into_iter().for_each(|event| self.input(Input::Worker(worker, event)));
        for control in [Control::Pause, Control::Resume, Control::Drain, Control::Cancel] {
            self.input(Input::Control(control));
        }
        self.input(Input::Fed { chunk, priors: vec![] });
        self.input(Input::SourceEnded);
        self.input(Input::SourceFailed("late".into()));
        self.input(Input::Observed(worker, Observation::default()));
        self.input(Input::Committed { through: self.model.durable, lsn: 0 });
        self.input(Input::StoreFull);
        self.input(Input::StoreRecovered);
        self.input(Input::StoreFailed("late".into()));
        self.input(Input::ClockGap(Duration::from_secs(9)));
        self.now = self.now + Duration::from_secs(1_000);
        self.input(Input::Tick);
        assert_eq!(self.supervisor.next_deadline(), None);
    }

    // ---- the workers' side ----

    fn fake(&mut self, worker: WorkerId) -> &mut FakeWorker {
        self.workers.get_mut(&worker).expect("it was spawned")
    }

    fn any_running(&mut self) -> Option<WorkerId> {
        let running: Vec<_> =
            self.workers.iter().filter(|(_, fake)| fake.life == Life::Running).map(|(&worker, _)| worker).collect();
        (!running.is_empty()).then(|| self.random.pick(&running))
    }

    fn spawn(&mut self, worker: WorkerId) {
        self.model.spawned(worker);
        let fake = FakeWorker {
            life: Life::Starting,
            said_ready: false,
            leases: VecDeque::new(),
            open: VecDeque::new(),
            paused: false,
            stopping: false,
            killable: !self.random.chance(self.scenario.unkillable),
            silent: self.random.chance(self.scenario.silent),
            pausable: self.random.chance(self.scenario.pausable),
            violated: false,
            garbled: false,
            kill_sent: false,
            die_when_idle: false,
            culprit: None,
            to_host: self.now,
            from_host: self.now,
        };
        self.workers.insert(worker, fake);
        let delay = self.random.micros(40_000);
        self.after(delay, Event::Started(worker));
    }

    fn started(&mut self, worker: WorkerId) {
        if self.fake(worker).life == Life::Dead {
            return;
        }
        self.starts += 1;
        let fails = match self.scenario.starts {
            Starts::Well => false,
            Starts::Badly { first, spawn: true } if self.starts <= first => {
                return self.die(worker, Exit::SpawnFailed("no such file".into()), None);
            }
            Starts::Badly { first, .. } => self.starts <= first,
            Starts::Sometimes => self.random.chance(33),
        };
        if fails {
            return self.fail_to_start(worker);
        }
        self.fake(worker).life = Life::Running;
        self.tell(worker, WorkerEvent::Ready);
    }

    fn fail_to_start(&mut self, worker: WorkerId) {
        if self.random.chance(10) {
            return; // It never gets ready: the time limit of the start ends it.
        }
        if self.random.chance(70) {
            let fatal = self.random.chance(10);
            let failure = if fatal { Failure::fatal("no model") } else { Failure::transient("busy") };
            self.tell(worker, WorkerEvent::StartFailed(failure));
        }
        self.die(worker, Exit::StartFailed("no model".into()), None);
    }

    fn send(&mut self, worker: WorkerId, message: Message) {
        let at = (self.now + self.latency()).max(self.fake(worker).from_host);
        self.fake(worker).from_host = at;
        self.at(at, Event::ToWorker(worker, message));
    }

    fn tell(&mut self, worker: WorkerId, event: WorkerEvent) {
        let at = (self.now + self.latency()).max(self.fake(worker).to_host);
        self.fake(worker).to_host = at;
        self.at(at, Event::ToHost(worker, event));
    }

    fn receive(&mut self, worker: WorkerId, message: Message) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        if fake.life == Life::Dead {
            return;
        }
        match message {
            Message::Assign(assignment) => {
                fake.leases.push_back(FakeLease {
                    id: assignment.lease,
                    first: assignment.chunk.first().0 + u64::from(assignment.range.start),
                    len: assignment.range.end - assignment.range.start,
                    attempt: assignment.attempt,
                    started: 0,
                    finished: 0,
                    reported: 0,
                });
                self.pump(worker);
            }
            Message::TakeBack(lease) => self.take_back(worker, lease),
            Message::SetPaused(paused) => fake.paused = paused,
            Message::Stop => self.stop(worker),
            Message::Kill(why) => self.killed(worker, why),
        }
    }

    fn take_back(&mut self, worker: WorkerId, lease: LeaseId) {
        let len = self.leases[&lease].2;
        let answers = self.random.chance(50);
        match self.fake(worker).lease(lease) {
            Some(found) => {
                let from = found.started;
                found.len = from;
                self.tell(worker, WorkerEvent::Returned { lease, from });
                self.fake(worker).leases.retain(|lease| lease.reported < lease.len);
            }
            // It was reported to the end in the meantime.
            None if answers => self.tell(worker, WorkerEvent::Returned { lease, from: len }),
            None => {}
        }
    }

    fn stop(&mut self, worker: WorkerId) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        fake.stopping = true;
        fake.paused = false;
        let mut interrupted = Vec::new();
        for open in &mut fake.open {
            let checks = matches!(open.fate, Fate::Completes | Fate::Hangs) && !open.ended;
            if checks && self.random.chance(50) {
                open.fate = Fate::Fails(Failure::new(FailureKind::Interrupted, "told to stop"));
                interrupted.push((open.lease, open.offset));
            }
        }
        for (lease, offset) in interrupted {
            self.after(Duration::ZERO, Event::ItemEnds(worker, lease, offset));
        }
        self.leave_if_done(worker);
    }

    fn leave_if_done(&mut self, worker: WorkerId) {
        if self.fake(worker).stopping && self.fake(worker).open.is_empty() {
            self.flush(worker);
            self.die(worker, Exit::Stopped, None);
        }
    }

    fn killed(&mut self, worker: WorkerId, why: KillReason) {
        self.fake(worker).kill_sent = true;
        if !self.fake(worker).killable {
            self.fake(worker).life = Life::Dead;
            return;
        }
        let by_limit = match why {
            KillReason::TimeLimit(limit, after) => Exit::TimedOut { limit, after },
            _ => Exit::Killed(why),
        };
        let kill = Exit::Signal { number: 9, name: "SIGKILL" };
        let exit = if self.random.chance(30) { kill } else { by_limit };
        let hung = self.fake(worker).open.iter().find(|open| matches!(open.fate, Fate::Hangs)).map(|open| open.item);
        let culprit = hung.filter(|_| matches!(why, KillReason::TimeLimit(TimeLimit::Item, _)));
        self.die(worker, exit, culprit);
    }

    /// It is dead from now on; what was not sent is lost.
    fn die(&mut self, worker: WorkerId, exit: Exit, culprit: Option<u64>) {
        let recorder_lost = self.random.chance(self.scenario.recorder_lost);
        let says_lost = self.random.chance(70);
        let fake = self.fake(worker);
        if fake.life == Life::Dead {
            return;
        }
        fake.life = Life::Dead;
        fake.culprit = culprit;
        let silent = fake.silent;
        let open = fake.recorder();
        let open_known = open.is_empty() || !recorder_lost;
        let open = if open_known { open } else { Vec::new() };
        if says_lost || silent {
            self.tell(worker, WorkerEvent::Lost);
        }
        if !silent {
            let teardown = self.random.micros(20_000);
            let fake = self.fake(worker);
            fake.to_host = fake.to_host + teardown;
            self.tell(worker, WorkerEvent::Exited(ExitReport { exit, open, open_known, stderr_tail: String::new() }));
        }
    }

    /// Starts what can be started.
    fn pump(&mut self, worker: WorkerId) {
        let slots = self.scenario.slots;
        loop {
            let fake = self.workers.get_mut(&worker).expect("it was spawned");
            if fake.die_when_idle && fake.open.is_empty() && fake.life == Life::Running {
                return self.die(worker, Exit::Signal { number: 11, name: "SIGSEGV" }, None);
            }
            let Some((lease, offset, item, attempt)) = fake.next_item(slots) else { return };
            let fate = self.model.items[item as usize].nature.fate(attempt, &mut self.random);
            let hangs = matches!(fate, Fate::Hangs);
            fake.open.push_back(Open { lease, offset, item, since: self.now, fate, ended: false });
            if !hangs {
                let delay = self.random.micros(self.scenario.item_us);
                self.after(delay, Event::ItemEnds(worker, lease, offset));
            }
        }
    }

    fn item_ends(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        let held = fake.paused && fake.pausable;
        let Some(open) = fake.open.iter_mut().find(|open| open.lease == lease && open.offset == offset) else { return };
        if fake.life == Life::Dead {
            return;
        }
        if held {
            return self.after(Duration::from_millis(20), Event::ItemEnds(worker, lease, offset));
        }
        if let Fate::Kills(exit) = open.fate.clone() {
            let culprit = Some(open.item).filter(|_| !exit.is_foreign_kill());
            return self.die(worker, exit, culprit);
        }
        open.ended = true;
        while self.fake(worker).life == Life::Running && self.fake(worker).open.front().is_some_and(|open| open.ended) {
            let open = self.fake(worker).open.pop_front().expect("looked at above");
            self.result(worker, open);
        }
        self.pump(worker);
        if self.fake(worker).life == Life::Running {
            self.leave_if_done(worker);
        }
    }

    fn result(&mut self, worker: WorkerId, open: Open) {
        match open.fate {
            Fate::Completes => {
                let lease = self.fake(worker).lease(open.lease).expect("it has unreported items");
                lease.finished += 1;
                let is_last = lease.finished == lease.len;
                if is_last || self.random.chance(50) {
                    self.flush(worker);
                } else {
                    self.after(FLUSH_AFTER, Event::Flush(worker));
                }
            }
            Fate::Fails(failure) => {
                self.flush(worker);
                let lease = self.fake(worker).lease(open.lease).expect("it has unreported items");
                lease.finished += 1;
                lease.reported += 1;
                self.model.items[open.item as usize].failed = true;
                self.tell(worker, WorkerEvent::Failed { lease: open.lease, offset: open.offset, failure });
                self.fake(worker).leases.retain(|lease| lease.reported < lease.len);
            }
            Fate::KillsAfterwards => self.die(worker, Exit::Signal { number: 11, name: "SIGSEGV" }, None),
            Fate::SendsGarbage => {
                self.flush(worker);
                let fake = self.fake(worker);
                fake.violated = true;
                fake.garbled = true;
                let lease = fake.lease(open.lease).expect("it has unreported items");
                lease.finished += 1;
                let batch = ReplyBatch { lease: open.lease, offset: open.offset, count: 1 << 20, outputs: Buffer::default() };
                self.tell(worker, WorkerEvent::Replied(batch));
            }
            Fate::Kills(_) | Fate::Hangs => unreachable!("these do not end"),
        }
    }

    /// Sends what is finished.
    fn flush(&mut self, worker: WorkerId) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        // After garbage nothing is sent any more: the fake's own count does not fit either.
        if fake.life != Life::Running || fake.garbled {
            return;
        }
        let mut batches = Vec::new();
        for lease in &mut fake.leases {
            let count = lease.finished - lease.reported;
            if count > 0 {
                batches.push((lease.id, lease.first, lease.reported, count));
                lease.reported = lease.finished;
            }
        }
        fake.leases.retain(|lease| lease.reported < lease.len);
        for (lease, first, offset, count) in batches {
            for item in 0..count {
                self.model.items[(first + u64::from(offset + item)) as usize].replied = true;
            }
            let twice = self.random.chance(self.scenario.duplicates);
            for _ in 0..=usize::from(twice) {
                let outputs = Buffer::from(vec![0; count as usize]);
                self.tell(worker, WorkerEvent::Replied(ReplyBatch { lease, offset, count, outputs }));
            }
            self.fake(worker).violated |= twice;
        }
    }
}

fn name(input: &Input) -> &'static str {
    match input {
        Input::Fed { .. } => "fed",
        Input::SourceEnded => "source ended",
        Input::SourceFailed(_) => "source failed",
        Input::Worker(_, WorkerEvent::Ready) => "ready",
        Input::Worker(_, WorkerEvent::Replied(_)) => "replied",
        Input::Worker(_, WorkerEvent::Failed { .. }) => "failed",
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
        Input::Tick => "tick",
        Input::ClockGap(_) => "clock gap",
    }
}
