//! Large items whose outputs are small: in a frame, and in a file that is written anew each time.

use crate::lone::{Lone, chunk_of, only};
use crate::support::case::{Case, Failed, Figure};
use cofferdam::{Codec, Context, Failure, Processor, StartContext};
use cofferdam_pipeline_core::{Chunk, ItemIndex, StagedItem, WorkerEvent};
use crc_fast::{CrcAlgorithm, Digest};
use serde_bytes::ByteBuf;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

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
    worker: Lone,
    encoded: Vec<u8>,
    dir: tempfile::TempDir,
    items: u64,
    files: u64,
}

impl Inputs {
    pub fn start(name: &'static str, way: Way, bytes: usize, items: u64) -> Result<Self, Failed> {
        let mut encoded = Vec::new();
        Codec::Bincode.encode(&ByteBuf::from(vec![7; bytes]), &mut encoded)?;
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        Ok(Self { name, way, worker: Lone::start::<Measure>()?, encoded, dir, items, files: 0 })
    }

    fn chunk(&mut self) -> Result<Chunk, Failed> {
        match self.way {
            Way::Frame => chunk_of(&self.encoded),
            Way::File => Ok(Chunk::of_staged(ItemIndex(0), self.write()?, only())),
        }
    }

    fn write(&mut self) -> Result<StagedItem, Failed> {
        self.files += 1;
        let path = self.dir.path().join(self.files.to_string());
        let (mut file, mut crc) = (File::create_new(&path)?, Digest::new(CrcAlgorithm::Crc32IsoHdlc));
        for bytes in self.encoded.chunks(WRITE_BYTES) {
            file.write_all(bytes)?;
            crc.update(bytes);
        }
        let keeper = Box::new(Remove(path.clone()));
        Ok(StagedItem { path, len: self.encoded.len() as u64, crc32: crc.finalize() as u32, keeper })
    }

    fn one(&mut self) -> Result<(), Failed> {
        let kept = Arc::new(self.chunk()?);
        self.worker.assign(kept.clone());
        match self.worker.wait()? {
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
