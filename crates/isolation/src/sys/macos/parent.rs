//! How a worker follows its host into death.

use std::io;

/// The highest signal number.
pub(crate) const SIGNAL_MAX: i32 = 31;

/// There is no such request here: the end of the socket, which the I/O thread waits for, has to do.
#[expect(clippy::unnecessary_wraps, reason = "the same surface on every system")]
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(())
}
