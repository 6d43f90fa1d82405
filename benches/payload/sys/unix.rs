//! The stream is a socket pair whose other end is the child's stdin.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A blocking stream.
pub type Stream = std::os::unix::net::UnixStream;

/// Starts `command`; the stream to it.
pub fn child_with_stream(mut command: Command) -> io::Result<(Child, Stream)> {
    let (ours, theirs) = Stream::pair()?;
    let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    Ok((child, ours))
}

/// In the child: the stream.
pub fn stream_of_child() -> io::Result<Stream> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
