//! What only some systems tell.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{cpu_of_children, cpu_of_this_process, kill, monotonic_nanos, read_at};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub use other::{cpu_of_children, cpu_of_this_process, kill, monotonic_nanos, read_at};
