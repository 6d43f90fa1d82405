//! What workers do.

use crate::fake_worker::{FakeLease, FakeWorker, Life, Open};
use crate::nature::Fate;
use crate::scenario::Starts;
use crate::world::{Event, Message, World};
use cofferdam_pipeline_core::{
    Buffer, Exit, ExitReport, Failure, FailureKind, KillReason, LeaseId, OpenItem, ReplyBatch, WorkerEvent,
    WorkerId,
};
use std::collections::VecDeque;
use std::time::Duration;

const FLUSH_AFTER: Duration = Duration::from_millis(5);

impl World {
    pub fn fake(&mut self, worker: WorkerId) -> &mut FakeWorker {
        self.workers.get_mut(&worker).expect("it was spawned")
    }

    pub fn any_running(&mut self) -> Option<WorkerId> {
        let running: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, fake)| fake.life == Life::Running)
            .map(|(&worker, _)| worker)
            .collect();
        (!running.is_empty()).then(|| self.random.pick(&running))
    }

    pub fn spawn(&mut self, worker: WorkerId) {
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
            mute: self.random.chance(self.scenario.mute),
            stopped: None,
            stopped_last: None,
            ran: Duration::ZERO,
            runs_since: self.now,
            unread: Vec::new(),
            violated: false,
            garbled: false,
            kill_sent: false,
            struck: false,
            killed_for: None,
            die_when_idle: false,
            culprit: None,
            to_host: self.now,
            from_host: self.now,
        };
        self.workers.insert(worker, fake);
        let delay = self.random.micros(40_000);
        self.after(delay, Event::Started(worker));
    }

    pub fn started(&mut self, worker: WorkerId) {
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

    pub fn fail_to_start(&mut self, worker: WorkerId) {
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

    pub fn send(&mut self, worker: WorkerId, message: Message) {
        let at = (self.now + self.latency()).max(self.fake(worker).from_host);
        self.fake(worker).from_host = at;
        self.at(at, Event::ToWorker(worker, message));
    }

    pub fn tell(&mut self, worker: WorkerId, event: WorkerEvent) {
        let at = (self.now + self.latency()).max(self.fake(worker).to_host);
        self.fake(worker).to_host = at;
        self.at(at, Event::ToHost(worker, event));
    }

    pub fn receive(&mut self, worker: WorkerId, message: Message) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        if fake.life == Life::Dead {
            return;
        }
        if fake.stopped.is_some() && !matches!(message, Message::Kill(_)) {
            return fake.unread.push(message);
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
            Message::CancelItem(lease, offset) => self.cancel_item(worker, lease, offset),
            Message::Stop => self.stop(worker),
            Message::Kill(why) => self.killed(worker, why),
        }
    }

    pub fn take_back(&mut self, worker: WorkerId, lease: LeaseId) {
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

    pub fn cancel_item(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        let checks = self.random.chance(50);
        let open =
            self.fake(worker).open.iter_mut().find(|open| open.lease == lease && open.offset == offset);
        let Some(open) = open.filter(|open| !open.ended && checks) else { return };
        if open.fate.may_check() {
            open.fate = Fate::Fails(Failure::new(FailureKind::Interrupted, "told to stop"));
            self.after(Duration::ZERO, Event::ItemEnds(worker, lease, offset));
        }
    }

    pub fn stop(&mut self, worker: WorkerId) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        fake.stopping = true;
        fake.paused = false;
        let mut interrupted = Vec::new();
        for open in &mut fake.open {
            let checks = open.fate.may_check() && !open.ended;
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

    pub fn leave_if_done(&mut self, worker: WorkerId) {
        if self.fake(worker).stopping && self.fake(worker).open.is_empty() {
            self.flush(worker);
            self.die(worker, Exit::Stopped, None);
        }
    }

    pub fn killed(&mut self, worker: WorkerId, why: KillReason) {
        self.fake(worker).kill_sent = true;
        if !self.fake(worker).killable {
            self.fake(worker).life = Life::Dead;
            return;
        }
        let by_limit = match why {
            KillReason::TimeLimit(limit, after) => Exit::TimedOut { limit, after },
            _ => Exit::Killed(why),
        };
        let kill = Exit::Signal { number: 9, name: "SIGKILL", address: None };
        let exit = if self.random.chance(30) { kill } else { by_limit };
        let culprit = match why {
            KillReason::TimeLimit(limit, _) => self.fake(worker).culprit(limit),
            _ => None,
        };
        self.die(worker, exit, culprit);
    }

    /// It is dead from now on; what was not sent is lost.
    pub fn die(&mut self, worker: WorkerId, exit: Exit, culprit: Option<u64>) {
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
            self.tell(
                worker,
                WorkerEvent::Exited(ExitReport { exit, open, open_known, stderr_tail: String::new() }),
            );
        }
    }

    /// Starts what can be started.
    pub fn pump(&mut self, worker: WorkerId) {
        let slots = self.scenario.slots;
        loop {
            let fake = self.workers.get_mut(&worker).expect("it was spawned");
            if fake.stopped.is_some() {
                return;
            }
            if fake.die_when_idle && fake.open.is_empty() && fake.life == Life::Running {
                return self.die(worker, Exit::Signal { number: 11, name: "SIGSEGV", address: None }, None);
            }
            let Some((lease, offset, item, attempt)) = fake.next_item(slots) else { return };
            let fate = self.model.items[item as usize].nature.fate(attempt, &mut self.random);
            let time = match &fate {
                Fate::Hangs { .. } => None,
                Fate::TakesLong(time) => Some(*time),
                Fate::Completes
                | Fate::Fails(_)
                | Fate::Kills(_)
                | Fate::KillsAfterwards
                | Fate::SendsGarbage => Some(self.random.micros(self.scenario.item_us)),
            };
            fake.open.push_back(Open { lease, offset, item, since: self.now, fate, ended: false });
            self.save_state(worker, lease, offset);
            if let Some(time) = time {
                self.after(time, Event::ItemEnds(worker, lease, offset));
            }
        }
    }

    /// What is open may save its state at once; results go first.
    pub fn save_state(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        if self.random.chance(self.scenario.saves) {
            self.flush(worker);
            self.states += 1;
            let state = self.states.to_le_bytes()[..].into();
            self.tell(worker, WorkerEvent::StateSaved { lease, offset, state });
        }
    }

    /// Results leave in the order of the items, unless the worker has slots of its own.
    fn next_ended(&mut self, worker: WorkerId) -> Option<Open> {
        let any_order = self.scenario.policy.slots_per_worker.get() > 1;
        let fake = self.fake(worker);
        let at = match fake.open.iter().position(|open| open.ended) {
            Some(at) if fake.life == Life::Running && (any_order || at == 0) => at,
            Some(_) | None => return None,
        };
        fake.open.remove(at)
    }

    pub fn item_ends(&mut self, worker: WorkerId, lease: LeaseId, offset: u32) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        let held = fake.paused && fake.pausable || fake.stopped.is_some();
        let Some(open) = fake.open.iter_mut().find(|open| open.lease == lease && open.offset == offset)
        else {
            return;
        };
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
        while let Some(open) = self.next_ended(worker) {
            self.result(worker, open);
        }
        self.pump(worker);
        if self.fake(worker).life == Life::Running {
            self.leave_if_done(worker);
        }
    }

    pub fn result(&mut self, worker: WorkerId, open: Open) {
        match open.fate {
            Fate::Completes | Fate::TakesLong(_) if self.scenario.policy.slots_per_worker.get() > 1 => {
                self.reply_alone(worker, &open)
            }
            Fate::Completes | Fate::TakesLong(_) => {
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
                let item = OpenItem { lease: open.lease, offset: open.offset, ..OpenItem::default() };
                self.tell(worker, WorkerEvent::Failed { item, failure });
                self.fake(worker).leases.retain(|lease| lease.reported < lease.len);
            }
            Fate::KillsAfterwards => {
                self.die(worker, Exit::Signal { number: 11, name: "SIGSEGV", address: None }, None)
            }
            Fate::SendsGarbage => {
                self.flush(worker);
                let fake = self.fake(worker);
                fake.violated = true;
                fake.garbled = true;
                let lease = fake.lease(open.lease).expect("it has unreported items");
                lease.finished += 1;
                let batch = ReplyBatch {
                    lease: open.lease,
                    offset: open.offset,
                    count: 1 << 20,
                    outputs: Buffer::default().into(),
                };
                self.tell(worker, WorkerEvent::Replied(batch));
            }
            Fate::Kills(_) | Fate::Hangs { .. } => unreachable!("these do not end"),
        }
    }

    /// A result in whatever order.
    fn reply_alone(&mut self, worker: WorkerId, open: &Open) {
        let lease = self.fake(worker).lease(open.lease).expect("it has unreported items");
        lease.finished += 1;
        lease.reported += 1;
        self.fake(worker).leases.retain(|lease| lease.reported < lease.len);
        self.model.items[open.item as usize].replied = true;
        let twice = self.random.chance(self.scenario.duplicates);
        for _ in 0..=usize::from(twice) {
            let outputs = Buffer::from(vec![0]).into();
            let batch = ReplyBatch { lease: open.lease, offset: open.offset, count: 1, outputs };
            self.tell(worker, WorkerEvent::Replied(batch));
        }
        self.fake(worker).violated |= twice;
    }

    /// Sends what is finished.
    pub fn flush(&mut self, worker: WorkerId) {
        let fake = self.workers.get_mut(&worker).expect("it was spawned");
        if fake.stopped.is_some() {
            return self.after(FLUSH_AFTER, Event::Flush(worker));
        }
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
                let outputs = Buffer::from(vec![0; count as usize]).into();
                self.tell(worker, WorkerEvent::Replied(ReplyBatch { lease, offset, count, outputs }));
            }
            self.fake(worker).violated |= twice;
        }
    }
}
