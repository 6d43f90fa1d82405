//! Large items whose outputs are small: in a frame, and in a file that is written anew each time.

use crate::support::case::{Case, Failed, Figure};
use cofferdam::{Codec, Context, Failure, Processor, StartContext, WorkerProgram};
use cofferdam_isolation::{ChildExecutor, ChildSettings, Debugging};
use cofferdam_pipeline_core::{
    Assignment, Chunk, ChunkBuilder, Executor, Identities, ItemIndex, KillReason, LeaseId, SlotNumber,
    StagedItem, WorkerEvent, WorkerId,
};
use crc_fast::{CrcAlgorithm, Digest};
use serde_bytes::ByteBuf;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const WORKER: WorkerId = WorkerId(0);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What the feeder writes at once.
const WRITE_BYTES: usize = 256 << 10;

/// Says how long its item is.
pub struct Measure;

impl Processor for Measure {
    const NAME: &'static str = "measure";
    const VERSION: u32 = 1;
    type Item = ByteBuf;
    type Output = u64;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, bytes: ByteBuf, _: &Context<'_>) -> Result<u64, Failure> {
        Ok(bytes.len() as u64)
    }
}

/// How an item gets to its worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Frame,
    File,
}

/// One item after the other to one worker, through the executor alone; its encoding is copied or written each time, as the feeder does it.
pub struct Inputs {
    name: &'static str,
    way: Way,
    executor: ChildExecutor,
    events: Receiver<WorkerEvent>,
    encoded: Vec<u8>,
    dir: tempfile::TempDir,
    items: u64,
    last_lease: u32,
}

impl Inputs {
    pub fn start(name: &'static str, way: Way, bytes: usize, items: u64) -> Result<Self, Failed> {
        let (to, events) = channel();
        let settings = ChildSettings {
            program: WorkerProgram::CurrentExe,
            processor: Measure::NAME,
            version: Measure::VERSION,
            codec: Codec::Bincode,
            config: Vec::new(),
            env: Vec::new(),
            slots: 1,
            stack_bytes: 8 << 20,
            main_thread: false,
            start_wall_max: WAIT_MAX,
            debugging: Debugging::Off,
            runtime_dir: None,
            frame_payload_max: 64 << 20,
            workspace: None,
        };
        // A send fails when nobody listens any more, which is the end.
        let sink = Arc::new(move |_: WorkerId, event| drop(to.send(event)));
        let mut executor = ChildExecutor::new(settings, sink)?;
        executor.spawn(WORKER, SlotNumber(0));
        while !matches!(events.recv_timeout(WAIT_MAX)?, WorkerEvent::Ready) {}
        let mut encoded = Vec::new();
        Codec::Bincode.encode(&ByteBuf::from(vec![7; bytes]), &mut encoded)?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self { name, way, executor, events, encoded, dir, items, last_lease: 0 })
    }

    fn chunk(&self) -> Result<Chunk, Failed> {
        let mut identities = Identities::default();
        identities.push_ordinal(0);
        if self.way == Way::File {
            return Ok(Chunk::of_staged(ItemIndex(0), self.write()?, identities));
        }
        let mut chunk = ChunkBuilder::default();
        chunk.push(|out| {
            out.extend_from_slice(&self.encoded);
            Ok::<_, Failed>(())
        })?;
        Ok(chunk.finish(ItemIndex(0), identities).expect("one item"))
    }

    fn write(&self) -> Result<StagedItem, Failed> {
        let path = self.dir.path().join(self.last_lease.to_string());
        let (mut file, mut crc) = (File::create_new(&path)?, Digest::new(CrcAlgorithm::Crc32Iscsi));
        for bytes in self.encoded.chunks(WRITE_BYTES) {
            file.write_all(bytes)?;
            crc.update(bytes);
        }
        let keeper = Box::new(Remove(path.clone()));
        Ok(StagedItem { path, len: self.encoded.len() as u64, crc32c: crc.finalize() as u32, keeper })
    }

    fn one(&mut self) -> Result<(), Failed> {
        self.last_lease += 1;
        let (lease, chunk) = (LeaseId(self.last_lease), Arc::new(self.chunk()?));
        let kept = chunk.clone();
        self.executor.assign(WORKER, Assignment { lease, attempt: 1, chunk, range: 0..1, saved_state: None });
        match self.events.recv_timeout(WAIT_MAX)? {
            WorkerEvent::Replied(_) => {
                drop(kept); // and with it its file, until now the worker's to read
                Ok(())
            }
            other => Err(format!("the worker answered {other:?}").into()),
        }
    }
}

struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        // The directory goes, too.
        let _ = fs::remove_file(&self.0);
    }
}

impl Case for Inputs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        for _ in 0..self.items {
            self.one()?;
        }
        let took = began.elapsed();
        Ok(vec![Figure::new(self.name, took.as_secs_f64() * 1e6 / self.items as f64, "us/item")])
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.executor.kill(WORKER, KillReason::JobOver);
    }
}
