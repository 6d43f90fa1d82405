//! A child of this program at the other end of a stream.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Stream, child_with_stream, stream_of_child, sync_dir};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub use other::{Stream, child_with_stream, stream_of_child, sync_dir};
