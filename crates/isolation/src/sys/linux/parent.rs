//! How a worker follows its host into death.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::io;

/// The highest signal number.
pub(crate) const SIGNAL_MAX: i32 = 64;

/// Has the kernel kill this process when the host's thread that spawned it ends. The setting belongs to the calling
/// thread, which must stay. It catches even a worker that is stopped or does not read its socket.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
