//! Where a job begins.

use crate::clock::Clock;
use crate::driver::{Base, Driver, Live};
use crate::feeder::{self, Encoding, Feed, Todo};
use crate::fleet::{Fleet, MakeThreads};
use crate::inbox::Inbox;
use crate::large_items::Stager;
use crate::ledger::Ledger;
use crate::shared::Shared;
use crate::states::States;
use crate::workspace::Lent;
use crate::{JobControl, JobError, JobHandle, plan, spec, suspects};
use cofferdam_checkpoint::{CommitEvent, Durability, JobStore, Store, StoreOptions};
use cofferdam_ipc::Codec;
use cofferdam_isolation::recorder::SLOTS_MAX;
use cofferdam_isolation::{
    ChildExecutor, ChildSettings, Debugging, Run, ThreadExecutor, ThreadSettings, WorkerProgram,
};
use cofferdam_pipeline_core::{
    Executor, FailureBudget, ItemSource, Keying, Policy, RetryPolicy, Supervisor, Work, WorkerSink,
};
use std::ffi::OsString;
use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The largest output in bytes, and the largest configuration. Items that are larger than a part of it travel in files.
const FRAME_PAYLOAD_MAX: usize = 64 << 20;

/// What workers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Child processes; threads only when isolation itself cannot start, which is an event.
    #[default]
    Auto,
    /// Child processes, or an error.
    Process,
    /// Threads of the host: no protection against aborts, for debugging and for processors that are known to be safe.
    Thread,
}

/// What to do when the store has a job of this name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// Carry on where it ended.
    #[default]
    Resume,
    /// Delete it and begin anew.
    Restart,
    /// Refuse.
    Fail,
}

/// What to do when the job in the store has another configuration or processor version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDifference {
    /// Refuse and name the differing fields.
    #[default]
    Refuse,
    /// Its outcomes count.
    Keep,
    /// Delete it and begin anew.
    Redo,
}

/// A batch about to be run: everything but the processor, the store, the name and the configuration has a default.
pub struct Job<P: Work> {
    store: PathBuf,
    name: String,
    config: P::Config,
    isolation: Isolation,
    on_existing: OnExisting,
    on_difference: OnDifference,
    codec: Codec,
    policy: Policy,
    program: WorkerProgram,
    env: Vec<(OsString, OsString)>,
    store_options: StoreOptions,
    stack_bytes: usize,
    scratch_parent: Option<PathBuf>,
    main_thread: bool,
    debugging: Debugging,
}

impl<P: Work> Job<P> {
    /// A job called `name` in the store at `store`, a directory that is created when it is not there.
    pub fn new(store: impl Into<PathBuf>, name: impl Into<String>, config: P::Config) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
        let workers = u32::try_from(workers).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        Self {
            store: store.into(),
            name: name.into(),
            config,
            isolation: Isolation::default(),
            on_existing: OnExisting::default(),
            on_difference: OnDifference::default(),
            codec: Codec::Bincode,
            policy: Policy { workers, slots_per_worker: slots_of::<P>(P::SLOTS), ..Policy::default() },
            program: WorkerProgram::CurrentExe,
            env: Vec::new(),
            store_options: StoreOptions::default(),
            stack_bytes: 8 << 20,
            scratch_parent: None,
            main_thread: false,
            debugging: Debugging::Off,
        }
    }

    /// Workers at a time; 0 counts as 1. Default: as many as the machine runs at once.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.policy.workers = NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Items that each worker works on at a time, 1 to 64; for [`crate::Concurrent`] processors alone, of which 16 are the default.
    #[must_use]
    pub fn items_at_once(mut self, items: u32) -> Self {
        self.policy.slots_per_worker = slots_of::<P>(items);
        self
    }

    /// What workers are. Default: [`Isolation::Auto`].
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// The wall time that one item may take, from when it is opened; beyond it the worker is killed and the item charged.
    /// Looked at about twenty times a second. Default: none.
    #[must_use]
    pub fn item_wall_max(mut self, limit: Duration) -> Self {
        self.policy.item_wall_max = Some(limit);
        self
    }

    /// How long an open item may go on without a new stage, progress, message or breadcrumb; beyond it the worker is killed and
    /// the item charged, as `stalled`. For processors that report. Looked at about twenty times a second. Default: none.
    #[must_use]
    pub fn item_stall_max(mut self, limit: Duration) -> Self {
        self.policy.item_stall_max = Some(limit);
        self
    }

    /// The wall time from a worker's spawn to the end of [`crate::Processor::start`]. Default: 60 s.
    #[must_use]
    pub fn start_wall_max(mut self, limit: Duration) -> Self {
        self.policy.start_wall_max = limit;
        self
    }

    /// What to do when the store has a job of this name. Default: [`OnExisting::Resume`].
    #[must_use]
    pub fn on_existing(mut self, on_existing: OnExisting) -> Self {
        self.on_existing = on_existing;
        self
    }

    /// What to do when that job has another configuration or processor version. Default: [`OnDifference::Refuse`].
    #[must_use]
    pub fn on_difference(mut self, on_difference: OnDifference) -> Self {
        self.on_difference = on_difference;
        self
    }

    /// Attempts after failures that the processor reports.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.policy.retry = retry;
        self
    }

    /// When so many items have failed that the rest is not worth trying. Default: never.
    #[must_use]
    pub fn failure_budget(mut self, budget: FailureBudget) -> Self {
        self.policy.failure_budget = Some(budget);
        self
    }

    /// Items after which a worker is replaced by a fresh one, for processors that grow; 0 counts as 1. Default: never.
    #[must_use]
    pub fn items_per_worker_max(mut self, items: u64) -> Self {
        self.policy.items_per_worker_max = Some(NonZeroU64::new(items).unwrap_or(NonZeroU64::MIN));
        self
    }

    /// All knobs at once; replaces what other methods set before.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        let slots_per_worker = slots_of::<P>(policy.slots_per_worker.get());
        self.policy = Policy { slots_per_worker, ..policy };
        self
    }

    /// How items, outputs and the configuration are encoded. Default: [`Codec::Bincode`].
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// What a commit survives. Default: [`Durability::Power`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.store_options.durability = durability;
        self
    }

    /// How the store is opened; replaces [`Job::durability`].
    #[must_use]
    pub fn store_options(mut self, options: StoreOptions) -> Self {
        self.store_options = options;
        self
    }

    /// The executable of the workers. Default: the host's own.
    #[must_use]
    pub fn worker_program(mut self, program: WorkerProgram) -> Self {
        self.program = program;
        self
    }

    /// Adds a variable to the workers' environment, which is otherwise cleared to a short allow-list.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The stack of the thread that runs [`crate::Processor::process`], in bytes. Default: 8 MiB.
    #[must_use]
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// Where [`Context::scratch_dir`](crate::Context::scratch_dir) makes its directories, in one of this job's below, and where items whose encoding is
    /// longer than 8 MiB wait; an existing directory with room for both, on a local disk. Start the job with the same one again: what a host that was killed leaves there is removed by
    /// the next start. Default: beside the job's journal.
    #[must_use]
    pub fn scratch_parent(mut self, dir: impl Into<PathBuf>) -> Self {
        self.scratch_parent = Some(dir.into());
        self
    }

    /// Runs [`crate::Processor::process`], and `start` and `stop`, on the main thread of the worker's process, for libraries that insist on it. Its stack is
    /// what the system gives (`ulimit -s`; 1 MiB on Windows), whatever [`Job::stack_bytes`] says. [`Isolation::Thread`] is refused then, and nothing falls back to threads.
    #[must_use]
    pub fn main_thread(mut self) -> Self {
        self.main_thread = true;
        self
    }

    /// For a person with a debugger: one worker, none of the limits on time, and [`crate::EventKind::WorkerSpawned`] says the worker's process
    /// id before its processor starts. With [`Debugging::Wait`] the worker stops itself until a debugger lets it go on. A worker that is a
    /// thread ([`Isolation::Thread`]) is debugged with its host and waits for nobody. A cancel waits for the open item, too. Default: [`Debugging::Off`].
    #[must_use]
    pub fn debug(mut self, debugging: Debugging) -> Self {
        self.debugging = debugging;
        self
    }

    /// Opens the store, compares it with the source and starts. Blocks for that long: a keyed source is read once for its keys.
    ///
    /// # Errors
    /// [`JobError`]; nothing runs then, and no outcome in the store has changed but for what [`OnExisting::Restart`] and
    /// [`OnDifference::Redo`] ask for.
    pub fn start<S>(mut self, mut source: S) -> Result<JobHandle<P>, JobError>
    where
        S: ItemSource<Item = P::Item>,
        P: Run<<P as Work>::Mode>,
    {
        if self.debugging != Debugging::Off {
            self.policy = self.policy.for_debugging();
        }
        let clock = Clock::start();
        let inbox = Arc::new(Inbox::default());
        let lent = Arc::new(Lent::default());
        let fleet = self.fleet(&inbox, &lent)?; // first: without workers nothing in the store shall change
        let (job, resumed) = self.open(source.keying())?;
        let suspects = suspects::of_dead_host(&job)?;
        let job = Arc::new(job);
        lent.begin(&job, self.scratch_parent.as_deref());
        listen(&job, inbox.clone());
        let plan = plan::plan(&mut source, &job, resumed)?;
        let shared = Arc::new(Shared::default());
        let first_events = Mutex::new(Some(shared.publisher.subscribe()));
        let feed = Feed::new(inbox.clone(), source.keying());
        let stager = Stager::new(lent.clone(), shared.clone(), self.codec);
        let driver = Driver {
            supervisor: self.supervisor(),
            inbox: inbox.clone(),
            feed: feed.clone(),
            fleet,
            lent,
            states: States::default(),
            ledger: Ledger::new(job.clone()),
            job: job.clone(),
            shared: shared.clone(),
            clock,
            base: Base { keying: source.keying(), plan: plan.clone() },
            live: Live::default(),
        };
        shared.set_durable(job.durable_lsn());
        let codec = self.codec;
        // Before anybody can add an item: what is in the store now is of earlier runs.
        let todo = Todo::new(job.clone(), suspects);
        let feeder_feed = feed.clone();
        spawn("cofferdam-feeder", move || {
            feeder::feed(source, &todo, &Encoding { codec, stager }, &feeder_feed)
        })?;
        spawn("cofferdam-driver", move || driver.run())?;
        Ok(JobHandle {
            control: JobControl { inbox, shared },
            job,
            feed,
            codec,
            plan,
            first_events,
            processor: PhantomData,
        })
    }

    /// The job in the store, and whether it was there before.
    fn open(&self, keying: Keying) -> Result<(JobStore, bool), JobError> {
        let mut store = Store::open(&self.store, self.store_options.clone())?;
        store.migrate()?;
        let wanted = spec::spec_of::<P>(&store, &self.config, self.codec, keying)?;
        let mut exists = store.job_exists(&self.name)?;
        match self.on_existing {
            OnExisting::Fail if exists => return Err(JobError::Exists(self.name.clone())),
            OnExisting::Restart if exists => {
                store.delete(&self.name)?;
                exists = false;
            }
            OnExisting::Resume | OnExisting::Restart | OnExisting::Fail => {}
        }
        if exists {
            let job = store.open_job(&self.name)?;
            let fields = spec::differences(job.spec(), &wanted);
            match self.on_difference {
                _ if fields.is_empty() => return Ok((job, true)),
                OnDifference::Keep => return Ok((job, true)),
                OnDifference::Refuse => return Err(JobError::Differs { fields }),
                OnDifference::Redo => {
                    drop(job);
                    store.delete(&self.name)?;
                }
            }
        }
        Ok((store.create_job(&self.name, &wanted)?, false))
    }

    fn supervisor(&self) -> Supervisor {
        match self.isolation {
            Isolation::Thread => Supervisor::in_threads(self.policy.clone()),
            Isolation::Process => Supervisor::new(self.policy.clone(), false),
            Isolation::Auto => Supervisor::new(self.policy.clone(), true),
        }
    }

    fn fleet(&self, inbox: &Arc<Inbox>, lent: &Arc<Lent>) -> Result<Fleet, JobError>
    where
        P: Run<<P as Work>::Mode>,
    {
        let to = inbox.clone();
        let keeper = lent.clone();
        let sink: WorkerSink = Arc::new(move |worker, event| {
            if let Some(error) = keeper.want_of_room(&event) {
                to.store_error(error);
            }
            to.worker(worker, keeper.keep(event));
        });
        let mut config = Vec::new();
        self.codec.encode(&self.config, &mut config).map_err(|e| JobError::Config(e.to_string()))?;
        let child = match self.isolation {
            Isolation::Thread => None,
            Isolation::Auto | Isolation::Process => {
                Some(ChildExecutor::new(self.child_settings(config.clone(), lent), sink.clone())?)
            }
        };
        let settings = ThreadSettings {
            codec: self.codec,
            config,
            slots: self.policy.slots_per_worker.get(),
            stack_bytes: self.stack_bytes,
            main_thread: self.main_thread,
            start_wall_max: self.policy.start_wall_max,
            frame_payload_max: FRAME_PAYLOAD_MAX,
            allow_panic_abort: false,
            workspace: Some(lent.clone()),
        };
        let make_threads: MakeThreads = Box::new(move |sink| {
            let executor = ThreadExecutor::new::<P>(settings.clone(), sink)?;
            Ok(Box::new(executor) as Box<dyn Executor>)
        });
        Ok(Fleet::new(child, make_threads, sink)?)
    }

    fn child_settings(&self, config: Vec<u8>, lent: &Arc<Lent>) -> ChildSettings {
        ChildSettings {
            program: self.program.clone(),
            processor: P::NAME,
            version: P::VERSION,
            codec: self.codec,
            config,
            env: self.env.clone(),
            slots: self.policy.slots_per_worker.get(),
            stack_bytes: self.stack_bytes,
            main_thread: self.main_thread,
            start_wall_max: self.policy.start_wall_max,
            runtime_dir: None,
            debugging: self.debugging,
            frame_payload_max: FRAME_PAYLOAD_MAX,
            workspace: Some(lent.clone()),
        }
    }
}

/// Slots of a worker: as asked for where it works on many items at once, else one.
fn slots_of<P: Work>(asked: u32) -> NonZeroU32 {
    let most = if P::SLOTS > 1 { SLOTS_MAX } else { 1 };
    NonZeroU32::new(asked.clamp(1, most)).unwrap_or(NonZeroU32::MIN)
}

/// The store tells the driver; it never waits for it.
fn listen(job: &JobStore, inbox: Arc<Inbox>) {
    job.on_commit(move |event| match event {
        CommitEvent::Durable { through, lsn } => inbox.durable(through, lsn),
        CommitEvent::Failed(error) => inbox.store_error(error),
    });
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), JobError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map(drop).map_err(JobError::Thread)
}
