//! Many threads that commit one outcome each and wait for it.

use crate::journal::{batch, job, outputs};
use crate::support::case::{Case, Failed, Figure};
use crate::support::store::store;
use std::time::Instant;

const THREADS: usize = 32;

/// Thirty-two threads after one.
pub struct Threads {
    /// Of each thread.
    pub commits: usize,
}

impl Case for Threads {
    fn name(&self) -> &'static str {
        "threads32.ours"
    }

    fn run(&mut self) -> Result<Vec<Figure>, Failed> {
        let one = self.rate(1)?;
        let many = self.rate(THREADS)?;
        Ok(vec![
            Figure::new("threads32.ours", many, "commits/s"),
            Figure::new("threads32.one", one, "commits/s"),
        ])
    }
}

impl Threads {
    fn rate(&self, threads: usize) -> Result<f64, Failed> {
        let dir = store()?;
        let job = job(&dir.path().join("store"))?;
        let outputs = outputs(1);
        let commit_all = &|thread: usize| -> Result<(), Failed> {
            for round in 0..self.commits {
                job.commit(batch((thread * self.commits + round) as u64, 1, &outputs)?)?;
            }
            Ok(())
        };
        let began = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || commit_all(thread))).collect();
            all.into_iter()
                .try_for_each(|one| one.join().map_err(|_| Failed::from("a committer panicked"))?)
        })?;
        Ok((threads * self.commits) as f64 / began.elapsed().as_secs_f64())
    }
}
