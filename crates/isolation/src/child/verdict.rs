//! The verdict on a worker: pure, from what is known about its end.

use crate::protocol::exit_code;
use crate::recorder::{PanicRecord, Phase, SignalRecord, StackRange};
use crate::sys::status::RawExit;
use cofferdam_pipeline_core::{Exit, KillReason};

/// What the threads around a worker have learned by the time it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// What the system says.
    pub(super) raw: RawExit,
    /// Why we killed it, if the kill was sent while it was still running.
    pub(super) our_kill: Option<KillReason>,
    /// The handshake was done.
    pub(super) greeted: bool,
    /// Why the handshake failed.
    pub(super) refusal: Option<String>,
    /// `Processor::start` was done.
    pub(super) ready: bool,
    /// It said goodbye after it was asked to stop.
    pub(super) stopped: bool,
    /// What `Processor::start` returned.
    pub(super) start_failure: Option<String>,
    /// The kernel says that it killed a process of ours for want of memory.
    pub(super) out_of_memory: bool,
    /// What it said of its end on stderr.
    pub(super) last_words: LastWords,
    /// How it broke the protocol.
    pub(super) violation: Option<String>,
}

/// What its recorder says. The worker can forge it, so it never decides alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) phase: Phase,
    pub(super) panic: Option<PanicRecord>,
    pub(super) has_open: bool,
    pub(super) signal: Option<SignalRecord>,
    pub(super) stack: Option<StackRange>,
    pub(super) backtrace: String,
}

impl Findings {
    /// Whether it was killed and not by us, as far as its exit tells.
    pub(super) fn is_strangers_kill(&self) -> bool {
        self.our_kill.is_none() && matches!(self.raw, RawExit::Signal { name: "SIGKILL", .. })
    }
}

/// How it ended. What really happened comes before what we intended: a kill of ours only counts when the end looks like one.
pub(super) fn judge(findings: &Findings, record: Option<&Record>) -> Exit {
    if findings.raw == RawExit::Immortal {
        return Exit::Abandoned;
    }
    let killed_by_us = findings.our_kill.filter(|_| findings.raw.looks_like_our_kill());
    match killed_by_us {
        Some(reason @ (KillReason::Cancelled | KillReason::JobOver)) => Exit::Killed(reason),
        _ if !findings.greeted => Exit::SpawnFailed(before_handshake(findings)),
        Some(KillReason::TimeLimit(limit, after)) => Exit::TimedOut { limit, after },
        Some(KillReason::ProtocolViolation) => Exit::ProtocolViolation(breach(findings)),
        Some(other) => Exit::Killed(other),
        None => by_itself(findings, record),
    }
}

fn breach(findings: &Findings) -> String {
    findings.violation.clone().unwrap_or_else(|| "it answered what it was not asked".into())
}

fn by_itself(findings: &Findings, record: Option<&Record>) -> Exit {
    let natural = natural(findings, record);
    let lost_host = natural == Exit::Code(exit_code::HOST_LOST.into());
    match &findings.violation {
        // The host is here: the worker spoilt its end of the connection.
        None if lost_host => return Exit::ProtocolViolation("it lost the connection to its host".into()),
        // Memory that is torn up often spoils the socket first: the signal says more. But a worker that broke the
        // protocol and then left, or was killed by a stranger, is judged by the breach.
        Some(what) if !is_crash_signal(&natural) => return Exit::ProtocolViolation(what.clone()),
        Some(_) | None => {}
    }
    if !findings.ready {
        let what = findings.start_failure.clone().unwrap_or_else(|| natural.to_string());
        return Exit::StartFailed(what);
    }
    let left_in_order = natural == Exit::Code(exit_code::STOPPED.into())
        && findings.stopped
        && !record.is_some_and(|record| record.has_open);
    if left_in_order { Exit::Stopped } else { natural }
}

fn natural(findings: &Findings, record: Option<&Record>) -> Exit {
    match &findings.raw {
        RawExit::Code(code) => {
            as_panic(*code == i32::from(exit_code::PANIC), record).unwrap_or(Exit::Code(*code))
        }
        RawExit::Signal { number, name } => by_signal(findings, *number, name, record),
        RawExit::Unknown => Exit::Unknown,
        RawExit::Immortal => Exit::Abandoned,
    }
}

fn by_signal(findings: &Findings, number: i32, name: &'static str, record: Option<&Record>) -> Exit {
    // With `panic = "abort"` a panic ends in SIGABRT; the phase tells it from an abort after a panic that was caught.
    let panicked = record.filter(|record| name == "SIGABRT" && record.phase == Phase::Panicked);
    if let Some(panic) = as_panic(panicked.is_some(), panicked) {
        return panic;
    }
    let caught = record.and_then(|record| record.signal);
    let overflowed = || {
        let stack = record.and_then(|record| record.stack.as_ref());
        // Only the standard library's handler turns a fault into these words and an abort.
        let said_so = name == "SIGABRT" && findings.last_words.stack_overflowed;
        caught.is_some_and(|signal| signal.is_stack_overflow(stack) || (said_so && signal.code > 0))
    };
    match name {
        "SIGKILL" if findings.out_of_memory => return Exit::OutOfMemory,
        "STACK_OVERFLOW" => return Exit::StackOverflow,
        "NO_MEMORY" => return Exit::AllocationFailed { bytes: None },
        // The standard library's handler says so and aborts.
        "SIGSEGV" | "SIGBUS" | "SIGABRT" if overflowed() => return Exit::StackOverflow,
        "SIGABRT" | "FAIL_FAST" => {
            if let Some(bytes) = findings.last_words.allocation_failed {
                return Exit::AllocationFailed { bytes };
            }
        }
        _ => {}
    }
    let has_address = matches!(name, "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGTRAP");
    let fault = caught.filter(|signal| has_address && signal.number == number && signal.code > 0);
    Exit::Signal { number, name, address: fault.map(|signal| signal.address) }
}

/// What runtimes write before they abort. It is only words, which a worker can forge: they give the abort a name, nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastWords {
    stack_overflowed: bool,
    /// How much memory was asked for, where it is said.
    allocation_failed: Option<Option<u64>>,
}

impl LastWords {
    pub(super) fn in_stderr(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr);
        let allocation_failed = text.lines().rev().find_map(|line| {
            if let Some((_, rest)) = line.split_once("memory allocation of ") {
                return Some(rest.split(' ').next()?.parse().ok());
            }
            line.contains("std::bad_alloc").then_some(None)
        });
        Self { stack_overflowed: text.contains(" has overflowed its stack"), allocation_failed }
    }
}

fn as_panic(is_possible: bool, record: Option<&Record>) -> Option<Exit> {
    let panic = record?.panic.as_ref().filter(|_| is_possible)?;
    let PanicRecord { message, location } = panic.clone();
    Some(Exit::Panic { message, location, backtrace: record?.backtrace.clone() })
}

fn before_handshake(findings: &Findings) -> String {
    match (&findings.refusal, &findings.our_kill) {
        (Some(refusal), Some(_)) => refusal.clone(),
        (Some(refusal), None) => format!("{refusal}; it {}", natural(findings, None)),
        (None, Some(KillReason::TimeLimit(_, after))) => {
            format!("no handshake within {after:?}: {WORKER_LINE}")
        }
        (None, _) => format!("it {} before the handshake: {WORKER_LINE}", natural(findings, None)),
    }
}

const WORKER_LINE: &str = "does its main begin with the worker line?";

fn is_crash_signal(exit: &Exit) -> bool {
    match exit {
        Exit::Signal { name, .. } => {
            !matches!(*name, "SIGKILL" | "SIGTERM" | "SIGHUP" | "SIGINT" | "SIGPIPE")
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
