//! The verdict on a worker: pure, from what is known about its end.

use crate::protocol::exit_code;
use crate::recorder::{PanicRecord, Phase};
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
    /// How it broke the protocol.
    pub(super) violation: Option<String>,
}

/// What its recorder says. The worker can forge it, so it never decides alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) phase: Phase,
    pub(super) panic: Option<PanicRecord>,
    pub(super) has_open: bool,
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
    let natural = natural(&findings.raw, record);
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

fn natural(raw: &RawExit, record: Option<&Record>) -> Exit {
    match raw {
        RawExit::Code(code) => {
            as_panic(*code == i32::from(exit_code::PANIC), record).unwrap_or(Exit::Code(*code))
        }
        RawExit::Signal { number, name } => {
            let exit = Exit::Signal { number: *number, name };
            // With `panic = "abort"` a panic ends in SIGABRT; the phase tells it from an abort after a panic that was caught.
            as_panic(*name == "SIGABRT", record.filter(|record| record.phase == Phase::Panicked))
                .unwrap_or(exit)
        }
        RawExit::Unknown => Exit::Unknown,
        RawExit::Immortal => Exit::Abandoned,
    }
}

fn as_panic(is_possible: bool, record: Option<&Record>) -> Option<Exit> {
    let panic = record?.panic.as_ref().filter(|_| is_possible)?;
    Some(Exit::Panic { message: panic.message.clone(), location: panic.location.clone() })
}

fn before_handshake(findings: &Findings) -> String {
    match (&findings.refusal, &findings.our_kill) {
        (Some(refusal), Some(_)) => refusal.clone(),
        (Some(refusal), None) => format!("{refusal}; it {}", natural(&findings.raw, None)),
        (None, Some(KillReason::TimeLimit(_, after))) => {
            format!("no handshake within {after:?}: {WORKER_LINE}")
        }
        (None, _) => format!("it {} before the handshake: {WORKER_LINE}", natural(&findings.raw, None)),
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
