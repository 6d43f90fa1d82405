//! Random operations, closings, deaths and power cuts, beside a list of outcomes that must always say the same.
#![allow(clippy::unwrap_used, missing_docs)]

mod machine;
mod support;

use cofferdam_pipeline_core::Keying;
use machine::map_oracle::MapOracle;
use machine::{Oracle, play};

fn oracles() -> Vec<Box<dyn Oracle>> {
    vec![Box::new(MapOracle::default())]
}

#[test]
fn a_keyed_job_is_what_a_list_of_outcomes_is() {
    play(Keying::Keyed, 64, 1_000, 50_000, oracles);
}

#[test]
fn a_dense_job_is_what_a_list_of_outcomes_is() {
    play(Keying::Dense, 64, 1_000, 50_000, oracles);
}
