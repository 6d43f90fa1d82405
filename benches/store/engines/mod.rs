//! What the store is held against: a bare loop, and databases that sync as it does.

mod fjall;
mod raw;
mod redb;
mod sqlite;

pub use raw::{Raw, RawGroups};

use crate::support::case::Failed;
use std::path::Path;

/// Something that keeps outputs by number, and returns from a commit when they survive a power cut.
pub trait Engine: Send + Sync {
    /// Keeps `count` outputs of the numbers from `first` on; threads may call this at once.
    fn commit(&self, first: u64, count: usize) -> Result<(), Failed>;
}

/// How an engine is opened and read.
pub struct Kind {
    pub name: &'static str,
    /// Opens what is at the path, or makes it.
    pub open: fn(&Path) -> Result<Box<dyn Engine>, Failed>,
    /// Opens what is at the path, reads every output in order, and says how many there were.
    pub read: fn(&Path) -> Result<u64, Failed>,
}

/// The databases.
pub const DATABASES: &[Kind] = &[sqlite::KIND, redb::KIND, fjall::KIND];
