//! How a worker ended, in neutral terms that are the same on every operating system.

use std::fmt;
use std::time::Duration;

/// Which limit expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeLimit {
    /// Wall time of one item.
    Item,
    /// From spawn to the end of `Processor::start`.
    Start,
    /// Asked to stop and did not within the grace.
    Stop,
    /// One item went on without a sign: no new stage, progress, message or breadcrumb.
    Stall,
    /// The whole worker stood still: not even its heartbeat, which has a thread of its own, went on. Somebody stopped the
    /// process (SIGSTOP, a debugger, a freezer).
    Heartbeat,
}

/// Why we killed a worker; recorded before the kill, so that it is never mistaken for somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KillReason {
    /// A time limit expired.
    TimeLimit(TimeLimit, Duration),
    /// The peer broke the protocol and cannot be trusted with another message.
    ProtocolViolation,
    /// The job was cancelled.
    Cancelled,
    /// An item was cancelled and did not end by itself.
    ItemCancelled,
    /// The job is over and the worker did not leave by itself.
    JobOver,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// Left when asked to, with nothing open.
    Stopped,
    /// Ended by a signal that was not ours.
    Signal {
        /// The number on the host's system.
        number: i32,
        /// Its name, such as `SIGSEGV`.
        name: &'static str,
        /// The address that faulted, where the worker's handler saw one.
        address: Option<u64>,
    },
    /// A thread used up its stack, in Rust or in native code.
    StackOverflow,
    /// Memory was asked for that could not be had, and the program gave up.
    AllocationFailed {
        /// How much was asked for, where it was said.
        bytes: Option<u64>,
    },
    /// The system ended it because memory ran out.
    OutOfMemory,
    /// A Rust panic.
    Panic {
        /// The panic's message.
        message: String,
        /// `file:line:column`, empty when unknown.
        location: String,
        /// The calls that led to it, innermost first; empty when unknown.
        backtrace: String,
    },
    /// Exited by itself with this code, 0 too.
    Code(i32),
    /// Killed by us because a limit expired.
    TimedOut {
        /// Which one.
        limit: TimeLimit,
        /// How long it was.
        after: Duration,
    },
    /// Sent something that the protocol does not allow.
    ProtocolViolation(String),
    /// The process could not be created.
    SpawnFailed(String),
    /// Ended, or was ended, before `Processor::start` returned; or `start` failed.
    StartFailed(String),
    /// Killed by us, for a reason that blames nobody.
    Killed(KillReason),
    /// A thread that did not stop was abandoned.
    Abandoned,
    /// It is gone and nobody can tell how (a host that ignores SIGCHLD, say).
    Unknown,
}

impl Exit {
    /// A short stable name for counters and reports: `SIGSEGV`, `panic`, `exit(0)`, `time-limit`, …
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Stopped => "stopped".into(),
            Self::Signal { name, .. } => (*name).into(),
            Self::StackOverflow => "stack-overflow".into(),
            Self::AllocationFailed { .. } => "allocation-failed".into(),
            Self::OutOfMemory => "out-of-memory".into(),
            Self::Panic { .. } => "panic".into(),
            Self::Code(code) => format!("exit({code})"),
            Self::TimedOut { limit: TimeLimit::Item, .. } => "time-limit".into(),
            Self::TimedOut { limit: TimeLimit::Start, .. } => "start-time-limit".into(),
            Self::TimedOut { limit: TimeLimit::Stop, .. } => "stop-time-limit".into(),
            Self::TimedOut { limit: TimeLimit::Stall, .. } => "stalled".into(),
            Self::TimedOut { limit: TimeLimit::Heartbeat, .. } => "no-heartbeat".into(),
            Self::ProtocolViolation(_) => "protocol-violation".into(),
            Self::SpawnFailed(_) => "spawn-failed".into(),
            Self::StartFailed(_) => "start-failed".into(),
            Self::Killed(_) => "killed-by-us".into(),
            Self::Abandoned => "abandoned".into(),
            Self::Unknown => "unknown".into(),
        }
    }

    /// Whether somebody outside did this, which charges nobody: a SIGKILL or SIGTERM of unknown origin, or a worker that was
    /// stopped as a whole until its heartbeat's limit.
    #[must_use]
    pub fn is_foreign_kill(&self) -> bool {
        matches!(
            self,
            Self::Signal { name: "SIGKILL" | "SIGTERM", .. }
                | Self::TimedOut { limit: TimeLimit::Heartbeat, .. }
        )
    }

    /// Whether a kill of ours ended it for a reason that no item is to blame for.
    #[must_use]
    pub fn is_blameless(&self) -> bool {
        matches!(self, Self::Stopped | Self::Killed(_) | Self::TimedOut { limit: TimeLimit::Stop, .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { message, location, .. } if !location.is_empty() => {
                write!(f, "panicked at {location}: {message}")
            }
            Self::Panic { message, .. } => write!(f, "panicked: {message}"),
            Self::Signal { number, name, address: Some(address) } => {
                write!(f, "ended by {name} ({number}) at address {address:#x}")
            }
            Self::Signal { number, name, address: None } => write!(f, "ended by {name} ({number})"),
            Self::StackOverflow => write!(f, "overflowed a stack"),
            Self::AllocationFailed { bytes: Some(bytes) } => {
                write!(f, "could not have {bytes} bytes of memory")
            }
            Self::AllocationFailed { bytes: None } => write!(f, "could not have more memory"),
            Self::OutOfMemory => write!(f, "ended by the system, which was out of memory"),
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::TimedOut { limit: TimeLimit::Item, after } => write!(f, "no result after {after:?}"),
            Self::TimedOut { limit: TimeLimit::Start, after } => write!(f, "not ready after {after:?}"),
            Self::TimedOut { limit: TimeLimit::Stop, after } => write!(f, "did not stop within {after:?}"),
            Self::TimedOut { limit: TimeLimit::Stall, after } => {
                write!(f, "no sign of progress for {after:?}")
            }
            Self::TimedOut { limit: TimeLimit::Heartbeat, after } => write!(f, "stood still for {after:?}"),
            Self::ProtocolViolation(what) => write!(f, "broke the protocol: {what}"),
            Self::SpawnFailed(what) => write!(f, "could not be started: {what}"),
            Self::StartFailed(what) => write!(f, "start failed: {what}"),
            Self::Killed(why) => write!(f, "killed by the host ({why:?})"),
            Self::Stopped => write!(f, "stopped when asked"),
            Self::Abandoned => write!(f, "a thread that did not stop was abandoned"),
            Self::Unknown => write!(f, "ended in an unknown way"),
        }
    }
}
