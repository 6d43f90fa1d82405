/// Sends this process a signal.
pub(crate) fn raise(number: i32) {
    // SAFETY: raise takes any number.
    unsafe { libc::raise(number) };
}

/// Sends the parent process SIGKILL.
pub(crate) fn kill_parent() {
    // SAFETY: both calls take and return plain numbers; an orphan's parent is pid 1, which is not ours to kill.
    unsafe {
        let parent = libc::getppid();
        if parent > 1 {
            libc::kill(parent, libc::SIGKILL);
        }
    }
}

/// Writes junk to every descriptor from 3 on.
pub(crate) fn garbage() {
    let junk = [0xA5u8; 512];
    for fd in 3..64 {
        // SAFETY: the buffer is valid; writing to a descriptor that is closed or not writable fails harmlessly.
        unsafe { libc::send(fd, junk.as_ptr().cast(), junk.len(), libc::MSG_DONTWAIT) };
    }
}
