//! Feeds inputs and writes commands down as short lines.

use cofferdam_pipeline_core::supervisor::{Command, Commit, Control, Input, Prior, Settled, Supervisor};
use cofferdam_pipeline_core::{
    Buffer, Chunk, ChunkBuilder, EventKind, Exit, ExitReport, Failure, Identities, ItemIndex, Key, LeaseId,
    Observation, OpenItem, Policy, ReplyBatch, Time, WorkerEvent, WorkerId,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

pub fn policy(workers: u32) -> Policy {
    Policy { workers: NonZeroU32::new(workers).unwrap(), ..Policy::default() }
}

pub struct Harness {
    pub supervisor: Supervisor,
    pub now: Time,
    next_index: u64,
    /// Every line so far.
    pub log: Vec<String>,
    pub commits: Vec<Commit>,
    last_ticket: u64,
}

impl Harness {
    pub fn new(policy: Policy) -> Self {
        Self::of(Supervisor::new(policy, false))
    }

    pub fn of(supervisor: Supervisor) -> Self {
        let mut harness = Self {
            supervisor,
            now: Time(0),
            next_index: 0,
            log: Vec::new(),
            commits: Vec::new(),
            last_ticket: 0,
        };
        harness.step(Input::Tick);
        harness
    }

    /// One ready worker, `items` items that were fed, and the source at its end.
    pub fn with_one_worker(items: u32) -> Self {
        Self::with_policy_and_items(policy(1), items)
    }

    /// All workers ready, `items` items that were fed, and the source at its end.
    pub fn with_policy_and_items(policy: Policy, items: u32) -> Self {
        let workers = policy.workers.get();
        let mut harness = Self::new(policy);
        harness.feed(items);
        harness.step(Input::SourceEnded);
        for worker in 1..=workers.min(items) {
            harness.ready(worker);
        }
        harness
    }

    /// The lines of one step, without the requests for items.
    pub fn step(&mut self, input: Input) -> Vec<String> {
        let mut commands = Vec::new();
        self.supervisor.step(input, self.now, &mut commands);
        let lines: Vec<_> = commands.iter().map(line).collect();
        self.log.extend(lines.iter().cloned());
        for command in commands {
            if let Command::Commit(commit) = command {
                self.last_ticket = commit.ticket;
                self.commits.push(commit);
            }
        }
        lines.into_iter().filter(|line| line != "want").collect()
    }

    pub fn wait(&mut self, by: Duration) -> Vec<String> {
        self.now = self.now + by;
        self.step(Input::Tick)
    }

    pub fn feed(&mut self, items: u32) -> Vec<String> {
        self.feed_known(items, &[])
    }

    pub fn feed_known(&mut self, items: u32, priors: &[Prior]) -> Vec<String> {
        let chunk = chunk(self.next_index, items, 8);
        self.next_index += u64::from(items);
        self.step(Input::Fed { chunk, priors: priors.to_vec() })
    }

    pub fn worker(&mut self, worker: u32, event: WorkerEvent) -> Vec<String> {
        self.step(Input::Worker(WorkerId(worker), event))
    }

    pub fn ready(&mut self, worker: u32) -> Vec<String> {
        self.worker(worker, WorkerEvent::Ready)
    }

    pub fn reply(&mut self, worker: u32, lease: u32, offset: u32, count: u32) -> Vec<String> {
        let outputs = Buffer::from(vec![0; count.min(1 << 20) as usize]).into();
        let batch = ReplyBatch { lease: LeaseId(lease), offset, count, outputs };
        self.worker(worker, WorkerEvent::Replied(batch))
    }

    pub fn fail(&mut self, worker: u32, lease: u32, offset: u32, failure: Failure) -> Vec<String> {
        let item = OpenItem { lease: LeaseId(lease), offset, ..OpenItem::default() };
        self.worker(worker, WorkerEvent::Failed { item, failure })
    }

    pub fn save(&mut self, worker: u32, lease: u32, offset: u32, state: &[u8]) -> Vec<String> {
        self.worker(worker, WorkerEvent::StateSaved { lease: LeaseId(lease), offset, state: state.into() })
    }

    pub fn returned(&mut self, worker: u32, lease: u32, from: u32) -> Vec<String> {
        self.worker(worker, WorkerEvent::Returned { lease: LeaseId(lease), from })
    }

    pub fn lost(&mut self, worker: u32) -> Vec<String> {
        self.worker(worker, WorkerEvent::Lost)
    }

    pub fn exit(&mut self, worker: u32, exit: Exit, open: &[(u32, u32)]) -> Vec<String> {
        let report = ExitReport {
            exit,
            open: open.iter().map(|&(lease, offset)| open_item(lease, offset)).collect(),
            open_known: true,
            stderr_tail: "the last words".into(),
        };
        self.worker(worker, WorkerEvent::Exited(report))
    }

    pub fn observe(&mut self, worker: u32, open: &[(u32, u32)]) -> Vec<String> {
        let open = open.iter().map(|&(lease, offset)| open_item(lease, offset)).collect();
        self.step(Input::Observed(WorkerId(worker), Observation { open, ..Observation::default() }))
    }

    /// A look at a worker with this heartbeat, whose open item of lease and offset has come so far.
    pub fn observe_signs(
        &mut self,
        worker: u32,
        heartbeat: u64,
        open: &[(u32, u32)],
        done: u64,
    ) -> Vec<String> {
        let far = |&(lease, offset)| OpenItem { progress: Some((done, 20)), ..open_item(lease, offset) };
        let open = open.iter().map(far).collect();
        self.step(Input::Observed(
            WorkerId(worker),
            Observation { heartbeat, open, ..Observation::default() },
        ))
    }

    pub fn control(&mut self, control: Control) -> Vec<String> {
        self.step(Input::Control(control))
    }

    pub fn cancel_item(&mut self, ordinal: u64) -> Vec<String> {
        self.step(Input::CancelItem(Key::Ordinal(ordinal)))
    }

    /// Everything that was handed to the store becomes durable.
    pub fn commit_all(&mut self) -> Vec<String> {
        self.step(Input::Committed { through: self.last_ticket, lsn: self.last_ticket })
    }

    /// Settles everything that `worker` is given, one lease after the other, until `items` items are done.
    pub fn work_off(&mut self, worker: u32, items: u32, per_item: Duration) {
        let mut left = items;
        let mut done = Vec::new();
        while left > 0 {
            let (lease, count) = self.open_lease(worker, &done).expect("there is work");
            self.now = self.now + per_item * count;
            self.reply(worker, lease, 0, count);
            done.push(lease);
            left = left.saturating_sub(count);
        }
    }

    /// The worker's first lease that is not in `done`, with its length, by the log.
    pub fn open_lease(&self, worker: u32, done: &[u32]) -> Option<(u32, u32)> {
        let prefix = format!("assign w{worker} l");
        self.log
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(parse_lease)
            .find(|(id, _)| !done.contains(id))
    }

    /// The worker's newest lease, by the log.
    pub fn last_lease_of(&self, worker: u32) -> Option<(u32, u32)> {
        let prefix = format!("assign w{worker} l");
        self.log.iter().rev().find_map(|line| line.strip_prefix(&prefix)).map(parse_lease)
    }

    /// Items that the worker was given, by the log.
    pub fn items_of(&self, worker: u32) -> u32 {
        let prefix = format!("assign w{worker} l");
        self.log.iter().filter_map(|line| line.strip_prefix(&prefix)).map(|rest| parse_lease(rest).1).sum()
    }

    /// The worker replies to everything of `count` leases from `lease` on.
    pub fn work_off_from(&mut self, worker: u32, lease: u32, count: u32) {
        for lease in lease..lease + count {
            let len = self.lease_lens()[lease as usize - 1];
            self.reply(worker, lease, 0, len);
        }
    }

    /// Lengths of all leases so far, in order.
    pub fn lease_lens(&self) -> Vec<u32> {
        self.log
            .iter()
            .filter(|line| line.starts_with("assign"))
            .filter_map(|line| line.split_once(" l"))
            .map(|(_, rest)| parse_lease(rest).1)
            .collect()
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(prefix)).count()
    }
}

fn parse_lease(rest: &str) -> (u32, u32) {
    let mut words = rest.split(' ');
    let id = words.next().unwrap().parse().unwrap();
    let (start, end) = words.next().unwrap().split_once("..").unwrap();
    (id, end.parse::<u32>().unwrap() - start.parse::<u32>().unwrap())
}

pub fn open_item(lease: u32, offset: u32) -> OpenItem {
    OpenItem {
        lease: LeaseId(lease),
        offset,
        stage: "decode".into(),
        progress: Some((14, 20)),
        breadcrumbs: vec!["page 14".into()],
        ..OpenItem::default()
    }
}

pub fn chunk(first: u64, items: u32, item_bytes: usize) -> Arc<Chunk> {
    let mut builder = ChunkBuilder::default();
    let mut identities = Identities::default();
    for n in 0..u64::from(items) {
        builder
            .push::<()>(|out| {
                out.resize(out.len() + item_bytes - 1, 7);
                Ok(())
            })
            .unwrap();
        identities.push_ordinal(first + n);
    }
    Arc::new(builder.finish(ItemIndex(first), identities).unwrap())
}

pub fn segv() -> Exit {
    Exit::Signal { number: 11, name: "SIGSEGV", address: None }
}

pub fn sigkill() -> Exit {
    Exit::Signal { number: 9, name: "SIGKILL", address: None }
}

/// Items are named by their index in the session.
fn line(command: &Command) -> String {
    match command {
        Command::WantItems => "want".into(),
        Command::Spawn(worker, slot) => format!("spawn w{} s{}", worker.0, slot.0),
        Command::Assign(worker, a) => {
            let (start, end) =
                (a.chunk.first().0 + u64::from(a.range.start), a.chunk.first().0 + u64::from(a.range.end));
            let state = a.saved_state.as_ref().map_or(String::new(), |state| format!(" from {state:?}"));
            format!("assign w{} l{} {start}..{end} #{}{state}", worker.0, a.lease.0, a.attempt)
        }
        Command::TakeBack(worker, lease) => format!("take back w{} lease {}", worker.0, lease.0),
        Command::SetPaused(worker, paused) => format!("pause w{} {paused}", worker.0),
        Command::CancelItem(worker, lease, offset) => format!("cancel w{} l{}.{offset}", worker.0, lease.0),
        Command::Stop(worker) => format!("stop w{}", worker.0),
        Command::Kill(worker, why) => format!("kill w{} {why:?}", worker.0),
        Command::Commit(c) => {
            let (start, end) =
                (c.chunk.first().0 + u64::from(c.range.start), c.chunk.first().0 + u64::from(c.range.end));
            let how = match &c.settled {
                Settled::Completed(_) => "completed".into(),
                Settled::Failed(evidence) => format!("failed {}", evidence.kind),
                Settled::Quarantined(evidence) => format!("quarantined {}", evidence.kind),
                Settled::Cancelled(evidence) => evidence.kind.clone(),
            };
            format!("commit t{} {start}..{end} {how} x{}", c.ticket, c.attempts)
        }
        Command::Note { prior, .. } => format!(
            "note {} crashes={} failures={} foreign={} host={}",
            prior.index.0, prior.crashes, prior.failures, prior.foreign_kills, prior.host_deaths
        ),
        Command::SaveState { chunk, position, state } => {
            format!("save {} {:?}", chunk.first().0 + u64::from(*position), &state[..state.len().min(4)])
        }
        Command::Emit(EventKind::Suspected(item)) => format!("suspected {}", item.0),
        Command::Emit(EventKind::Acquitted(item)) => format!("acquitted {}", item.0),
        Command::Emit(EventKind::RetryIn(item, _)) => format!("retry {}", item.0),
        Command::Emit(EventKind::WorkerExited(worker, exit)) => {
            format!("exited w{} {}", worker.0, exit.kind())
        }
        Command::Emit(EventKind::WorkerReady(worker)) => format!("ready w{}", worker.0),
        Command::Emit(EventKind::Committed { kind, count }) => format!("durable {count} {}", kind.name()),
        Command::Emit(kind) => format!("{kind:?}"),
        Command::UseThreads(_) => "use threads".into(),
        Command::Finish(how) => format!("finish {how:?}"),
    }
}
