//! The supervisor: a pure state machine from (state, input, now) to commands.

mod command;
mod input;

pub use command::{Command, Commit, Ended, Settled};
pub use input::{Control, Input, Prior};

use crate::{Policy, Time};
use std::collections::BTreeMap;

/// Decides everything about a running job. Performs nothing: see [`Command`].
#[derive(Debug)]
pub struct Supervisor {
    _policy: Policy,
}

/// What a session has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Items fed by the source in this session.
    pub fed: u64,
    /// Durable outcomes of this session, completed.
    pub completed: u64,
    /// Durable outcomes of this session, failed.
    pub failed: u64,
    /// Durable outcomes of this session, quarantined.
    pub quarantined: u64,
    /// Attempts that began (their result or their crash was seen).
    pub attempts: u64,
    /// Items that wait for another attempt or a trial.
    pub waiting: u64,
    /// Deaths of workers with an item open, by [`crate::Exit::kind`].
    pub crashes: BTreeMap<String, u64>,
    /// Workers spawned.
    pub workers_started: u64,
    /// Workers alive and ready.
    pub workers_ready: u32,
}

impl Supervisor {
    /// A supervisor in its first state; `allow_threads` lets it fall back when isolation itself cannot start.
    #[must_use]
    pub fn new(policy: Policy, _allow_threads: bool) -> Self {
        Self { _policy: policy }
    }

    /// Takes one input and appends the commands that follow from it. Call it once with [`Input::Tick`] to begin.
    pub fn step(&mut self, _input: Input, _now: Time, _commands: &mut Vec<Command>) {}

    /// When to call with [`Input::Tick`] if nothing else happens first.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
