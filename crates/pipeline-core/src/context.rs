//! What a processor can say about its work and ask of the engine while it runs.

use crate::{Failure, FailureKind, OutputLost, OutputSink, OutputWriter, SAVED_STATE_BYTES_MAX, SlotNumber};
use std::io;
use std::path::PathBuf;

/// The attempt was told to stop; `?` in a processor turns it into the right [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for Failure {
    fn from(_: Interrupted) -> Self {
        Failure::new(FailureKind::Interrupted, "told to stop")
    }
}

/// There is no scratch directory, for want of space or rights or because the job has no place for any. `?` in a processor makes a
/// [`Failure`] of it that is tried again: the item is not at fault.
#[derive(Debug)]
pub struct NoScratch(pub io::Error);

impl From<NoScratch> for Failure {
    fn from(NoScratch(error): NoScratch) -> Self {
        Failure::transient(format!("no scratch directory: {error}"))
    }
}

/// Where a worker's telemetry goes: the flight recorder in real workers, memory in tests.
///
/// Every method may be called from any thread of the worker and must be cheap (a few nanoseconds, no system call).
pub trait Instrument: Send + Sync {
    /// `done` of `total` units (bytes, pages; `total` 0 when unknown).
    fn progress(&self, done: u64, total: u64);
    /// Enters a named stage of the item.
    fn stage(&self, name: &str);
    /// Replaces the item's free text.
    fn message(&self, text: &str);
    /// Leaves a trace that is shown if the item crashes.
    fn breadcrumb(&self, text: &str);
    /// Blocks while the job is paused; an error when the attempt is to stop.
    ///
    /// # Errors
    /// [`Interrupted`]
    fn check(&self) -> Result<(), Interrupted>;
    /// Keeps what the open item needs to go on from here; may take a system call now and then. Kept nowhere by default.
    fn save_state(&self, state: &[u8]) {
        let _ = state;
    }
    /// The open item's directory, made with the first call. There is none by default.
    ///
    /// # Errors
    /// [`NoScratch`]
    fn scratch_dir(&self) -> Result<PathBuf, NoScratch> {
        Err(NoScratch(io::ErrorKind::Unsupported.into()))
    }
    /// Begins a file of the open item's output. There is no place for any by default.
    ///
    /// # Errors
    /// [`OutputLost`] inside.
    fn output_writer(&self) -> io::Result<Box<dyn OutputSink>> {
        Err(OutputLost(io::ErrorKind::Unsupported.into()).into_io())
    }
}

/// A state is longer than [`SAVED_STATE_BYTES_MAX`]; what was saved before stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a state of {len} bytes cannot be saved, the limit is {SAVED_STATE_BYTES_MAX}")]
pub struct StateTooLong {
    /// Its length in bytes.
    pub len: usize,
}

/// Handed to [`crate::Processor::process`].
pub struct Context<'a> {
    instrument: &'a dyn Instrument,
    attempt: u32,
    slot: SlotNumber,
    saved_state: Option<&'a [u8]>,
}

impl<'a> Context<'a> {
    /// A context over an instrument; `attempt` counts from 1.
    #[must_use]
    pub fn new(instrument: &'a dyn Instrument, attempt: u32, slot: SlotNumber) -> Self {
        Self { instrument, attempt, slot, saved_state: None }
    }

    /// The same with what an earlier attempt saved.
    #[must_use]
    pub fn with_saved_state(self, saved_state: Option<&'a [u8]>) -> Self {
        Self { saved_state, ..self }
    }

    /// Reports `done` of `total` units (pages, bytes; `total` 0 when unknown). Costs a nanosecond or two.
    pub fn progress(&self, done: u64, total: u64) {
        self.instrument.progress(done, total);
    }

    /// Enters a named stage; the name survives a crash and becomes evidence. Longer than 64 bytes is cut.
    pub fn stage(&self, name: &str) {
        self.instrument.stage(name);
    }

    /// Replaces the item's free text for live displays. Longer than 128 bytes is cut.
    pub fn message(&self, text: &str) {
        self.instrument.message(text);
    }

    /// Leaves a trace that is shown if the item crashes; the last few are kept, each cut to 64 bytes.
    pub fn breadcrumb(&self, text: &str) {
        self.instrument.breadcrumb(text);
    }

    /// The point where an item can be paused or stopped; call it in long loops. Blocks while the job is paused.
    ///
    /// # Errors
    /// [`Interrupted`] when the attempt is to stop: return it with `?`.
    pub fn check(&self) -> Result<(), Interrupted> {
        self.instrument.check()
    }

    /// Saves what the item needs to go on from here should this attempt not reach its end: a 4-hour file continues at minute 190. It
    /// replaces what was saved before and is given to the next attempt ([`Context::saved_state`]), in this session or, once the host or the
    /// machine has died, in a later one; it ends with the item's outcome.
    ///
    /// Call it as often as you like: of many states the newest is sent, about ten times a second, so a crash may lose the last
    /// tenth of a second, and a death of the host the last second. What is saved before an attempt ends with
    /// [`Interrupted`] or another failure is never lost.
    ///
    /// # Errors
    /// [`StateTooLong`], above 1 MiB. Larger things belong into a file of the processor's own.
    pub fn save_state(&self, state: &[u8]) -> Result<(), StateTooLong> {
        if state.len() > SAVED_STATE_BYTES_MAX {
            return Err(StateTooLong { len: state.len() });
        }
        self.instrument.save_state(state);
        Ok(())
    }

    /// What an earlier attempt at this item saved last; `None` to begin anew. It comes from that attempt as it was: a format that may have
    /// changed since needs a version of its own. The trial that decides whether the item is to blame for crashes begins without it, since it may be
    /// the poison.
    #[must_use]
    pub fn saved_state(&self) -> Option<&'a [u8]> {
        self.saved_state
    }

    /// A directory for this attempt alone, for whatever it needs on disk on its way: empty, closed to other users, made with the first call.
    ///
    /// It is removed however the attempt ends, before its result is reported, and if the worker dies by the host; if the host dies, too, when the
    /// job is next started. What is worth keeping is an output or a saved state. The host chooses where it lies.
    ///
    /// # Errors
    /// [`NoScratch`], which `?` turns into a failure that is tried again.
    pub fn scratch_dir(&self) -> Result<PathBuf, NoScratch> {
        self.instrument.scratch_dir()
    }

    /// Begins a file for what is too large to be returned: a video, an archive, a table of millions of rows. Written piece by piece, it takes no
    /// memory worth mentioning, neither here nor in the host, and becomes durable with the item's outcome. Up to
    /// [`OUTPUT_FILES_MAX`](crate::OUTPUT_FILES_MAX) of them belong to an item's output, which says with an [`OutputFile`](crate::OutputFile) each what they are.
    ///
    /// Nothing of it counts before [`OutputWriter::finish`], nor when the attempt fails: the next one begins anew. Blocks as writing files
    /// does, and for the host's answer, so asynchronous processors do it in `spawn_blocking`.
    ///
    /// # Errors
    /// When the host has no place for it, for want of space above all. With `?` this becomes a failure that is tried again, and so do the errors
    /// of writing: the item is not at fault.
    pub fn output_writer(&self) -> io::Result<OutputWriter> {
        self.instrument.output_writer().map(OutputWriter::new)
    }

    /// Which try this is, counting from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The stable number of this worker's place, `0..workers`.
    #[must_use]
    pub fn slot(&self) -> SlotNumber {
        self.slot
    }
}

/// Handed to [`crate::Processor::start`].
pub struct StartContext<'a> {
    instrument: &'a dyn Instrument,
    slot: SlotNumber,
}

impl<'a> StartContext<'a> {
    /// A context over an instrument.
    #[must_use]
    pub fn new(instrument: &'a dyn Instrument, slot: SlotNumber) -> Self {
        Self { instrument, slot }
    }

    /// Enters a named stage of the start.
    pub fn stage(&self, name: &str) {
        self.instrument.stage(name);
    }

    /// Reports `done` of `total` units.
    pub fn progress(&self, done: u64, total: u64) {
        self.instrument.progress(done, total);
    }

    /// The stable number of this worker's place, `0..workers`.
    #[must_use]
    pub fn slot(&self) -> SlotNumber {
        self.slot
    }
}
