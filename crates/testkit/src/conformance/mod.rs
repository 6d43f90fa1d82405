//! What every executor and every worker must do, as tests that anybody can run: an [`Executor`](cofferdam_pipeline_core::Executor) of
//! one's own, another worker executable, a worker in another language.

pub mod checks;
mod file_checks;
mod place;
mod processor;
mod rig;

pub use place::Place;
pub use processor::{Conformant, ConformantConfig, Deed};
pub use rig::{Make, Rig, Subject};
