//! The supervisor: a pure state machine from (state, input, now) to commands. Its rules are in `docs/supervisor.md`.

mod cancel;
mod case;
mod command;
mod control;
mod deadlines;
mod input;
mod kills;
mod lease;
mod ledger;
mod pace;
mod phase;
mod ready;
mod restart;
mod results;
mod retry;
mod saving;
mod schedule;
mod signs;
mod spawning;
#[cfg(test)]
mod test_chunk;
mod trials;
mod verdict;
mod view;
mod worker;

pub use command::{Command, Commit, Ended, Settled};
pub use input::{Control, Input, Prior};
pub use phase::Phase;
pub use view::{WorkerState, WorkerView};

use crate::{Chunk, EventKind, Key, Policy, Time, WorkerEvent, WorkerId};
use case::Case;
use kills::Kills;
use ledger::{Ledger, StoreState};
use pace::Pace;
use ready::ReadyQueue;
use restart::Restarts;
use retry::{Retries, SplitMix};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use worker::Worker;

/// Decides everything about a running job. Performs nothing: see [`Command`].
#[derive(Debug)]
pub struct Supervisor {
    policy: Policy,
    phase: Phase,
    now: Time,
    source: Source,
    /// Chunks that were asked for and have not come.
    chunks_asked: u32,
    isolation: Isolation,
    /// Workers at a time; falls on the degradation ladder.
    capacity: u32,
    workers: Vec<Worker>,
    ready: ReadyQueue,
    /// Cases whose next attempt is due; they go before what is ready.
    due: VecDeque<Case>,
    retries: Retries,
    /// Cases that must run alone in a fresh worker.
    trials: VecDeque<Case>,
    /// Items that stay pending because they may not run inside the host.
    parked: VecDeque<Case>,
    /// Items that were cancelled before the source delivered them.
    cancelled_ahead: HashSet<Key>,
    pace: Pace,
    restarts: Restarts,
    kills: Kills,
    /// Cases whose last trial waits until all other items are settled.
    last_trials: u64,
    ledger: Ledger,
    random: SplitMix,
    counters: Counters,
    last_worker: u32,
    last_lease: u32,
}

/// What a session has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items fed by the source in this session.
    pub fed: u64,
    /// Durable outcomes of this session, completed.
    pub completed: u64,
    /// Durable outcomes of this session, failed.
    pub failed: u64,
    /// Durable outcomes of this session, quarantined.
    pub quarantined: u64,
    /// Durable outcomes of this session, cancelled.
    pub cancelled: u64,
    /// Attempts that began (their result or their crash was seen).
    pub attempts: u64,
    /// Items that wait for another attempt or a trial.
    pub waiting: u64,
    /// Deaths of workers with an item open, by [`crate::Exit::kind`].
    pub crashes: BTreeMap<String, u64>,
    /// Workers spawned.
    pub workers_started: u64,
    /// Workers alive and ready.
    pub workers_ready: u32,
}

/// What is known of the source.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Open,
    Ended,
    Failed(String),
}

/// Where processors run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    /// Outside the host.
    Processes {
        /// Whether threads may take over when not a single process can be started.
        threads_allowed: bool,
        /// Whether starting them has never worked so far, for reasons that no processor is to blame for.
        only_spawns_failed: bool,
    },
    /// Inside the host: an item that ever ended a worker never runs here.
    Threads {
        /// Whether they replace processes that cannot be started; then an item that a host died with does not run either.
        fallback: bool,
    },
}

/// One step: the time and where commands go.
struct Turn<'a> {
    now: Time,
    commands: &'a mut Vec<Command>,
}

impl Turn<'_> {
    fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    fn emit(&mut self, kind: EventKind) {
        self.commands.push(Command::Emit(kind));
    }
}

impl Supervisor {
    /// A supervisor in its first state; `allow_threads` lets it fall back when isolation itself cannot start.
    #[must_use]
    pub fn new(policy: Policy, allow_threads: bool) -> Self {
        let isolation = Isolation::Processes { threads_allowed: allow_threads, only_spawns_failed: true };
        Self::with_isolation(policy, isolation)
    }

    /// A supervisor of workers that are threads of the host from the start. Items that ended a worker are not tried
    /// again in here: they stay pending.
    #[must_use]
    pub fn in_threads(policy: Policy) -> Self {
        Self::with_isolation(policy, Isolation::Threads { fallback: false })
    }

    fn with_isolation(policy: Policy, isolation: Isolation) -> Self {
        Self {
            phase: Phase::Running,
            now: Time(0),
            source: Source::Open,
            chunks_asked: 0,
            isolation,
            capacity: policy.workers.get(),
            workers: Vec::new(),
            ready: ReadyQueue::default(),
            due: VecDeque::new(),
            retries: Retries::default(),
            trials: VecDeque::new(),
            parked: VecDeque::new(),
            cancelled_ahead: HashSet::new(),
            pace: Pace::new(&policy.lease),
            restarts: Restarts::new(policy.restarts.clone()),
            kills: Kills::default(),
            last_trials: 0,
            ledger: Ledger::default(),
            random: SplitMix::new(policy.seed),
            counters: Counters::default(),
            last_worker: 0,
            last_lease: 0,
            policy,
        }
    }

    /// Takes one input and appends the commands that follow from it. Call it once with [`Input::Tick`] to begin.
    ///
    /// A time before that of the last step counts as the same time. After [`Command::Finish`] inputs change nothing.
    pub fn step(&mut self, input: Input, now: Time, commands: &mut Vec<Command>) {
        if matches!(self.phase, Phase::Finished(_)) {
            return;
        }
        self.now = self.now.max(now);
        let mut turn = Turn { now: self.now, commands };
        self.take(input, &mut turn);
        self.follow_up(&mut turn);
    }

    fn take(&mut self, input: Input, turn: &mut Turn<'_>) {
        match input {
            Input::Fed { chunk, priors } => self.fed(&chunk, priors, turn),
            Input::SourceEnded => self.source_over(Source::Ended),
            Input::SourceFailed(why) => self.source_over(Source::Failed(why)),
            Input::Worker(id, event) => self.worker_event(id, event, turn),
            Input::Observed(id, observation) => {
                if let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == id) {
                    worker.observe(&observation, turn.now);
                }
            }
            Input::Committed { through, lsn: _ } => self.ledger.committed(through, turn),
            Input::StoreFull => self.store_full(turn),
            Input::StoreRecovered => self.store_recovered(turn),
            Input::StoreFailed(why) => self.store_failed(why, turn),
            Input::Control(control) => self.control(control, turn),
            Input::CancelItem(key) => self.cancel_item(key, turn),
            Input::Tick => self.expire(turn),
            Input::ClockGap(gap) => self.extend(gap),
        }
    }

    /// What follows from the new state, whatever the input was.
    fn follow_up(&mut self, turn: &mut Turn<'_>) {
        while let Some(case) = self.retries.pop_due(turn.now) {
            self.come_due(case, turn);
        }
        self.hasten_last_trials(turn);
        self.end_if_too_many_failed(turn);
        self.end_if_nothing_is_left(turn);
        self.schedule(turn);
        self.finish_if_at_rest(turn);
    }

    fn worker_event(&mut self, id: WorkerId, event: WorkerEvent, turn: &mut Turn<'_>) {
        // A worker that had its verdict, or was given up, is gone from the list: whatever it says is fenced.
        let Some(at) = self.workers.iter().position(|worker| worker.id == id) else { return };
        match event {
            WorkerEvent::Spawned { pid } => turn.emit(EventKind::WorkerSpawned(id, pid)),
            WorkerEvent::Ready => self.became_ready(at, turn),
            WorkerEvent::Replied(batch) => self.replied(at, batch, turn),
            WorkerEvent::Failed { item, failure } => self.failed(at, &item, failure, turn),
            WorkerEvent::StateSaved { lease, offset, state } => {
                self.state_saved(at, lease, offset, state, turn)
            }
            WorkerEvent::Returned { lease, from } => self.returned(at, lease, from, turn),
            WorkerEvent::StartFailed(failure) => self.start_failed(at, failure, turn),
            WorkerEvent::Lost => self.lost(at, turn),
            WorkerEvent::Exited(report) => self.exited(at, &report, turn),
        }
    }

    fn source_over(&mut self, how: Source) {
        if self.source == Source::Open {
            self.source = how;
        }
        self.chunks_asked = 0;
        self.cancelled_ahead.clear();
    }

    fn fed(&mut self, chunk: &Arc<Chunk>, priors: Vec<Prior>, turn: &mut Turn<'_>) {
        self.chunks_asked = self.chunks_asked.saturating_sub(1);
        self.counters.fed += u64::from(chunk.len());
        let mut from = 0;
        for prior in priors {
            let position = prior.index.0.checked_sub(chunk.first().0).and_then(|p| u32::try_from(p).ok());
            let Some(position) = position.filter(|p| (from..chunk.len()).contains(p)) else { continue };
            self.ready.push_back(chunk.clone(), from..position);
            match prior.refused {
                Some(why) => self.ledger.commit(chunk, position..position + 1, 0, Settled::Failed(why), turn),
                None => self.admit(Case::from_prior(chunk.clone(), position, prior), turn),
            }
            from = position + 1;
        }
        self.ready.push_back(chunk.clone(), from..chunk.len());
        self.cancel_arrived(chunk, turn);
    }

    /// Puts a case where it waits for its next attempt.
    fn admit(&mut self, mut case: Case, turn: &mut Turn<'_>) {
        self.bound_saved_states(&mut case);
        if case.cancelled {
            self.settle_cancelled(&case, turn);
        } else if case.record.host_deaths >= case::HOST_DEATHS_MAX {
            self.convict_of_host_deaths(&case, turn);
        } else if self.isolation.keeps_out(&case) {
            self.parked.push_back(case);
        } else if case.must_go_last() {
            self.await_the_others(case, turn);
        } else if case.is_suspect() {
            self.await_trial(case, false);
        } else {
            self.due.push_back(case);
        }
    }

    /// Items that were fed and have no outcome yet, as far as this session will still try them.
    fn outstanding(&self) -> u64 {
        self.ready.items() + self.waiting() + self.workers.iter().map(Worker::unsettled).sum::<u64>()
    }

    fn waiting(&self) -> u64 {
        (self.due.len() + self.retries.len() + self.trials.len()) as u64
    }

    fn is_store_open(&self) -> bool {
        self.ledger.store == StoreState::Open
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            completed: self.ledger.completed,
            failed: self.ledger.failed,
            quarantined: self.ledger.quarantined,
            cancelled: self.ledger.cancelled,
            waiting: self.waiting() + self.parked.len() as u64,
            workers_ready: self.workers.iter().filter(|w| matches!(w.state, worker::State::Ready(_))).count()
                as u32,
            ..self.counters.clone()
        }
    }

    /// Where the job is.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }
}
