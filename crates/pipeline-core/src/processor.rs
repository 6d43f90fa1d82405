//! The user's code.

use crate::{Context, Failure, StartContext};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What is done to each item; the same type runs in a thread or in a child process.
///
/// Processing is **at least once**; committing an outcome is **exactly once**. A processor with side effects should
/// make them idempotent per item.
pub trait Processor: Sized + 'static {
    /// Identifies the processor in stores and in a worker's registry; never change it for the life of a job.
    const NAME: &'static str;
    /// Raise it when outputs change meaning: resuming a job of another version asks the host what to do.
    const VERSION: u32;
    /// What is processed. It crosses a process boundary by value (paths as bytes, not `PathBuf`).
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// What comes out.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// What `start` needs; a part of the job's identity.
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// Loads what is needed once per worker (models, tables).
    ///
    /// # Errors
    /// A failure costs restarts, not items; [`crate::FailureKind::Fatal`] stops the job at once.
    fn start(config: Self::Config, cx: &StartContext<'_>) -> Result<Self, Failure>;

    /// Handles one item. It may crash, hang or never return: that is what the library is for.
    ///
    /// # Errors
    /// The [`Failure`]'s kind decides about retries. Any `std::error::Error` converts with `?`.
    fn process(&mut self, item: Self::Item, cx: &Context<'_>) -> Result<Self::Output, Failure>;

    /// Called between items when memory is short: drop caches.
    fn release_memory(&mut self) {}

    /// Called before a worker leaves in an orderly way.
    fn stop(&mut self) {}
}
