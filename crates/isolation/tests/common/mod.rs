//! A host for tests: an executor, its events in a queue, and a processor whose items say how it is to misbehave.
#![allow(dead_code, reason = "each test file uses its part")]

mod mischief;

pub use mischief::{Config, Item, Mischief};

use cofferdam_ipc::Codec;
use cofferdam_isolation::{
    ChildExecutor, ChildSettings, Debugging, Registration, WorkerProgram, worker_entry,
};
use cofferdam_pipeline_core::{
    Assignment, ChunkBuilder, Executor, Exit, ExitReport, Identities, ItemIndex, KillReason, LeaseId,
    OpenItem, OrdinalRun, Processor, ReplyBatch, SlotNumber, WorkerEvent, WorkerId, entries,
};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// No event of a healthy test takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The test of this name in each file is the entry of its workers.
pub fn enter_worker() {
    worker_entry(&[Registration::of::<Mischief>()]);
}

pub fn settings(config: &Config) -> ChildSettings {
    let mut encoded = Vec::new();
    Codec::Bincode.encode(config, &mut encoded).unwrap();
    ChildSettings {
        program: WorkerProgram::Test { name: "worker".into() },
        processor: Mischief::NAME,
        version: Mischief::VERSION,
        codec: Codec::Bincode,
        config: encoded,
        env: Vec::new(),
        slots: 1,
        stack_bytes: 8 << 20,
        main_thread: false,
        start_wall_max: Duration::from_secs(30),
        debugging: Debugging::Off,
        runtime_dir: None,
        frame_payload_max: 64 << 20,
        workspace: None,
    }
}

pub struct Host {
    pub executor: ChildExecutor,
    events: Receiver<(WorkerId, WorkerEvent)>,
    leases: u32,
}

impl Host {
    pub fn new() -> Self {
        Self::with(settings(&Config::default()))
    }

    pub fn with(settings: ChildSettings) -> Self {
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink = Arc::new(move |worker, event| {
            // Said of every worker, before everything else; tests/debugging.rs looks at it.
            if !matches!(event, WorkerEvent::Spawned { .. }) {
                drop(sender.lock().unwrap().send((worker, event)));
            }
        });
        Self { executor: ChildExecutor::new(settings, sink).unwrap(), events, leases: 0 }
    }

    pub fn spawn(&mut self, worker: u32) -> WorkerId {
        self.executor.spawn(WorkerId(worker), SlotNumber(worker));
        WorkerId(worker)
    }

    /// A worker that is ready.
    pub fn ready(&mut self, worker: u32) -> WorkerId {
        let worker = self.spawn(worker);
        match self.event() {
            (who, WorkerEvent::Ready) if who == worker => worker,
            other => panic!("{other:?} instead of Ready"),
        }
    }

    pub fn assign(&mut self, worker: WorkerId, items: &[Item]) -> LeaseId {
        let mut builder = ChunkBuilder::default();
        for item in items {
            builder.push(|out| Codec::Bincode.encode(item, out)).unwrap();
        }
        let chunk = Arc::new(
            builder
                .finish(
                    ItemIndex(0),
                    Identities::Ordinals(vec![OrdinalRun { first: 0, count: items.len() as u32 }]),
                )
                .unwrap(),
        );
        self.leases += 1;
        let (lease, range) = (LeaseId(self.leases), 0..chunk.len());
        self.executor.assign(worker, Assignment { lease, attempt: 1, chunk, range, saved_state: None });
        lease
    }

    /// The next event of any worker.
    pub fn event(&self) -> (WorkerId, WorkerEvent) {
        self.events.recv_timeout(PATIENCE).expect("an event in time")
    }

    pub fn event_within(&self, wait: Duration) -> Option<(WorkerId, WorkerEvent)> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the executor holds the sink"),
        }
    }

    /// The next event, which must be a reply.
    pub fn replied(&self) -> (WorkerId, ReplyBatch) {
        match self.event() {
            (worker, WorkerEvent::Replied(batch)) => (worker, batch),
            other => panic!("{other:?} instead of a reply"),
        }
    }

    /// All events of one worker up to its end; there must be none of others.
    pub fn end_of(&self, worker: WorkerId) -> End {
        let mut end = End { replied: Vec::new(), others: Vec::new(), lost: 0, report: None };
        let report = loop {
            let (who, event) = self.event();
            assert_eq!(who, worker, "{event:?} of another worker");
            match event {
                WorkerEvent::Exited(report) => break report,
                WorkerEvent::Lost => end.lost += 1,
                WorkerEvent::Replied(batch) => end.replied.push(batch),
                other => end.others.push(other),
            }
        };
        end.report = Some(report);
        end
    }

    /// Waits until a look at the worker satisfies `wanted`.
    pub fn wait_observed(&mut self, worker: WorkerId, wanted: impl Fn(&[OpenItem]) -> bool) -> Vec<OpenItem> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let open = self.executor.observe(worker).map(|seen| seen.open).unwrap_or_default();
            if wanted(&open) {
                return open;
            }
            assert!(Instant::now() < deadline, "{open:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn pid(&self, worker: WorkerId) -> u32 {
        let name = format!("{}.recorder", worker.0);
        let records = self.executor.worker_records();
        records.iter().find(|record| record.recorder.ends_with(&name)).expect("a living worker").pid
    }

    /// The worker still answers: it was not harmed and not blamed.
    pub fn assert_unharmed(&mut self, worker: WorkerId) {
        let lease = self.assign(worker, &[Item::Echo(b"still here".to_vec())]);
        let (who, batch) = self.replied();
        assert_eq!((who, batch.lease, outputs(&batch)), (worker, lease, vec![b"still here".to_vec()]));
        self.executor.kill(worker, KillReason::JobOver);
        let end = self.end_of(worker);
        assert_eq!(end.report().exit, Exit::Killed(KillReason::JobOver));
        assert_eq!(end.report().open, []);
    }
}

/// What a worker said from some moment to its end.
#[derive(Debug)]
pub struct End {
    pub replied: Vec<ReplyBatch>,
    pub others: Vec<WorkerEvent>,
    pub lost: u32,
    pub report: Option<ExitReport>,
}

impl End {
    pub fn report(&self) -> &ExitReport {
        self.report.as_ref().unwrap()
    }

    /// How many items were answered.
    pub fn answered(&self) -> u32 {
        self.replied.iter().map(|batch| batch.count).sum()
    }
}

/// The outputs of a batch.
pub fn outputs(batch: &ReplyBatch) -> Vec<Vec<u8>> {
    let decode = |entry: &[u8]| Codec::Bincode.decode::<serde_bytes::ByteBuf>(entry).unwrap().into_vec();
    entries(batch.outputs.as_entries()).map(|entry| decode(entry.unwrap())).collect()
}

/// Two good items, a bad one and a good one behind it on one worker, with an idle neighbour: the worker's end must be
/// `exit` with exactly the bad item open and exactly the two answered, and the neighbour must be unharmed.
pub fn assert_blamed(bad: Item, exit: &Exit) -> ExitReport {
    assert_blamed_by(bad, |actual| assert_eq!(actual, exit))
}

/// The same with a look at the exit.
pub fn assert_blamed_by(bad: Item, check: impl FnOnce(&Exit)) -> ExitReport {
    assert_blamed_after(&["a", "b"], bad, check)
}

/// The same with this before it in its lease.
pub fn assert_blamed_after(before: &[&str], bad: Item, check: impl FnOnce(&Exit)) -> ExitReport {
    let mut host = Host::new();
    let neighbour = host.ready(0);
    let worker = host.ready(1);
    let good = |text: &str| Item::Echo(text.into());
    let mut items: Vec<_> = before.iter().map(|text| good(text)).collect();
    items.extend([bad, good("never")]);
    let lease = host.assign(worker, &items);
    let end = host.end_of(worker);
    check(&end.report().exit);
    assert_eq!(end.lost, 1);
    assert!(end.others.is_empty(), "{:?}", end.others);
    assert_open(end.report(), lease, before.len() as u32);
    assert!(end.answered() as usize <= before.len(), "{end:?}");
    host.assert_unharmed(neighbour);
    end.report().clone()
}

/// Exactly this item was open.
pub fn assert_open(report: &ExitReport, lease: LeaseId, offset: u32) {
    let open: Vec<_> = report.open.iter().map(|item| (item.lease, item.offset)).collect();
    assert_eq!((report.open_known, open), (true, vec![(lease, offset)]));
}
