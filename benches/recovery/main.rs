//! How soon after `kill -9` of a worker the next item is done, beside what the system needs to start a bare process.
//!
//! `cargo bench --bench recovery [-- --json] [--quick] [--rounds N]`
//!
//! Two workers: one computes all the time, the other is killed while it waits inside an item, so that never more workers can run than
//! there are cores. The time is from before the kill to the end of the first item of the replacement, on the clock that all processes share.
//! A round is one kill and one bare spawn of this executable up to its first byte.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod bare;
mod crashes;
#[path = "../support/mod.rs"]
mod support;

use support::case::Failed;
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::quantile;

fn main() -> Result<(), Failed> {
    cofferdam::worker!(crashes::Victim);
    bare::child_line()?;

    let options = Options::parse(300)?;
    let rounds = if options.quick { 20 } else { options.rounds };
    let mut report = Report::new("recovery", options.json);
    let (mut cold, mut spawn) = (Vec::new(), Vec::new());
    let mut crashes = crashes::Crashes::start()?;
    crashes.kill_and_wait()?; // to warm up
    for _ in 0..rounds {
        cold.push(crashes.kill_and_wait()?);
        spawn.push(bare::spawn()?);
    }
    crashes.end()?;
    report.line("kill_to_next.cold.p50", quantile(&cold, 0.5), "ms");
    report.line("kill_to_next.cold.p99", quantile(&cold, 0.99), "ms");
    report.line("kill_to_next.bare_spawn.p50", quantile(&spawn, 0.5), "ms");
    report.line("kill_to_next.bare_spawn.p99", quantile(&spawn, 0.99), "ms");
    report.gate("kill_to_next.cold.p50 (ms)", Some(quantile(&cold, 0.5)), Bound::AtMost(3.0));
    report.finish();
    Ok(())
}
