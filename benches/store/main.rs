//! What durable commits cost, beside a bare loop of one write and one sync into a file that was filled before.
//!
//! `cargo bench --bench store [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! Outcomes of 200 bytes, in interleaved rounds; a figure is the median over the rounds. With `--json` one object a line: suite, case,
//! value, unit.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod commits;
mod journal;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod threads;

use support::case::{Case, Failed};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::{Measured, measure};

fn main() -> Result<(), Failed> {
    let options = Options::parse(5)?;
    let mut report = Report::new("store", options.json);
    let measured = measure(&mut options.choose(cases(&options)?), options.rounds)?;
    measured.print(&mut report);
    report.note("raw: one write and one fdatasync of the same outputs into a file of zeros, without frames and checksums.");
    gates(&mut report, &measured);
    report.finish();
    Ok(())
}

fn cases(options: &Options) -> Result<Vec<Box<dyn Case>>, Failed> {
    let commits = options.items(400, 20) as usize;
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (records, [ours, raw, bytes]) in [
        (1, ["commit1.ours", "commit1.raw", "bytes_per_record.1"]),
        (100, ["commit100.ours", "commit100.raw", "bytes_per_record.100"]),
        (512, ["commit512.ours", "commit512.raw", "bytes_per_record.512"]),
    ] {
        cases.push(Box::new(commits::Pair { ours, raw, bytes, records, commits }));
    }
    cases.push(Box::new(threads::Threads { commits }));
    let items = options.items(1_000_000, 20);
    cases.push(Box::new(reads::Reopen::new(items)?));
    cases.push(Box::new(reads::List100::new()?));
    Ok(cases)
}

fn gates(report: &mut Report, measured: &Measured) {
    for (what, over, under, bound) in [
        ("commit1, raw over ours, paired", "commit1.raw", "commit1.ours", Bound::AtLeast(0.90)),
        ("commit100, raw over ours, paired", "commit100.raw", "commit100.ours", Bound::AtLeast(0.85)),
        ("32 threads over one, paired", "threads32.ours", "threads32.one", Bound::AtLeast(10.0)),
        ("reopen1m, ours over crc, paired", "reopen1m.ours", "reopen1m.crc", Bound::AtMost(2.0)),
    ] {
        report.gate(what, measured.paired_ratio(over, under), bound);
    }
    // A record is 208 bytes of key and output; 40 more are allowed to one alone, 12 in a group.
    for (case, limit) in [
        ("list100", 20.0),
        ("is_done_ns", 100.0),
        ("bytes_per_record.1", 248.0),
        ("bytes_per_record.100", 220.0),
    ] {
        report.gate(case, measured.median(case), Bound::AtMost(limit));
    }
}
