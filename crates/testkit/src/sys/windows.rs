/// There are no signals: ends the process with the number as its code.
#[allow(clippy::disallowed_methods, reason = "misbehaving is the point")]
pub(crate) fn raise(number: i32) {
    std::process::exit(number);
}

/// The parent is not known: ends this process.
#[allow(clippy::disallowed_methods, reason = "misbehaving is the point")]
pub(crate) fn kill_parent() {
    std::process::abort();
}

/// Handles cannot be guessed: nothing is written.
pub(crate) fn garbage() {}
