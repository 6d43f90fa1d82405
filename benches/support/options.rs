//! The command line of a benchmark.

use super::case::{Case, Failed};

/// What was asked for.
#[derive(Debug)]
pub struct Options {
    /// One object a line instead of a table.
    pub json: bool,
    /// A small part of the work, for a look whether everything runs; its figures mean nothing.
    pub quick: bool,
    pub rounds: usize,
    /// Only the cases with this in their name.
    pub only: String,
}

impl Options {
    /// `[--json] [--quick] [--rounds N] [--only TEXT]`
    pub fn parse(rounds: usize) -> Result<Self, Failed> {
        let mut options = Self { json: false, quick: false, rounds: 0, only: String::new() };
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
            options.rounds = if options.quick { 1 } else { rounds };
        }
        Ok(options)
    }

    /// Whether a case of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Those of the cases that are wanted.
    pub fn choose(&self, mut cases: Vec<Box<dyn Case>>) -> Vec<Box<dyn Case>> {
        cases.retain(|case| self.wants(case.name()));
        cases
    }

    /// `full`, or with `--quick` a part of it.
    pub fn items(&self, full: u64, part: u64) -> u64 {
        if self.quick { full / part } else { full }
    }
}
