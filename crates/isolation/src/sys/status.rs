//! How a process ended, as the operating system tells it.

/// What the operating system says about a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawExit {
    /// It returned from `main` or called `exit`.
    Code(i32),
    /// A signal (on Windows: an exception) ended it.
    Signal {
        /// As the system counts them.
        number: i32,
        /// As the system's documentation spells it.
        name: &'static str,
    },
    /// It is gone and nobody can tell how: somebody else reaped it, or the host ignores SIGCHLD.
    Unknown,
    /// It is still there after everything the system offers was tried.
    Immortal,
}

impl RawExit {
    /// Whether this is what a kill by us looks like.
    pub(crate) fn looks_like_our_kill(&self) -> bool {
        match self {
            Self::Signal { name, .. } => *name == "SIGKILL",
            Self::Code(code) => *code == super::process::KILL_EXIT_CODE,
            Self::Unknown | Self::Immortal => true,
        }
    }
}
