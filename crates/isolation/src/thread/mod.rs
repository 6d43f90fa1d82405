//! Workers that are threads of their host: the same bytes, the same blame, and no protection.
//!
//! A crash other than a panic ends the host, and a thread cannot be killed. So this is for processors that are trusted,
//! for tests, and for when isolation itself cannot start.

mod executor;
mod link;
mod settings;
mod worker;

pub use executor::ThreadExecutor;
pub(crate) use link::MemoryLink;
pub use settings::ThreadSettings;
