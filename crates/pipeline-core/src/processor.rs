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
    /// What comes out. A large one is encoded twice: to find that it is, and into its file.
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

/// What is done to each item where that is mostly waiting, for a network above all: one worker works on many items at once.
///
/// The futures of a worker share one thread and a tokio runtime with timers and sockets (`current_thread`), so what computes for
/// long belongs into `spawn_blocking` or a [`Processor`]. A job runs it as [`crate::Concurrent`].
///
/// Blame is exact: a panic is charged to the item whose future panicked. When the process ends otherwise, all items that were
/// open are suspects, and each is tried alone. An item that is cancelled, and all when the job stops, are dropped at their next
/// `.await`, as tokio drops what it aborts; [`Context::check`] works, too.
pub trait AsyncProcessor: Sized + 'static {
    /// As [`Processor::NAME`].
    const NAME: &'static str;
    /// As [`Processor::VERSION`].
    const VERSION: u32;
    /// As [`Processor::Item`].
    type Item: Serialize + DeserializeOwned + Send + 'static;
    /// As [`Processor::Output`].
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// As [`Processor::Config`].
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// Opens what all items of a worker share: clients, pools.
    ///
    /// # Errors
    /// As [`Processor::start`].
    fn start(config: Self::Config, cx: &StartContext<'_>) -> impl Future<Output = Result<Self, Failure>>;

    /// Handles one item while others are under way.
    ///
    /// # Errors
    /// As [`Processor::process`].
    fn process(
        &self,
        item: Self::Item,
        cx: &Context<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure>>;

    /// Awaited before a worker leaves in an orderly way.
    fn stop(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}
