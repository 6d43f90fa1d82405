//! What a processor can say about its work and ask of the engine while it runs.

use crate::{Failure, FailureKind, SlotNumber};

/// The attempt was told to stop; `?` in a processor turns it into the right [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for Failure {
    fn from(_: Interrupted) -> Self {
        Failure::new(FailureKind::Interrupted, "told to stop")
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
}

/// Handed to [`crate::Processor::process`].
pub struct Context<'a> {
    instrument: &'a dyn Instrument,
    attempt: u32,
    slot: SlotNumber,
}

impl<'a> Context<'a> {
    /// A context over an instrument; `attempt` counts from 1.
    #[must_use]
    pub fn new(instrument: &'a dyn Instrument, attempt: u32, slot: SlotNumber) -> Self {
        Self { instrument, attempt, slot }
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
