//! How much memory a host needs at most while a job runs, over what it had before.
//!
//! `cargo bench --bench memory [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! Each case runs in a process of its own, so that none inherits another's heap: the peak of its resident memory (the kernel's high-water
//! mark, reset before the job) less the resident memory before the job, in MiB; the median over the rounds.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod cases;
mod peak;
mod slow_disk;
#[path = "../support/mod.rs"]
mod support;

use support::case::{Failed, Figure};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::Measured;

/// The argument with which this program runs one case and prints its figure.
const CASE: &str = "--case";

fn main() -> Result<(), Failed> {
    cofferdam::worker!(cases::AddOne, cases::Megabyte, cases::Bytes200);
    if std::env::args().nth(1).as_deref() == Some(CASE) {
        return run_case();
    }
    let options = Options::parse(3)?;
    let mut report = Report::new("memory", options.json);
    let cases: Vec<_> = cases::ALL.iter().filter(|case| options.wants(case.name)).collect();
    let mut measured = Measured::default();
    for _ in 0..options.rounds {
        for case in &cases {
            let value = peak::in_own_process(case.name, options.items(case.items, 20))?;
            measured.add(Figure::new(case.name, value, "MiB"));
        }
    }
    measured.print(&mut report);
    for case in cases {
        report.gate(format!("{} (MiB)", case.name), measured.median(case.name), Bound::AtMost(case.gate));
    }
    report.finish();
    Ok(())
}

/// `--case NAME ITEMS`
fn run_case() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(2);
    let name = arguments.next().ok_or("no name of a case")?;
    let items = arguments.next().ok_or("no number of items")?.parse()?;
    let case = cases::ALL.iter().find(|case| case.name == name).ok_or("no such case")?;
    let before = peak::begin()?;
    (case.run)(items)?;
    println!("{}", peak::end(before)?);
    Ok(())
}
