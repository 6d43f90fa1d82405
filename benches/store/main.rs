//! What durable commits cost, beside a bare loop of one write and one sync into a file that was filled before, and beside databases
//! that promise the same: SQLite (WAL, `synchronous=FULL`), redb and fjall.
//!
//! `cargo bench --bench store [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! Outcomes of 200 bytes, in interleaved rounds; a figure is the median over the rounds, and of commits the mean in each. With `--json`
//! one object a line: suite, case, value, unit.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod commits;
mod engines;
mod journal;
mod opening;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod threads;

use cofferdam_pipeline_core::Keying;
use std::path::Path;
use support::case::{Case, Failed};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::{Measured, measure};

fn main() -> Result<(), Failed> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == opening::CHILD) {
        return opening::open_and_tell(Path::new(&args.next().ok_or("no store is named")?));
    }
    let options = Options::parse(5)?;
    let mut report = Report::new("store", options.json);
    let measured = measure(&mut options.choose(cases(&options)?), options.rounds)?;
    measured.print(&mut report);
    report.note("raw: one write and one fdatasync of the same outputs into a file of zeros, without frames and checksums.");
    report.note("threads32.raw_groups: the same, of all outputs that came during the last sync; whoever waits and finds nobody writing does it.");
    report.note("sqlite, redb and fjall are closed in an orderly way before reopen1m; ours is left as a crash leaves it.");
    report.note("open10m: all files are read once before (from_disk says what was not in the page cache even so); behind: outcomes that no snapshot had.");
    gates(&mut report, &measured);
    report.finish();
    Ok(())
}

fn cases(options: &Options) -> Result<Vec<Box<dyn Case>>, Failed> {
    let commits = options.items(400, 20) as usize;
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (name, records) in [("commit1", 1), ("commit100", 100), ("commit512", 512)] {
        cases.push(Box::new(commits::Commits::new(name, records, commits)));
    }
    cases.push(Box::new(threads::Threads { commits }));
    let items = options.items(1_000_000, 20);
    cases.push(Box::new(reads::Reopen::new(items)));
    cases.push(Box::new(reads::List100::new()?));
    let items = options.items(10_000_000, 100);
    let dense = ["open10m_dense", "open10m_dense.no_snapshot", "rss_per_item_dense"];
    cases.push(Box::new(opening::Opening::new(dense, Keying::Dense, items)));
    let keyed = ["open10m_keyed", "open10m_keyed.no_snapshot", "rss_per_item_keyed"];
    cases.push(Box::new(opening::Opening::new(keyed, Keying::Keyed, items)));
    Ok(cases)
}

fn gates(report: &mut Report, measured: &Measured) {
    for (what, over, under, bound) in [
        ("commit1, raw over ours, paired", "commit1.raw", "commit1.ours", Bound::AtLeast(0.90)),
        ("commit100, raw over ours, paired", "commit100.raw", "commit100.ours", Bound::AtLeast(0.85)),
        ("commit100, SQLite over ours, paired", "commit100.sqlite", "commit100.ours", Bound::AtLeast(2.0)),
        ("32 threads over one, paired", "threads32.ours", "threads32.one", Bound::AtLeast(10.0)),
        ("reopen1m, ours over crc, paired", "reopen1m.ours", "reopen1m.crc", Bound::AtMost(2.0)),
        ("reopen1m, ours over SQLite, paired", "reopen1m.ours", "reopen1m.sqlite", Bound::AtMost(0.5)),
    ] {
        report.gate(what, measured.paired_ratio(over, under), bound);
    }
    // A record is 208 bytes of key and output; 40 more are allowed to one alone, 12 in a group.
    for (case, limit) in [
        ("list100", 20.0),
        ("open10m_dense", 0.1),
        ("open10m_keyed", 1.0),
        ("open10m_dense.no_snapshot", 3.0),
        ("open10m_keyed.no_snapshot", 3.0),
        ("rss_per_item_dense", 0.25),
        ("rss_per_item_keyed", 32.0),
        ("is_done_ns", 100.0),
        ("bytes_per_record.1", 248.0),
        ("bytes_per_record.100", 220.0),
    ] {
        report.gate(case, measured.median(case), Bound::AtMost(limit));
    }
}
