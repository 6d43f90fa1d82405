//! The engine's names, in one place.

pub use cofferdam::{
    Context, Evidence, Failure, FailureKind, Fingerprint, ItemSource, Keying, Processor, SourceError,
    SourceItem, StartContext,
};
