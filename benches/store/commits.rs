//! Blocking commits of one thread, in turns with the bare loop.

use crate::journal::{OUTPUT_LEN, batch, job, outputs, segments};
use crate::support::case::{Case, Failed, Figure};
use crate::support::rounds::quantile;
use crate::support::store::store;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// One size of group: each commit is followed by the bare one, so that both see the same weather.
pub struct Pair {
    pub ours: &'static str,
    pub raw: &'static str,
    pub bytes: &'static str,
    pub records: usize,
    pub commits: usize,
}

impl Case for Pair {
    fn name(&self) -> &'static str {
        self.ours
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(self.records);
        let record = vec![7; self.records * OUTPUT_LEN];
        let mut file = zeros(&dir.path().join("raw"), self.commits * record.len())?;
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        let mut half = 0;
        for round in 0..self.commits {
            if round == self.commits / 2 {
                half = journal_bytes(dir.path())?;
            }
            let first = (round * self.records) as u64;
            ours.push(micros(|| Ok(job.commit(batch(first, self.records, &outputs)?).map(drop)?))?);
            raw.push(micros(|| {
                file.write_all(&record)?;
                Ok(file.sync_data()?)
            })?);
        }
        let records = (self.commits - self.commits / 2) * self.records;
        let bytes = (journal_bytes(dir.path())? - half) as f64 / records as f64;
        let figure = |case, values: &[f64]| Figure::new(case, quantile(values, 0.5), "us");
        Ok(vec![figure(self.ours, &ours), figure(self.raw, &raw), Figure::new(self.bytes, bytes, "B")])
    }
}

fn micros(what: impl FnOnce() -> Result<(), Failed>) -> Result<f64, Failed> {
    let began = Instant::now();
    what()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// A file of zeros, at least so long and synced.
fn zeros(path: &Path, len: usize) -> Result<File, Failed> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&vec![0; len.next_multiple_of(4096)])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Bytes of the segments without the zeros that were filled in ahead.
fn journal_bytes(root: &Path) -> Result<u64, Failed> {
    let mut sum = 0;
    for segment in segments(root)? {
        let bytes = std::fs::read(segment)?;
        sum += bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
    }
    Ok(sum)
}
