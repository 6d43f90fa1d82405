//! A real power cut in the middle of a job, and in the end nobody can tell: the out folder lies on an ext4 file system that is
//! shut down without its log. Needs root, so it is built on demand: `cargo test -p ingest --features root-tests --test power_cuts`.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests end on surprises and own their clock"
)]

mod support;

use cofferdam_testkit::Ext4;
use std::time::{Duration, Instant};
use support::{Bench, Random, wait};

const ITEMS: usize = 12;
/// Crashes, failures and slow items, so that every kind of state can be cut through.
const RULES: &[&str] = &["--inject", "abort:05.txt", "--inject", "fail:0[17].txt", "--inject", "slow:*"];
const CUTS: u64 = 50;
/// Workers see at once that their host is gone; beyond it one of them lives on.
const WORKERS_GONE_MAX: Duration = Duration::from_secs(20);

/// Mounts the file system again once nobody has it open any more.
fn restart(ext4: &Ext4) {
    let deadline = Instant::now() + WORKERS_GONE_MAX;
    while let Err(error) = ext4.restart() {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::yield_now();
    }
}

#[test]
fn a_job_whose_power_is_cut_at_random_instants_resumes_to_identical_results() {
    let begun = Instant::now();
    let uncut = Bench::with_texts(ITEMS);
    uncut.run(RULES).complete();
    let whole_ms = begun.elapsed().as_millis() as u64;
    let seed = 0x5eed_1d03;
    let mut random = Random(seed);
    let (mut resumed, mut whole) = (0, 0);
    for cut in 0..CUTS {
        let dir = tempfile::tempdir().unwrap();
        let ext4 = Ext4::create(dir.path(), "data=ordered").expect("this test needs root and e2fsprogs");
        let mut bench = Bench::with_texts(ITEMS);
        bench.set_out(ext4.root().join("out"));
        let mut child = bench.command(RULES).spawn().unwrap();
        let has_ended = wait(&mut child, Duration::from_millis(random.below(whole_ms))).is_some();
        ext4.switch().cut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        restart(&ext4);

        let json = bench.run(RULES).complete().json();

        assert_eq!(bench.results(), uncut.results(), "seed {seed:#x}, cut {cut}");
        assert_eq!(json["items"], ITEMS);
        resumed += u64::from(json["resumed"].as_u64().unwrap() > 0);
        whole += u64::from(has_ended);
    }
    println!("{CUTS} power cuts: {resumed} jobs went on, {whole} had ended");
    assert!(resumed > CUTS / 4, "only {resumed} of {CUTS} cuts hit a job that had outcomes");
}
