//! A process is killed while it commits, and the next one finds everything that it was told is durable.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]
#![cfg(not(miri))]

mod support;

use cofferdam_checkpoint::{Batch, Store, StoreOptions};
use cofferdam_pipeline_core::Keying;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{JOB, entries, output, spec};

const DIR: &str = "COFFERDAM_TEST_STORE";
const KILLS: usize = 12;

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions { accept_weak_file_system: true, ..StoreOptions::default() }).unwrap()
}

/// Not a test of its own: the child of the one below, which names a store for it.
#[test]
fn committing_process() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open(Path::new(&dir));
    let job = match store.open_job(JOB) {
        Ok(job) => job,
        Err(_) => store.create_job(JOB, &spec(Keying::Dense)).unwrap(),
    };
    let mut next = job.counts().total();
    loop {
        let count = 1 + next % 5;
        let outputs: Vec<_> = (next..next + count).map(output).collect();
        let bytes = entries(&outputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        job.commit(Batch::completed_dense(next, count as u32, 1, &bytes).unwrap()).unwrap();
        next += count;
        println!("durable {next}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_it_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0u64;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["committing_process", "--exact", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed in the middle of what follows the nth line: a different place each time.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let durable =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
        acknowledged = durable.take(1 + kill * 7).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let reader = open(dir.path()).open_job(JOB).unwrap();
        let outcomes: Vec<_> = reader.outcomes(0).map(Result::unwrap).collect();
        assert!(outcomes.len() as u64 >= acknowledged, "{} of {acknowledged}", outcomes.len());
        for (outcome, ordinal) in outcomes.iter().zip(0..) {
            assert_eq!(outcome.key, cofferdam_pipeline_core::Key::Ordinal(ordinal));
            assert_eq!(outcome.body, cofferdam_checkpoint::OutcomeBody::Output(output(ordinal)));
        }
    }
    assert!(acknowledged > 0);
}
