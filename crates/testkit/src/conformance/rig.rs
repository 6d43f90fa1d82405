//! An executor under test, and what it says.

use super::{ConformantConfig, Deed, Place};
use cofferdam_ipc::{Checksum, Codec};
use cofferdam_isolation::Workspace;
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Executor, ExitReport, Failure, Identities, ItemIndex, LeaseId, OpenItem,
    OrdinalRun, OutputBody, Outputs, SavedState, SlotNumber, StagedItem, StoredOutput, WorkerEvent, WorkerId,
    WorkerSink, entries,
};
use serde::Serialize;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No event of a healthy worker takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes an executor of a config, what it is to lend to its workers, and who hears of them.
pub type Make = fn(Vec<u8>, Arc<dyn Workspace>, WorkerSink) -> Box<dyn Executor>;

/// An implementation under test.
pub struct Subject {
    /// Makes an executor whose workers run [`super::Conformant`] with the encoded [`ConformantConfig`]; its payloads may have 8 MiB.
    pub make: Make,
    /// How items, outputs and the configuration are encoded.
    pub codec: Codec,
    /// A worker is a process of its own: it can be killed. False for threads, which are abandoned instead.
    pub is_process: bool,
}

/// An executor, its events and the leases that it was given.
pub struct Rig {
    /// The executor.
    pub executor: Box<dyn Executor>,
    /// Whether a worker is a process.
    pub is_process: bool,
    /// What the executor lends to its workers.
    pub place: Arc<Place>,
    codec: Codec,
    events: Receiver<(WorkerId, WorkerEvent)>,
    leases: u32,
    items: TempDir,
    /// A loss that is told with the verdict.
    is_lost: Cell<bool>,
    verdict: Cell<Option<WorkerEvent>>,
}

impl Rig {
    /// An executor whose workers start as `config` says; none is there yet.
    #[must_use]
    pub fn new(subject: &Subject, config: &ConformantConfig) -> Self {
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let sink = Arc::new(move |worker, event| {
            // Of processes alone, and of no consequence.
            if !matches!(event, WorkerEvent::Spawned { .. }) {
                // The test may be over.
                drop(sender.lock().expect("no holder panics").send((worker, event)))
            }
        });
        let mut encoded = Vec::new();
        subject.codec.encode(config, &mut encoded).expect("a config encodes");
        let place = Place::fresh();
        let executor = (subject.make)(encoded, place.clone(), sink);
        let Subject { codec, is_process, .. } = *subject;
        let items = tempfile::tempdir().expect("a directory");
        Self {
            executor,
            is_process,
            place,
            codec,
            events,
            leases: 0,
            items,
            is_lost: Cell::default(),
            verdict: Cell::default(),
        }
    }

    /// An executor with one worker that is ready.
    #[must_use]
    pub fn ready(subject: &Subject) -> (Self, WorkerId) {
        let mut rig = Self::new(subject, &ConformantConfig::default());
        let worker = rig.spawn(0);
        (rig, worker)
    }

    /// A worker that is ready.
    pub fn spawn(&mut self, number: u32) -> WorkerId {
        let worker = WorkerId(number);
        self.executor.spawn(worker, SlotNumber(number));
        let said = self.next(worker);
        assert!(matches!(said, WorkerEvent::Ready), "{said:?} instead of Ready");
        worker
    }

    /// Hands out a lease for first attempts.
    pub fn assign(&mut self, worker: WorkerId, deeds: &[Deed]) -> LeaseId {
        self.assign_all(worker, deeds, 1, None)
    }

    /// Hands out a lease for a later attempt at one item.
    pub fn retry(
        &mut self,
        worker: WorkerId,
        deed: Deed,
        attempt: u32,
        state: Option<SavedState>,
    ) -> LeaseId {
        self.assign_all(worker, &[deed], attempt, state)
    }

    /// Hands out items of any type.
    pub fn assign_all<T: Serialize>(
        &mut self,
        worker: WorkerId,
        items: &[T],
        attempt: u32,
        saved_state: Option<SavedState>,
    ) -> LeaseId {
        let mut builder = ChunkBuilder::default();
        for item in items {
            builder.push(|out| self.codec.encode(item, out)).expect("an item encodes");
        }
        let count = u32::try_from(items.len()).expect("few items");
        let identities = Identities::Ordinals(vec![OrdinalRun { first: 0, count }]);
        let chunk = Arc::new(builder.finish(ItemIndex(0), identities).expect("a chunk of items"));
        self.leases += 1;
        let lease = LeaseId(self.leases);
        self.executor.assign(worker, Assignment { lease, attempt, chunk, range: 0..count, saved_state });
        lease
    }

    /// Hands out one item in a file, which is there as long as the rig; its path.
    pub fn stage(
        &mut self,
        worker: WorkerId,
        deed: &Deed,
        attempt: u32,
        saved_state: Option<SavedState>,
    ) -> (PathBuf, LeaseId) {
        let mut encoded = Vec::new();
        self.codec.encode(deed, &mut encoded).expect("an item encodes");
        self.leases += 1;
        let (lease, path) = (LeaseId(self.leases), self.items.path().join(self.leases.to_string()));
        std::fs::write(&path, &encoded).expect("a file of a test");
        let mut crc = Checksum::crc32();
        crc.update(&encoded);
        let (len, crc32, keeper) = (encoded.len() as u64, crc.value(), Box::new(()));
        let item = StagedItem { path: path.clone(), len, crc32, keeper };
        let identities = Identities::Ordinals(vec![OrdinalRun { first: 0, count: 1 }]);
        let chunk = Arc::new(Chunk::of_staged(ItemIndex(0), item, identities));
        self.executor.assign(worker, Assignment { lease, attempt, chunk, range: 0..1, saved_state });
        (path, lease)
    }

    /// The next event, which must be this worker's. An executor may tell a loss before what the worker said last has arrived; here it comes
    /// right before the verdict.
    #[must_use]
    pub fn next(&self, worker: WorkerId) -> WorkerEvent {
        if let Some(verdict) = self.verdict.take() {
            return verdict;
        }
        loop {
            let (who, event) = self.events.recv_timeout(PATIENCE).expect("the worker says something");
            assert_eq!(who, worker, "{event:?} of another worker");
            match event {
                WorkerEvent::Lost if !self.is_lost.replace(true) => {}
                WorkerEvent::Exited(_) if self.is_lost.replace(false) => {
                    self.verdict.set(Some(event));
                    return WorkerEvent::Lost;
                }
                other => return other,
            }
        }
    }

    /// Waits so long for an event that must not come.
    pub fn expect_nothing_for(&self, wait: Duration) {
        if let Ok(event) = self.events.recv_timeout(wait) {
            panic!("{event:?} although nothing was to come");
        }
    }

    /// The outputs of `count` items of a lease from `offset` on, in whatever batches they come.
    #[must_use]
    pub fn outputs(&self, worker: WorkerId, lease: LeaseId, mut offset: u32, count: u32) -> Vec<String> {
        let (mut outputs, end) = (Vec::new(), offset + count);
        while offset < end {
            let batch = match self.next(worker) {
                WorkerEvent::Replied(batch) => batch,
                other => panic!("{other:?} instead of replies"),
            };
            assert_eq!((batch.lease, batch.offset), (lease, offset));
            assert!(batch.count > 0, "an empty batch");
            let decoded = entries(batch.outputs.as_entries())
                .map(|entry| self.codec.decode(entry.expect("whole entries")));
            outputs.extend(decoded.map(|output| output.expect("a text")));
            offset += batch.count;
            assert_eq!(outputs.len(), (count - (end - offset)) as usize, "entries and count");
        }
        outputs
    }

    /// The output of one item that wrote files, which must come next, and what the files hold, as the executor kept them.
    #[must_use]
    pub fn with_files(&self, worker: WorkerId, lease: LeaseId, offset: u32) -> (String, Vec<Vec<u8>>) {
        let batch = match self.next(worker) {
            WorkerEvent::Replied(batch) => batch,
            other => panic!("{other:?} instead of a reply"),
        };
        assert_eq!((batch.lease, batch.offset, batch.count), (lease, offset, 1));
        let Outputs::Stored(StoredOutput { body, files }) = batch.outputs else { panic!("no files") };
        let bytes = match body {
            OutputBody::Inline(bytes) => bytes.to_vec(),
            OutputBody::Blob(blob) => self.place.kept(&blob),
        };
        let files = files.iter().map(|file| self.place.kept(file)).collect();
        (self.codec.decode(&bytes).expect("a text"), files)
    }

    /// The failure of an item, which must come next.
    #[must_use]
    pub fn failure(&self, worker: WorkerId, lease: LeaseId, offset: u32) -> Failure {
        let (item, failure) = self.failed(worker);
        assert_eq!((item.lease, item.offset), (lease, offset));
        failure
    }

    /// A failure, which must come next, and what its item had said of itself.
    #[must_use]
    pub fn failed(&self, worker: WorkerId) -> (OpenItem, Failure) {
        match self.next(worker) {
            WorkerEvent::Failed { item, failure } => (item, failure),
            other => panic!("{other:?} instead of a failure"),
        }
    }

    /// The end of a worker, which must come next: first its loss, then the verdict.
    #[must_use]
    pub fn exit(&self, worker: WorkerId) -> ExitReport {
        let said = self.next(worker);
        assert!(matches!(said, WorkerEvent::Lost), "{said:?} instead of Lost");
        match self.next(worker) {
            WorkerEvent::Exited(report) => report,
            other => panic!("{other:?} instead of Exited"),
        }
    }

    /// Looks at a worker until it has an item open that satisfies `wanted`.
    pub fn wait_open(&mut self, worker: WorkerId, wanted: impl Fn(&OpenItem) -> bool) -> OpenItem {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let open = self.executor.observe(worker).map(|seen| seen.open).unwrap_or_default();
            if let Some(item) = open.iter().find(|item| wanted(item)) {
                return item.clone();
            }
            assert!(Instant::now() < deadline, "{open:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Looks at a worker until its heart has beaten again.
    pub fn wait_beat(&mut self, worker: WorkerId) {
        let deadline = Instant::now() + PATIENCE;
        let before = self.executor.observe(worker).expect("a living worker").heartbeat;
        while self.executor.observe(worker).expect("a living worker").heartbeat == before {
            assert!(Instant::now() < deadline, "the heartbeat stays at {before}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
