//! A worker in an executable of its own: the worker line is all of it.

use cofferdam_isolation::{Registration, worker_entry};
use cofferdam_testkit::conformance::Conformant;
use std::process::ExitCode;

fn main() -> ExitCode {
    worker_entry(&[Registration::of::<Conformant>()]);
    eprintln!("This program is a worker: a host starts it, nobody else can.");
    ExitCode::FAILURE
}
