//! What isolation and durability cost for each item, beside the best that others and the bare machine do.
//!
//! `cargo bench --bench overhead [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! All cases run on two workers in interleaved rounds; a figure is the median over the rounds of the time from start to end, divided by
//! the items (start and end of the workers included). With `--json` one object a line: suite, case, value, unit.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod bytes;
mod imap;
mod pool;
mod processors;
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod threads;
mod trivial;
mod work;
mod work1ms;

use processors::{AddOne, Echo, OneMillisecond};
use support::case::{Case, Failed};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::{Measured, measure};
use trivial::{Load, Trivial};
use work::Work;

/// Everything runs on as many workers as CI has cores.
const WORKERS: u32 = 2;

fn main() -> Result<(), Failed> {
    // Each yardstick that re-executes this program has its own worker line.
    cofferdam::worker!(AddOne, Echo, OneMillisecond);
    raw::worker_line()?;
    procspawn::init();

    let options = Options::parse(7)?;
    let mut report = Report::new("overhead", options.json);
    let trivial = measure(&mut options.choose(trivial_cases(&options)), options.rounds)?;
    trivial.print(&mut report);
    let work = Work::calibrate();
    report.note(&format!("1 ms of work is {} turns of the loop here", work.turns));
    let work1ms = measure(&mut options.choose(work_cases(work, &options)), options.rounds)?;
    work1ms.print(&mut report);
    let ratio = work1ms.paired_ratio("work1ms.cofferdam", "work1ms.rayon");
    if let Some(ratio) = ratio {
        report.line("work1ms.cofferdam_over_rayon", ratio, "ratio");
    }
    report.note("cofferdam: child processes, every outcome synced to disk; process: the same without the sync; thread: no isolation.");
    report.note("raw: the same bytes through two pipes and a journal with fdatasync, by hand; procspawn and imap_chunked keep nothing.");
    gates(&mut report, &trivial, &work1ms, ratio);
    report.finish();
    Ok(())
}

fn gates(report: &mut Report, trivial: &Measured, work1ms: &Measured, ratio: Option<f64>) {
    for (case, limit) in [
        ("trivial_u64.cofferdam", 0.20),
        ("trivial_64b.cofferdam", 0.5),
        ("trivial_200b.cofferdam", 1.2),
        ("trivial_u64.keyed", 0.8),
        ("cpu_host", 0.15),
        ("cpu_workers", 0.12),
    ] {
        report.gate(format!("{case} (us/item)"), trivial.median(case), Bound::AtMost(limit));
    }
    report.gate("work1ms.cofferdam over rayon, paired", ratio, Bound::AtMost(1.05));
    report.gate("work1ms.host_cpu (us/item)", work1ms.median("work1ms.host_cpu"), Bound::AtMost(30.0));
    let latency = work1ms.median("work1ms.commit_latency_p99_ms");
    report.gate("work1ms.commit_latency_p99_ms", latency, Bound::AtMost(25.0));
}

fn trivial_cases(options: &Options) -> Vec<Box<dyn Case>> {
    let items = |full: u64| options.items(full, 20);
    let mut cases: Vec<Box<dyn Case>> = vec![
        Box::new(
            Trivial::power("trivial_u64.cofferdam", Load::U64, items(4_000_000))
                .with_cpu("cpu_host", "cpu_workers"),
        ),
        Box::new(Trivial::process("trivial_u64.process", Load::U64, items(4_000_000))),
        Box::new(Trivial::thread("trivial_u64.thread", Load::U64, items(4_000_000))),
        Box::new(raw::Raw::numbers("trivial_u64.raw", items(4_000_000))),
        Box::new(pool::Procspawn::new(items(20_000))),
        Box::new(Trivial::power("trivial_u64.keyed", Load::Keyed, items(1_000_000))),
    ];
    for (len, [power, process, raw]) in [
        (64, ["trivial_64b.cofferdam", "trivial_64b.process", "trivial_64b.raw"]),
        (200, ["trivial_200b.cofferdam", "trivial_200b.process", "trivial_200b.raw"]),
    ] {
        cases.push(Box::new(Trivial::power(power, Load::Bytes(len), items(1_000_000))));
        cases.push(Box::new(Trivial::process(process, Load::Bytes(len), items(1_000_000))));
        cases.push(Box::new(raw::Raw::byte_strings(raw, items(1_000_000), len)));
    }
    match imap::Imap::start(items(1_000_000)) {
        Ok(imap) => cases.push(Box::new(imap)),
        Err(why) => eprintln!("trivial_u64.imap_chunked is left out: {why}"),
    }
    cases
}

fn work_cases(work: Work, options: &Options) -> Vec<Box<dyn Case>> {
    let items = options.items(4_000, 20);
    vec![
        Box::new(work1ms::Throughput { items, work }),
        Box::new(threads::Rayon::new(items, work)),
        Box::new(work1ms::CommitLatency { items, work }),
    ]
}
