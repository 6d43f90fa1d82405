//! What the benchmarks share: options, interleaved rounds, figures, lines and tables.
#![allow(dead_code, unused_imports, reason = "each benchmark uses a part of it")]

pub mod case;
pub mod options;
pub mod report;
pub mod rounds;
pub mod store;
pub mod sys;
