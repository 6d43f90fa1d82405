//! The engine's names, in one place.

pub use cofferdam_pipeline_core::{Context, Evidence, Failure, FailureKind, Fingerprint, Instrument, Interrupted, ItemSource, Keying, Processor, SlotNumber, SourceError, SourceItem, StartContext};
