//! What is too large for the host's memory never comes near it. One test in a process of its own, whose memory is measured.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    Context, Ended, Failure, Isolation, Job, OutcomeResult, OutputFile, Processor, StartContext, dense,
};
use std::io::{Read, Write};

cofferdam::worker_test!(workers: Film);

const FILE_BYTES: u64 = 112 << 20;
const PIECE: usize = 1 << 20;
/// What the host's memory may grow by: threads, buffers, the test itself; an eighth of one file.
const GROWTH_MAX: u64 = 16 << 20;

struct Film;

impl Processor for Film {
    const NAME: &'static str = "film";
    const VERSION: u32 = 1;
    type Item = u8;
    type Output = OutputFile;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, byte: u8, cx: &Context<'_>) -> Result<OutputFile, Failure> {
        let mut writer = cx.output_writer()?;
        let piece = vec![byte; PIECE];
        for _ in 0..FILE_BYTES / PIECE as u64 {
            writer.write_all(&piece)?;
        }
        Ok(writer.finish()?)
    }
}

/// The most memory that this process ever had resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_file_of_many_megabytes_is_written_committed_and_read_in_little_memory_of_the_host() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let before = peak();
    let handle = Job::<Film>::new(dir.path(), "job", ())
        .workers(2)
        .isolation(Isolation::Process)
        .worker_program(workers::program())
        .start(dense(|| 7..8u8))
        .expect("the job starts");
    let mut piece = vec![0; PIECE];
    for outcome in handle.outcomes() {
        let outcome = outcome.expect("a readable outcome");
        let OutcomeResult::Completed(file) = outcome.result else { panic!("{outcome:?}") };
        assert_eq!(file.len, FILE_BYTES);
        let mut reader = outcome.open(file).expect("a file");
        let mut read = 0;
        loop {
            let n = reader.read(&mut piece).expect("what was committed");
            if n == 0 {
                break;
            }
            read += n as u64;
        }
        assert_eq!(read, FILE_BYTES);
    }
    assert_eq!(handle.wait().expect("a report").ended, Ended::Complete);
    let growth = peak() - before;
    println!("the host's peak grew by {} KiB", growth >> 10);
    assert!(growth < GROWTH_MAX, "the host's memory grew by {growth} bytes");
}
