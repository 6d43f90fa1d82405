//! Blocking commits of one thread: ours in turns with the bare loop, then each database.

use crate::engines::{DATABASES, Engine, Raw};
use crate::journal::{batch, job, outputs, segments};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::store;
use std::path::Path;
use std::time::Instant;

/// One size of group. A figure is the mean of a round, so that what is put off and done later at once counts, such as SQLite's
/// checkpoints. Each of our commits is followed by the bare one, so that both see the same weather.
pub struct Commits {
    name: &'static str,
    records: usize,
    commits: usize,
}

impl Commits {
    /// `name` is that of the case, such as `commit1`.
    pub fn new(name: &'static str, records: usize, commits: usize) -> Self {
        Self { name, records, commits }
    }

    fn ours_and_raw(&self) -> Result<Vec<Figure>, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(self.records);
        let bare = Raw::new(&dir.path().join("raw"), self.commits, self.records)?;
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        let mut half = 0;
        for round in 0..self.commits {
            if round == self.commits / 2 {
                half = journal_bytes(dir.path())?;
            }
            let first = (round * self.records) as u64;
            ours.push(micros(|| Ok(job.commit(batch(first, self.records, &outputs)?).map(drop)?))?);
            raw.push(micros(|| bare.commit(first, self.records))?);
        }
        let records = (self.commits - self.commits / 2) * self.records;
        let bytes = (journal_bytes(dir.path())? - half) as f64 / records as f64;
        Ok(vec![
            self.figure("ours", &ours),
            self.figure("raw", &raw),
            Figure::new(format!("bytes_per_record.{}", self.records), bytes, "B"),
        ])
    }

    fn figure(&self, variant: &str, values: &[f64]) -> Figure {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Figure::new(format!("{}.{variant}", self.name), mean, "us")
    }
}

impl Case for Commits {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let mut figures = self.ours_and_raw()?;
        for kind in DATABASES {
            let dir = store()?;
            let engine = (kind.open)(&dir.path().join("database"))?;
            let commits = (0..self.commits)
                .map(|round| micros(|| engine.commit((round * self.records) as u64, self.records)));
            figures.push(self.figure(kind.name, &commits.collect::<Result<Vec<_>, _>>()?));
        }
        Ok(figures)
    }
}

fn micros(what: impl FnOnce() -> Result<(), Failed>) -> Result<f64, Failed> {
    let began = Instant::now();
    what()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
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
