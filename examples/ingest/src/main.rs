//! The reference application of Cofferdam: folders of mixed files become a knowledge base.
#![allow(
    clippy::disallowed_methods,
    reason = "a program may do what its libraries must not: own clocks, files and its exit code"
)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod engine;
mod extract;
mod facts;
mod inject;
mod item;
mod keywords;
mod neutral;
mod output;
mod processor;
mod progress;
mod run;
mod signals;
mod source;
mod summary;
mod sys;

use args::Args;
use clap::Parser;
use cofferdam::Ended;
use run::Finished;
use signals::Signals;
use std::io::Write;
use std::process::ExitCode;

const FAILED: u8 = 1;
const SET_ASIDE: u8 = 3;

fn main() -> ExitCode {
    cofferdam::worker!(processor::Ingest);

    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors; what is one exits with 1, not with clap's 2.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
        }
    };
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot handle Ctrl-C: {error}")),
    };
    match run::run(&args, &signals) {
        Ok(finished) => conclude(&args, &finished),
        Err(error) => fail(&error.to_string()),
    }
}

/// Says how it went, the JSON last, and chooses the exit code.
fn conclude(args: &Args, finished: &Finished) -> ExitCode {
    let headline = &finished.headline;
    if !args.quiet {
        say(args.json, &summary_of(args, finished));
    }
    if args.json {
        match headline.to_line() {
            Ok(line) => say(false, &line),
            Err(error) => return fail(&error.to_string()),
        }
    }
    match &finished.ended {
        Ended::Complete if args.strict && headline.failed + headline.quarantined > 0 => {
            ExitCode::from(SET_ASIDE)
        }
        Ended::Complete => ExitCode::SUCCESS,
        Ended::Drained | Ended::Cancelled => ExitCode::from(signals::INTERRUPTED as u8),
        Ended::Fatal(_)
        | Ended::FailureBudget { .. }
        | Ended::SourceFailed(_)
        | Ended::StoreFailed(_)
        | Ended::WorkersUnavailable(_) => fail(&run::describe(&finished.ended)),
    }
}

fn summary_of(args: &Args, finished: &Finished) -> String {
    let headline = &finished.headline;
    let mut summary = format!(
        "{}: {} items: {} completed, {} failed, {} quarantined ({} found done, {:.1} s)",
        neutral::line(&run::describe(&finished.ended)),
        headline.items,
        headline.completed,
        headline.failed,
        headline.quarantined,
        headline.resumed,
        headline.elapsed_s,
    );
    let skipped = finished.skipped;
    let parts: Vec<String> = [
        (skipped.hidden, "hidden"),
        (skipped.special, "not regular files"),
        (skipped.folder_links, "links to folders"),
        (skipped.broken_links, "broken links"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if !parts.is_empty() {
        summary.push_str(&format!("\nskipped: {}", parts.join(", ")));
    }
    summary.push_str(&format!("\nresults in {}", neutral::line(&args.out.display().to_string())));
    summary
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "ingest: {}", neutral::line(message));
    ExitCode::from(FAILED)
}

/// A closed pipe is no reason to fail.
fn say(to_stderr: bool, message: &str) {
    let _ = if to_stderr {
        writeln!(std::io::stderr(), "{message}")
    } else {
        writeln!(std::io::stdout(), "{message}")
    };
}
