//! Durable commits against a raw loop of write and sync into a file that was filled before, in the same run.
//!
//! `cargo bench -p cofferdam-checkpoint` prints one line for each case: `suite, case, value, unit`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use cofferdam_checkpoint::{Batch, Durability, JobSpec, JobStore, Store, StoreOptions};
use cofferdam_pipeline_core::{Keying, push_entry_len};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 1000;
const OUTPUT_LEN: usize = 200;

fn main() {
    // Beside the target directory: a temporary directory may lie in memory.
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    for records in [1usize, 100] {
        let (raw, ours) = side_by_side(&dir.path().join(format!("commit{records}")), records);
        println!("store, commit{records}.raw, {:.1}, us", raw.as_secs_f64() * 1e6);
        println!("store, commit{records}.ours, {:.1}, us", ours.as_secs_f64() * 1e6);
        println!("store, commit{records}.ratio, {:.3}, x", raw.as_secs_f64() / ours.as_secs_f64());
    }
    threads(dir.path());
    submits(dir.path());
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

/// The medians of a raw write and sync and of a commit of the same payload, which take turns.
fn side_by_side(root: &Path, records: usize) -> (Duration, Duration) {
    let job = job(root, Durability::Power);
    let outputs = entries(records, OUTPUT_LEN);
    let len = records * OUTPUT_LEN;
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(root.join("raw")).unwrap();
    file.write_all(&vec![0; ROUNDS * len.next_multiple_of(4096)]).unwrap();
    file.sync_all().unwrap();
    let record = vec![7; len];
    let (mut raws, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        raws.push(timed(|| {
            write_at(&file, &record, (round * len) as u64);
            file.sync_data().unwrap();
        }));
        ours.push(timed(|| {
            let first = (round * records) as u64;
            job.commit(Batch::completed_dense(first, records as u32, 1, &outputs).unwrap()).unwrap();
        }));
    }
    (median(raws), median(ours))
}

fn timed(what: impl FnOnce()) -> Duration {
    let began = Instant::now();
    what();
    began.elapsed()
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset).unwrap();
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) {
    assert_eq!(std::os::windows::fs::FileExt::seek_write(file, bytes, offset).unwrap(), bytes.len());
}

fn job(root: &Path, durability: Durability) -> JobStore {
    let options = StoreOptions { durability, accept_weak_file_system: true, ..StoreOptions::default() };
    let store = Store::open(root, options).unwrap();
    let spec = JobSpec {
        processor: "bench".into(),
        version: 1,
        codec: 1,
        keying: Keying::Dense,
        config: Vec::new(),
    };
    store.create_job("bench", &spec).unwrap()
}

fn entries(count: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        push_entry_len(&mut bytes, len);
        bytes.resize(bytes.len() + len, 7);
    }
    bytes
}

fn threads(root: &Path) {
    let rate = |threads: usize| {
        let job = job(&root.join(format!("threads{threads}")), Durability::Power);
        let outputs = entries(1, OUTPUT_LEN);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (job, outputs) = (&job, &outputs);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let ordinal = (thread * ROUNDS + round) as u64;
                        job.commit(Batch::completed_dense(ordinal, 1, 1, outputs).unwrap()).unwrap();
                    }
                });
            }
        });
        (threads * ROUNDS) as f64 / began.elapsed().as_secs_f64()
    };
    let (one, many) = (rate(1), rate(32));
    println!("store, threads1.ours, {one:.0}, commits/s");
    println!("store, threads32.ours, {many:.0}, commits/s");
    println!("store, threads32.ratio, {:.1}, x", many / one);
}

/// Runs of 64 KiB as the engine submits them: what the caller pays, and what all of it takes.
fn submits(root: &Path) {
    const ITEMS: u64 = 13_000;
    const BATCHES: u64 = 400;
    let job = job(&root.join("submits"), Durability::Power);
    let (tx, rx) = mpsc::channel();
    job.on_commit(move |event| {
        let _ = tx.send(event);
    });
    let outputs = entries(ITEMS as usize, 4);
    let began = Instant::now();
    let mut submitting = Duration::ZERO;
    for batch in 0..BATCHES {
        let submit = Instant::now();
        job.submit(Batch::completed_dense(batch * ITEMS, ITEMS as u32, 1, &outputs).unwrap()).unwrap();
        submitting += submit.elapsed();
    }
    job.flush();
    while job.durable_lsn() < BATCHES * ITEMS {
        rx.recv().unwrap();
    }
    let all = began.elapsed();
    let items = (BATCHES * ITEMS) as f64;
    println!("store, submit64k.caller, {:.4}, us/item", submitting.as_secs_f64() * 1e6 / items);
    println!("store, submit64k.all, {:.4}, us/item", all.as_secs_f64() * 1e6 / items);
}
