//! What large items and outputs cost: 16 MiB to a worker and back, beside a plain stream that does nothing else.
//!
//! `cargo bench --bench payload [-- --json] [--quick] [--rounds N] [--only TEXT]`
//!
//! `item` is the way there alone, in a frame and in a file, whose output is small. The yardsticks reuse their buffers and check nothing. `no_store` is the executor alone, one worker, checksummed; `power` is a whole
//! job on two workers with every output durable, beside two streams whose answers are written, synced and renamed; `careful` are the same streams when they also do what
//! the store cannot leave out, and `typed` is one that also checksums, decodes and encodes.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod engine;
mod inputs;
#[path = "../support/lone.rs"]
mod lone;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod sys;

use inputs::{Inputs, Way};
use stream::Care;
use support::case::{Case, Failed};
use support::options::Options;
use support::report::{Bound, Report};
use support::rounds::measure;

/// Bytes of an item and of its output.
const PAYLOAD_BYTES: usize = 16 << 20;

fn main() -> Result<(), Failed> {
    cofferdam::worker!(engine::Echo, inputs::Measure);
    stream::child_line()?;

    let options = Options::parse(7)?;
    let mut report = Report::new("payload", options.json);
    let (echoes, files) = (options.items(20, 5), options.items(16, 4));
    let cases: Vec<Box<dyn Case>> = vec![
        Box::new(engine::NoStore::start(echoes)?),
        Box::new(stream::Stream::start(echoes, false)?),
        Box::new(stream::Stream::start(echoes, true)?),
        Box::new(engine::Power::new(files)),
        Box::new(stream::WriteSyncRename::start(files, Care::None)?),
        Box::new(stream::WriteSyncRename::start(files, Care::AsTheStore)?),
        Box::new(Inputs::start("item16m.frame", Way::Frame, 16 << 20, echoes)?),
        Box::new(Inputs::start("item16m.file", Way::File, 16 << 20, echoes)?),
        Box::new(Inputs::start("item60m.frame", Way::Frame, 60 << 20, files)?),
        Box::new(Inputs::start("item60m.file", Way::File, 60 << 20, files)?),
    ];
    let measured = measure(&mut options.choose(cases), options.rounds)?;
    measured.print(&mut report);
    for (name, over, under, limit) in [
        ("echo16m.no_store_over_stream", "echo16m.cofferdam_no_store", "echo16m.stream", 2.5),
        (
            "echo16m.power_over_stream_write_sync_rename",
            "echo16m.cofferdam_power",
            "echo16m.stream_write_sync_rename",
            1.3,
        ),
    ] {
        let ratio = measured.paired_ratio(over, under);
        if let Some(ratio) = ratio {
            report.line(name, ratio, "ratio");
        }
        report.gate(name, ratio, Bound::AtMost(limit));
    }
    for (name, over, under) in [
        ("echo16m.no_store_over_stream_typed", "echo16m.cofferdam_no_store", "echo16m.stream_typed"),
        ("echo16m.power_over_stream_careful", "echo16m.cofferdam_power", "echo16m.stream_careful"),
    ] {
        if let Some(ratio) = measured.paired_ratio(over, under) {
            report.line(name, ratio, "ratio");
        }
    }
    report.finish();
    Ok(())
}
