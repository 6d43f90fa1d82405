//! What telemetry costs the worker that writes it and the host that reads it.
//!
//! `cargo bench --bench recorder [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! The calls are made in a child process, into its mapped recorder. While four threads write stages of 32 bytes, the host reads them as fast as it can;
//! a stage that nobody wrote is a torn read. `sample64_us` is the host's time to read the recorders of 64 workers once,
//! `sample64.pread8_us` that of 64 reads of eight bytes.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

#[path = "../support/lone.rs"]
mod lone;
mod sampling;
#[path = "../support/mod.rs"]
mod support;
mod writing;

use support::case::{Case, Failed};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::measure;

fn main() -> Result<(), Failed> {
    cofferdam::worker!(writing::Telemetry);

    let options = Options::parse(7)?;
    let mut report = Report::new("recorder", options.json);
    let calls = options.items(5_000_000, 50);
    let cases: Vec<Box<dyn Case>> = vec![
        Box::new(writing::Writing::start("progress_ns", writing::Call::Progress, calls)?),
        Box::new(writing::Writing::start("stage32_4threads_ns", writing::Call::StageOn4Threads, calls / 10)?),
        Box::new(sampling::Sampling::create(options.items(2_000, 50))?),
        Box::new(sampling::RawReads::create(options.items(2_000, 50))?),
    ];
    let measured = measure(&mut options.choose(cases), options.rounds)?;
    measured.print(&mut report);
    for (case, limit) in [("progress_ns", 5.0), ("stage32_4threads_ns", 80.0), ("sample64_us", 20.0)] {
        report.gate(case, measured.median(case), Bound::AtMost(limit));
    }
    report.gate(
        "stage32_4threads.torn_reads",
        measured.median("stage32_4threads.torn_reads"),
        Bound::AtMost(0.0),
    );
    report.finish();
    Ok(())
}
