//! Many threads that commit one outcome each and wait for it.

use crate::engines::{DATABASES, Engine, Raw, RawGroups};
use crate::journal::{batch, job, outputs};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::store;
use std::time::Instant;

const THREADS: usize = 32;

/// Thirty-two threads after one, then thirty-two with each yardstick.
pub struct Threads {
    /// Of each thread; a yardstick, which may take a sync for each commit, is given an eighth of it.
    pub commits: usize,
}

impl Case for Threads {
    fn name(&self) -> &'static str {
        "threads32"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let (ours, group) = self.ours(THREADS)?;
        let (one, _) = self.ours(1)?;
        let mut figures = vec![
            Figure::new("threads32.ours", ours, "commits/s"),
            Figure::new("threads32.one", one, "commits/s"),
            Figure::new("threads32.group", group, "commits/sync"),
        ];
        let dir = store()?;
        let groups = RawGroups::new(&dir.path().join("groups"), THREADS * self.commits)?;
        figures.push(Figure::new("threads32.raw_groups", of_engine(&groups, self.commits)?, "commits/s"));
        let commits = (self.commits / 8).max(1);
        let dir = store()?;
        let raw = Raw::new(&dir.path().join("raw"), THREADS * commits, 1)?;
        figures.push(Figure::new("threads32.raw", of_engine(&raw, commits)?, "commits/s"));
        for kind in DATABASES {
            let dir = store()?;
            let engine = (kind.open)(&dir.path().join("database"))?;
            let rate = of_engine(engine.as_ref(), commits)?;
            figures.push(Figure::new(format!("threads32.{}", kind.name), rate, "commits/s"));
        }
        Ok(figures)
    }
}

impl Threads {
    /// Commits a second, and how many shared a sync.
    fn ours(&self, threads: usize) -> Result<(f64, f64), Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(1);
        let before = job.sync_stats().syncs;
        let rate =
            rate(threads, self.commits, &|number| Ok(job.commit(batch(number, 1, &outputs)?).map(drop)?))?;
        let syncs = job.sync_stats().syncs - before;
        Ok((rate, (threads * self.commits) as f64 / syncs as f64))
    }
}

fn of_engine(engine: &dyn Engine, commits: usize) -> Result<f64, Failed> {
    rate(THREADS, commits, &|number| engine.commit(number, 1))
}

/// Commits a second, when each thread makes so many one after the other.
fn rate(
    threads: usize,
    commits: usize,
    commit: &(dyn Fn(u64) -> Result<(), Failed> + Sync),
) -> Result<f64, Failed> {
    let commit_all = &|thread: usize| -> Result<(), Failed> {
        (0..commits).try_for_each(|round| commit((thread * commits + round) as u64))
    };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || commit_all(thread))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| Failed::from("a committer panicked"))?)
    })?;
    Ok((threads * commits) as f64 / began.elapsed().as_secs_f64())
}
