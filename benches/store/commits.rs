//! Blocking commits of one thread, in turns with the bare loop and other stores.

use crate::engines;
use crate::journal::{OUTPUT_LEN, batch, job, outputs, segments};
use crate::support::case::{Case, Failed, Figure};
use crate::support::rounds::quantile;
use crate::support::store::store;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

/// One size of group: each commit is followed by the bare one and those of other stores, so that all see the same weather.
pub struct Group {
    pub ours: &'static str,
    pub raw: &'static str,
    /// In the order of [`engines::ALL`].
    pub others: [&'static str; 3],
    pub bytes: &'static str,
    pub records: usize,
    pub commits: usize,
}

impl Case for Group {
    fn name(&self) -> &'static str {
        self.ours
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(self.records);
        let record = vec![7; self.records * OUTPUT_LEN];
        let mut file = zeros(&dir.path().join("raw"), self.commits * record.len())?;
        let mut others = Vec::new();
        for (name, open) in engines::ALL {
            others.push((open(&dir.path().join(name))?, Vec::new()));
        }
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
            for (engine, times) in &mut others {
                times.push(micros(|| engine.commit(first, self.records as u64))?);
            }
        }
        let records = (self.commits - self.commits / 2) * self.records;
        let bytes = (journal_bytes(dir.path())? - half) as f64 / records as f64;
        let figure = |case, values: &[f64]| Figure::new(case, quantile(values, 0.5), "us");
        let mut figures =
            vec![figure(self.ours, &ours), figure(self.raw, &raw), Figure::new(self.bytes, bytes, "B")];
        figures.extend(self.others.iter().zip(&others).map(|(case, (_, times))| figure(case, times)));
        Ok(figures)
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
