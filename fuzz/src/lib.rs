//! Fuzz targets that need no more than the public surface, and the replay of their corpora.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod directory;

pub use directory::directory;
