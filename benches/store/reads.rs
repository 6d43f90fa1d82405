//! Opening a store after a crash and reading it, and listing its jobs.

use crate::engines;
use crate::journal::{NAME, batch, job, outputs, segments, spec, store as open_store};
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

/// Opens a copy of a job that somebody still works on, which is what a crash leaves, and reads all outcomes; then the bare bytes.
pub struct Reopen {
    items: u64,
    dir: TempDir,
    /// Held open, so that it never closes in an orderly way.
    _job: JobStore,
    others: TempDir,
}

impl Reopen {
    pub fn new(items: u64) -> Result<Self, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(GROUP);
        for first in (0..items).step_by(GROUP) {
            job.commit(batch(first, GROUP, &outputs)?)?;
        }
        let others = store()?;
        for (name, open) in engines::ALL {
            let mut engine = open(&others.path().join(name))?;
            for first in (0..items).step_by(GROUP) {
                engine.commit(first, GROUP as u64)?;
            }
        }
        Ok(Self { items, dir, _job: job, others })
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
}

impl Case for Reopen {
    fn name(&self) -> &'static str {
        "reopen1m.ours"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let crashed = store()?;
        copy_dir(&self.dir.path().join("store"), crashed.path())?;
        let began = Instant::now();
        let checksum = read_with_crc(crashed.path())?;
        let crc = began.elapsed();
        black_box(checksum);
        let began = Instant::now();
        let job = open_store(crashed.path())?.open_job(NAME)?;
        let mut read = 0;
        for outcome in job.outcomes(0) {
            black_box(outcome?);
            read += 1;
        }
        let ours = began.elapsed();
        if read != self.items {
            return Err(format!("{read} of {} outcomes were read", self.items).into());
        }
        let mut figures = vec![
            Figure::new("reopen1m.ours", ours.as_secs_f64(), "s"),
            Figure::new("reopen1m.crc", crc.as_secs_f64(), "s"),
            Figure::new("is_done_ns", self.is_done_ns(&job), "ns"),
        ];
        let names = [
            ("reopen1m.sqlite", "bytes_per_record.sqlite"),
            ("reopen1m.redb", "bytes_per_record.redb"),
            ("reopen1m.fjall", "bytes_per_record.fjall"),
        ];
        for ((name, open), (time, bytes)) in engines::ALL.into_iter().zip(names) {
            let path = self.others.path().join(name);
            let began = Instant::now();
            let read = open(&path)?.iterate()?;
            figures.push(Figure::new(time, began.elapsed().as_secs_f64(), "s"));
            if read != self.items {
                return Err(format!("{name}: {read} of {} outcomes were read", self.items).into());
            }
            figures.push(Figure::new(bytes, bytes_below(&path)? as f64 / self.items as f64, "B"));
        }
        Ok(figures)
    }
}

fn bytes_below(path: &Path) -> Result<u64, Failed> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        sum += bytes_below(&entry?.path())?;
    }
    Ok(sum)
}

fn copy_dir(from: &Path, to: &Path) -> Result<(), Failed> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
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
