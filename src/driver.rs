//! Performs what the supervisor decides: the one loop that owns a running job.

use crate::clock::Clock;
use crate::feeder::Feed;
use crate::fleet::Fleet;
use crate::inbox::{Arrived, Inbox};
use crate::ledger::{Ledger, Turn};
use crate::shared::{EngineStopped, Shared};
use crate::snapshot::WorkerSnapshot;
use crate::states::States;
use crate::workspace::Lent;
use crate::{Isolation, Phase, Report, ResumePlan, Snapshot};
use cofferdam_checkpoint::{JobState, JobStore};
use cofferdam_pipeline_core::supervisor::{self, Command, Ended, Input};
use cofferdam_pipeline_core::{
    Event, EventKind, Keying, SlotNumber, Supervisor, Time, WorkerEvent, WorkerId,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often the recorders are looked at and the snapshot is refreshed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Credit that lies unused for this long makes the feeder deliver less than a full chunk.
const HURRY_AFTER: Duration = Duration::from_millis(1);

/// Everything that belongs to one running job.
pub(crate) struct Driver {
    pub supervisor: Supervisor,
    pub inbox: Arc<Inbox>,
    pub feed: Arc<Feed>,
    pub fleet: Fleet,
    pub lent: Arc<Lent>,
    pub ledger: Ledger,
    pub states: States,
    pub job: Arc<JobStore>,
    pub shared: Arc<Shared>,
    pub clock: Clock,
    pub base: Base,
    pub live: Live,
}

/// What was known when the run began.
pub(crate) struct Base {
    pub keying: Keying,
    pub plan: ResumePlan,
}

/// What the loop remembers between turns.
#[derive(Default)]
pub(crate) struct Live {
    /// What the last look at the workers showed.
    seen: Vec<WorkerSnapshot>,
    last_spawned: Option<WorkerId>,
    durable_lsn: u64,
    next_look: Time,
    /// The feeder has had unused credit since then.
    wanted_since: Option<Time>,
    source_ended: bool,
    ended: Option<Ended>,
    /// Empty between steps; kept for its capacity.
    commands: Vec<Command>,
}

impl Driver {
    /// Runs the job to its end; leaves the report, or word of a panic, with the handles.
    pub fn run(mut self) {
        let _tell =
            TellOfPanic { shared: self.shared.clone(), inbox: self.inbox.clone(), feed: self.feed.clone() };
        self.step(Input::Tick, self.clock.now());
        loop {
            if let Some(ended) = self.live.ended.take() {
                return self.finish(ended);
            }
            let now = self.clock.now();
            let wait = self.wait(now);
            self.clock.sleeping(now, wait);
            let arrived = self.inbox.take(wait);
            let now = self.clock.now();
            if let Some(gap) = self.clock.gap(now) {
                self.step(Input::ClockGap(gap), now);
            }
            self.handle(arrived, now);
            self.on_time(now);
        }
    }

    /// How long nothing needs to be done unless something arrives.
    fn wait(&self, now: Time) -> Duration {
        let hurry = self.live.wanted_since.map(|since| since + HURRY_AFTER);
        [Some(self.live.next_look), self.supervisor.next_deadline(), self.ledger.retry_at(), hurry]
            .into_iter()
            .flatten()
            .map(|at| at.since(now))
            .min()
            .unwrap_or(LOOK_EVERY)
            .min(LOOK_EVERY)
    }

    fn handle(&mut self, arrived: Arrived, now: Time) {
        let Arrived { inputs, durable, store_error } = arrived;
        if let Some((ticket, lsn)) = durable {
            self.durable(ticket, lsn, now);
        }
        // First: what items met on a full disk is not held against them.
        if let Some(error) = store_error {
            let turn = self.ledger.failed(&error, now);
            self.store_turned(turn, now);
        }
        for input in inputs {
            self.note_input(&input);
            self.step(input, now);
        }
    }

    fn durable(&mut self, ticket: u64, lsn: u64, now: Time) {
        self.live.durable_lsn = lsn;
        if let Some(through) = self.ledger.durable(ticket) {
            self.step(Input::Committed { through, lsn }, now);
        }
        self.shared.set_durable(lsn);
    }

    fn store_turned(&mut self, turn: Option<Turn>, now: Time) {
        if let Some(through) = self.ledger.take_found() {
            let lsn = self.job.durable_lsn();
            self.step(Input::Committed { through, lsn }, now);
            self.live.durable_lsn = lsn;
            self.shared.set_durable(lsn);
        }
        if let Some(turn) = turn {
            self.step(turn.into(), now);
        }
    }

    fn on_time(&mut self, now: Time) {
        let turn = self.ledger.retry(now);
        self.store_turned(turn, now);
        if now >= self.live.next_look {
            self.live.next_look = now + LOOK_EVERY;
            self.look(now);
            self.states.write_due(&self.job, now);
            self.shared.set_snapshot(self.snapshot(now));
        }
        if self.live.wanted_since.is_some_and(|since| since + HURRY_AFTER <= now) {
            self.live.wanted_since = None;
            self.feed.hurry();
        }
        if self.supervisor.next_deadline().is_some_and(|at| at <= now) {
            self.step(Input::Tick, now);
        }
    }

    /// One step and all that follows from it.
    fn step(&mut self, input: Input, now: Time) {
        let mut inputs = VecDeque::from([input]);
        let mut commands = std::mem::take(&mut self.live.commands);
        while let Some(input) = inputs.pop_front() {
            self.supervisor.step(input, now, &mut commands);
            for command in commands.drain(..) {
                inputs.extend(self.perform(command, now));
            }
        }
        self.live.commands = commands;
    }

    /// Performs one command; the answer is what the supervisor must hear of it at once.
    fn perform(&mut self, command: Command, now: Time) -> Option<Input> {
        match command {
            Command::WantItems => {
                self.feed.want();
                self.live.wanted_since.get_or_insert(now);
            }
            Command::Spawn(worker, slot) => {
                self.live.last_spawned = Some(worker);
                self.fleet.spawn(worker, slot);
            }
            Command::Assign(worker, assignment) => {
                self.ledger.lease_started(worker, &assignment);
                self.fleet.assign(worker, assignment);
            }
            Command::TakeBack(worker, lease) => self.fleet.take_back(worker, lease),
            Command::SetPaused(worker, paused) => self.fleet.set_paused(worker, paused),
            Command::CancelItem(worker, lease, offset) => self.fleet.cancel_item(worker, lease, offset),
            Command::Stop(worker) => self.fleet.stop(worker),
            Command::Kill(worker, why) => self.fleet.kill(worker, why),
            Command::Commit(commit) => {
                self.states.forget(&commit.chunk, &commit.range);
                return self.ledger.submit(commit, now).map(Input::from);
            }
            Command::Note { chunk, position, prior } => self.ledger.note(&chunk, position, &prior),
            Command::SaveState { chunk, position, state } => {
                self.states.save(&chunk, position, state, now);
            }
            Command::Emit(kind) => self.shared.publisher.publish(&Event { lsn: self.live.durable_lsn, kind }),
            Command::UseThreads(reason) => self.use_threads(&reason),
            Command::Finish(ended) => self.live.ended = Some(ended),
        }
        None
    }

    fn use_threads(&mut self, reason: &str) {
        let next = WorkerId(self.live.last_spawned.map_or(0, |last| last.0 + 1));
        if let Err(error) = self.fleet.use_threads_from(next) {
            // The supervisor meets workers that cannot start and ends the job with that as its reason.
            tracing::warn!(%error, reason, "threads cannot replace processes");
        }
    }

    /// Keeps what the supervisor has no business with.
    fn note_input(&mut self, input: &Input) {
        match input {
            Input::Fed { .. } => self.live.wanted_since = None,
            Input::SourceEnded | Input::SourceFailed(_) => {
                self.live.source_ended = true;
                self.live.wanted_since = None;
            }
            Input::Worker(_, WorkerEvent::Ready) => {
                if let Err(error) = self.job.set_workers(&self.fleet.worker_entries()) {
                    tracing::debug!(%error, "the owner record does not name the workers");
                }
            }
            Input::Worker(..)
            | Input::Observed(..)
            | Input::Committed { .. }
            | Input::StoreFull
            | Input::StoreRecovered
            | Input::StoreFailed(_)
            | Input::Control(_)
            | Input::CancelItem(_)
            | Input::Tick
            | Input::ClockGap(_) => {}
        }
    }

    /// Looks at every recorder.
    fn look(&mut self, now: Time) {
        let workers: Vec<(WorkerId, SlotNumber)> =
            self.supervisor.workers().map(|w| (w.worker, w.slot)).collect();
        self.live.seen.clear();
        for (worker, slot) in workers {
            let Some(seen) = self.fleet.observe(worker) else { continue };
            let open =
                seen.open.first().and_then(|open| self.supervisor.item_at(worker, open.lease, open.offset));
            let item = open.map(|(chunk, position)| chunk.identities().key(position).to_string());
            self.live.seen.push(WorkerSnapshot::new(worker, slot, &seen, item));
            self.step(Input::Observed(worker, seen), now);
        }
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let counters = self.supervisor.counters();
        let counts = self.job.counts();
        Snapshot {
            phase: self.phase(),
            items_total: self.items_total(counters.fed),
            completed: counts.completed,
            failed: counts.failed,
            quarantined: counts.quarantined,
            cancelled: counts.cancelled,
            resumed: self.base.plan.done,
            waiting: counters.waiting,
            attempts: counters.attempts,
            crashes: counters.crashes,
            workers_started: counters.workers_started,
            elapsed: now.since(Time::default()),
            workers: self.live.seen.clone(),
        }
    }

    fn phase(&self) -> Phase {
        match self.supervisor.phase() {
            supervisor::Phase::Running if self.ledger.is_full() => Phase::StoreFull,
            supervisor::Phase::Running => Phase::Running,
            supervisor::Phase::Paused { .. } => Phase::Paused,
            supervisor::Phase::Draining { .. } => Phase::Draining,
            supervisor::Phase::Ending(Ended::Cancelled) => Phase::Cancelling,
            supervisor::Phase::Ending(_) => Phase::Ending,
            supervisor::Phase::Finished(_) => Phase::Ended,
        }
    }

    /// The key pass counted a keyed source; of a dense one the length is a hint until its end was seen.
    fn items_total(&self, fed: u64) -> Option<u64> {
        match self.base.keying {
            Keying::Dense if self.live.source_ended => Some(self.base.plan.done + fed),
            Keying::Keyed if self.live.source_ended && self.base.plan.new.is_none() => {
                Some(self.base.plan.done + fed)
            }
            Keying::Dense => self.base.plan.items(),
            Keying::Keyed => self.base.plan.items().map(|items| items + self.feed.added()),
        }
    }

    fn finish(mut self, mut ended: Ended) {
        self.feed.close();
        self.states.write_all(&self.job);
        let state = match &ended {
            Ended::Complete => JobState::Finished,
            Ended::Drained
            | Ended::Cancelled
            | Ended::Fatal(_)
            | Ended::FailureBudget { .. }
            | Ended::SourceFailed(_)
            | Ended::StoreFailed(_)
            | Ended::WorkersUnavailable(_) => JobState::Interrupted,
        };
        self.lent.close();
        if let Err(error) = self.job.finish(state)
            && ended == Ended::Complete
        {
            ended = Ended::StoreFailed(error.to_string());
        }
        let now = self.clock.now();
        let mut snapshot = self.snapshot(now);
        snapshot.phase = Phase::Ended;
        snapshot.workers.clear();
        let counts = self.job.counts();
        let isolation = if self.fleet.uses_threads() { Isolation::Thread } else { Isolation::Process };
        let report = Report {
            ended,
            isolation,
            items: snapshot.items_total.unwrap_or_else(|| counts.total()),
            completed: counts.completed,
            failed: counts.failed,
            quarantined: counts.quarantined,
            cancelled: counts.cancelled,
            resumed: snapshot.resumed,
            attempts: snapshot.attempts,
            crashes: snapshot.crashes.clone(),
            workers_started: snapshot.workers_started,
            elapsed: snapshot.elapsed,
        };
        self.shared.set_snapshot(snapshot);
        self.shared.publisher.publish(&Event { lsn: self.live.durable_lsn, kind: EventKind::Ended });
        self.inbox.close();
        drop(self.fleet); // before the report: whoever has it may rely on every worker being gone
        self.lent.end();
        self.shared.end(Ok(report));
    }
}

/// A panic of the driver is a bug, but nobody shall wait for it for ever.
struct TellOfPanic {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    feed: Arc<Feed>,
}

impl Drop for TellOfPanic {
    fn drop(&mut self) {
        self.inbox.close();
        self.feed.close();
        self.shared.end(Err(EngineStopped)); // nothing when the report is there
    }
}
