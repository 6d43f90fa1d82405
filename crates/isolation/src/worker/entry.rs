//! The worker line: returns in the host, never in a worker.

use super::role::Role;
use super::{Registration, child};
use std::sync::atomic::{AtomicBool, Ordering};

static HAS_WORKER_LINE: AtomicBool = AtomicBool::new(false);

/// Turns this process into a worker if a host started it as one, and never returns then; returns at once otherwise.
///
/// Must come before anything else in `main`: whatever precedes it also happens in every worker.
pub fn worker_entry(registrations: &[Registration]) {
    HAS_WORKER_LINE.store(true, Ordering::Relaxed);
    if let Some(role) = Role::take() {
        child::run(&role, registrations)
    }
}

/// Whether [`worker_entry`] was called: without it, a worker of this executable would run `main` as the host does.
#[must_use]
pub fn has_worker_line() -> bool {
    HAS_WORKER_LINE.load(Ordering::Relaxed)
}
