//! The flight recorder: what a worker leaves for its host to read, also after SIGKILL.
//!
//! The host creates one file per worker in a private directory and only ever reads it with plain reads; the worker maps
//! it and stores words. A worker that truncates the file or scribbles on it can mislead its host but not fault it. A
//! second file, the control page, goes the other way: the host only writes it, the worker only reads it.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod host;
pub mod layout;
mod reader;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod words;
mod writer;

pub use host::{HostRecorder, ReadError, RecorderDir, read_recorder};
pub use layout::SLOTS_MAX;
pub use reader::{PanicRecord, Phase, RecorderError, Recording, SignalRecord, StackRange, open_word};
pub(crate) use writer::{Recorder, SlotRecorder};
