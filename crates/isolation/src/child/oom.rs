//! Tells a kill for want of memory from a stranger's.

use super::worker::lock;
use crate::sys::oom;
use std::sync::Mutex;

/// The kernel's count of such kills, as far as deaths have been explained by it.
#[derive(Debug)]
pub(super) struct OomWatch {
    explained: Mutex<Option<u64>>,
}

impl OomWatch {
    /// Kills before this moment explain nothing.
    pub(super) fn new() -> Self {
        Self { explained: Mutex::new(oom::kills()) }
    }

    /// Whether a kill that nobody has accounted for was one of these; each explains one death.
    pub(super) fn explains_a_kill(&self) -> bool {
        let mut explained = lock(&self.explained);
        match (&mut *explained, oom::kills()) {
            (Some(explained), Some(now)) if now > *explained => {
                *explained += 1;
                true
            }
            (Some(_) | None, _) => false,
        }
    }
}
