//! Opening a store after a crash and reading it, and listing its jobs.

use crate::engines::DATABASES;
use crate::journal::{NAME, batch, job, outputs, segments, spec, store as open_store};
use crate::opening::link_dir;
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::store;
use cofferdam_checkpoint::{JobState, JobStore};
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// Outcomes of one commit.
const GROUP: usize = 1000;

/// Opens a copy of a job that somebody still works on, which is what a crash leaves, and reads all outcomes; then the bare bytes; then
/// the databases, which were closed in an orderly way.
pub struct Reopen {
    items: u64,
    made: Option<Made>,
}

struct Made {
    dir: TempDir,
    /// Held open, so that it never closes in an orderly way.
    _job: JobStore,
    bytes: Vec<Figure>,
}

impl Reopen {
    /// Everything is made when it is first opened.
    pub fn new(items: u64) -> Self {
        Self { items, made: None }
    }

    fn make(&self) -> Result<Made, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(GROUP);
        for first in (0..self.items).step_by(GROUP) {
            job.commit(batch(first, GROUP, &outputs)?)?;
        }
        let mut bytes = Vec::new();
        for kind in DATABASES {
            let path = dir.path().join(kind.name);
            std::fs::create_dir(&path)?;
            let engine = (kind.open)(&path.join("database"))?;
            (0..self.items).step_by(GROUP).try_for_each(|first| engine.commit(first, GROUP))?;
            drop(engine);
            let value = bytes_below(&path)? as f64 / self.items as f64;
            bytes.push(Figure::new(format!("bytes_per_record.{}", kind.name), value, "B"));
        }
        Ok(Made { dir, _job: job, bytes })
    }

    fn is_done_ns(&self, job: &JobStore) -> f64 {
        let done = job.done_ordinals();
        let began = Instant::now();
        // A stride that visits every ordinal once, in no order that a cache would like.
        let hits = (0..self.items).filter(|i| done.contains(black_box(i * 7_919 % self.items))).count();
        let took = began.elapsed();
        assert_eq!(hits as u64, self.items, "every item is done");
        took.as_secs_f64() * 1e9 / self.items as f64
    }

    fn ours(&self, made: &Made) -> Result<Vec<Figure>, Failed> {
        let crashed = store()?;
        link_dir(&made.dir.path().join("store"), crashed.path(), true)?;
        let began = Instant::now();
        let checksum = read_with_crc(crashed.path())?;
        let crc = began.elapsed();
        black_box(checksum);
        let began = Instant::now();
        let job = open_store(crashed.path())?.open_job(NAME)?;
        let mut read = 0;
        let mut outcomes = job.outcomes(0);
        while let Some(outcome) = outcomes.lend_next() {
            black_box(outcome?);
            read += 1;
        }
        let ours = began.elapsed();
        self.check(read)?;
        Ok(vec![
            Figure::new("reopen1m.ours", ours.as_secs_f64(), "s"),
            Figure::new("reopen1m.crc", crc.as_secs_f64(), "s"),
            Figure::new("is_done_ns", self.is_done_ns(&job), "ns"),
        ])
    }

    fn check(&self, read: u64) -> Result<(), Failed> {
        if read == self.items {
            return Ok(());
        }
        Err(format!("{read} of {} outcomes were read", self.items).into())
    }
}

impl Case for Reopen {
    fn name(&self) -> &'static str {
        "reopen1m"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        if self.made.is_none() {
            self.made = Some(self.make()?);
        }
        let made = self.made.as_ref().expect("made above");
        let mut figures = self.ours(made)?;
        for kind in DATABASES {
            let path = made.dir.path().join(kind.name).join("database");
            let began = Instant::now();
            let read = (kind.read)(&path)?;
            figures.push(Figure::new(format!("reopen1m.{}", kind.name), began.elapsed().as_secs_f64(), "s"));
            self.check(read)?;
        }
        figures.extend_from_slice(&made.bytes);
        Ok(figures)
    }
}

fn bytes_below(dir: &Path) -> Result<u64, Failed> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

fn read_with_crc(root: &Path) -> Result<u64, Failed> {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut chunk = vec![0; 1 << 20];
    for segment in segments(root)? {
        let mut file = File::open(segment)?;
        loop {
            let len = file.read(&mut chunk)?;
            if len == 0 {
                break;
            }
            digest.update(&chunk[..len]);
        }
    }
    Ok(digest.finalize())
}

/// Lists a hundred jobs.
pub struct List100(TempDir);

impl List100 {
    pub fn new() -> Result<Self, Failed> {
        let dir = store()?;
        let store = open_store(dir.path())?;
        for number in 0..100 {
            store.create_job(format!("job-{number}"), &spec())?.finish(JobState::Finished)?;
        }
        Ok(Self(dir))
    }
}

impl Case for List100 {
    fn name(&self) -> &'static str {
        "list100"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let began = Instant::now();
        let listed = open_store(self.0.path())?.list()?.len();
        let took = began.elapsed();
        assert_eq!(listed, 100, "all jobs are listed");
        Ok(vec![Figure::new("list100", took.as_secs_f64() * 1e3, "ms")])
    }
}
