//! What isolation and durability cost for each item, beside the best that others and the bare machine do.
//!
//! `cargo bench --bench overhead [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! All cases run on two workers in interleaved rounds; a figure is the median over the rounds of the time from start to end, divided by
//! the items (start and end of the workers included). With `--json` one object a line: suite, case, value, unit.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod bytes;
mod case;
mod engine;
mod imap;
mod pool;
mod raw;
mod report;
mod rounds;
mod threads;
mod work;

use case::{Case, Failed};
use work::Work;

/// Everything runs on as many workers as CI has cores.
const WORKERS: u32 = 2;

/// What the command line asks for.
struct Options {
    json: bool,
    /// A twentieth of the items, for a look whether everything runs; its figures mean nothing.
    quick: bool,
    rounds: usize,
    only: String,
}

fn main() -> Result<(), Failed> {
    // Each yardstick that re-executes this program has its own worker line.
    cofferdam::worker!(engine::AddOne, engine::OneMillisecond);
    raw::worker_line()?;
    procspawn::init();

    let options = options()?;
    let mut report = report::Report::new("overhead", options.json);
    let trivial = trivial_cases(options.quick);
    rounds::measure(chosen(trivial, &options.only), options.rounds, &mut report)?;
    let work = Work::calibrate();
    report.note(&format!("1 ms of work is {} turns of the loop here", work.turns));
    let measured =
        rounds::measure(chosen(work_cases(work, options.quick), &options.only), options.rounds, &mut report)?;
    if let Some(ratio) = measured.paired_ratio("work1ms.cofferdam", "work1ms.rayon") {
        report.line("work1ms.cofferdam_over_rayon", ratio, "ratio");
    }
    report.finish();
    Ok(())
}

fn trivial_cases(quick: bool) -> Vec<Box<dyn Case>> {
    let items = |full: u64| if quick { full / 20 } else { full };
    let mut cases: Vec<Box<dyn Case>> = vec![
        Box::new(engine::Trivial::power("trivial_u64.cofferdam", items(4_000_000))),
        Box::new(engine::Trivial::process("trivial_u64.process", items(4_000_000))),
        Box::new(engine::Trivial::thread("trivial_u64.thread", items(4_000_000))),
        Box::new(raw::Raw::new(items(4_000_000))),
        Box::new(pool::Procspawn::new(items(20_000))),
    ];
    match imap::Imap::start(items(1_000_000)) {
        Ok(imap) => cases.push(Box::new(imap)),
        Err(why) => eprintln!("trivial_u64.imap_chunked is left out: {why}"),
    }
    cases
}

fn work_cases(work: Work, quick: bool) -> Vec<Box<dyn Case>> {
    let items = if quick { 200 } else { 4_000 };
    vec![Box::new(engine::OneMillisecondItems::new(items, work)), Box::new(threads::Rayon::new(items, work))]
}

fn chosen(mut cases: Vec<Box<dyn Case>>, only: &str) -> Vec<Box<dyn Case>> {
    cases.retain(|case| case.name().contains(only));
    cases
}

fn options() -> Result<Options, Failed> {
    let mut options = Options { json: false, quick: false, rounds: 0, only: String::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--quick" => options.quick = true,
            "--rounds" => options.rounds = arguments.next().ok_or("--rounds needs a number")?.parse()?,
            "--only" => options.only = arguments.next().ok_or("--only needs a text")?,
            "--bench" => {} // from cargo
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.quick { 1 } else { 7 };
    }
    Ok(options)
}
