//! What an item does to its worker.

use crate::random::Random;
use cofferdam_pipeline_core::{Exit, Failure, FailureKind};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    Good,
    /// Crashes always.
    Poison,
    /// Crashes at its first attempt.
    Flaky,
    /// Never returns and says nothing any more; only where items have a limit.
    Hang,
    /// Never returns and reports all the time; only where items have a time limit.
    Busy,
    /// Takes long, within the time limit, and reports all the time.
    Slow,
    /// Its worker is killed from outside whenever it is open (say, for its memory).
    Oom,
    /// Its worker dies right after it was closed, before the reply leaves.
    LateDeath,
    /// Its worker sends a reply that does not fit.
    Garbage,
    Invalid,
    /// Fails that often, then completes.
    Transient(u32),
    /// Says that it was interrupted though nobody asked.
    Liar,
    Fatal,
}

/// Longer than a stall may be, shorter than an item may take.
const SLOW: Duration = Duration::from_millis(700);

/// The limits on items.
#[derive(Clone, Copy, Debug)]
pub struct ItemLimits {
    pub wall: bool,
    pub stall: bool,
}

/// How an attempt goes.
#[derive(Clone, Debug)]
pub enum Fate {
    Completes,
    Fails(Failure),
    Kills(Exit),
    /// Never ends; whether it reports meanwhile.
    Hangs {
        reports: bool,
    },
    /// Completes after this time, in which it reports.
    TakesLong(Duration),
    KillsAfterwards,
    SendsGarbage,
}

impl Fate {
    pub fn reports(&self) -> bool {
        match self {
            Self::Hangs { reports } => *reports,
            Self::TakesLong(_) => true,
            Self::Completes
            | Self::Fails(_)
            | Self::Kills(_)
            | Self::KillsAfterwards
            | Self::SendsGarbage => false,
        }
    }

    /// Whether it looks at what the host wants while it is open.
    pub fn may_check(&self) -> bool {
        match self {
            Self::Completes | Self::TakesLong(_) | Self::Hangs { .. } => true,
            Self::Fails(_) | Self::Kills(_) | Self::KillsAfterwards | Self::SendsGarbage => false,
        }
    }
}

impl Nature {
    pub fn of(random: &mut Random, mischief: u64, limits: ItemLimits) -> Self {
        if !random.chance(mischief) {
            return Self::Good;
        }
        match random.below(27) {
            0..=5 => Self::Poison,
            6..=8 => Self::Flaky,
            9..=10 if limits.wall || limits.stall => Self::Hang,
            11 => Self::Oom,
            12 => Self::LateDeath,
            13..=14 => Self::Garbage,
            15..=17 => Self::Invalid,
            18..=21 => Self::Transient(1 + random.below(4) as u32),
            22 => Self::Liar,
            23 if random.chance(20) => Self::Fatal,
            24 if limits.wall => Self::Busy,
            25..=26 => Self::Slow,
            _ => Self::Good,
        }
    }

    pub fn fate(self, attempt: u32, random: &mut Random) -> Fate {
        match self {
            Self::Good => Fate::Completes,
            Self::Flaky if attempt > 1 => Fate::Completes,
            Self::Poison | Self::Flaky => Fate::Kills(crash(random)),
            Self::Hang => Fate::Hangs { reports: false },
            Self::Busy => Fate::Hangs { reports: true },
            Self::Slow => Fate::TakesLong(SLOW),
            Self::Oom => Fate::Kills(Exit::Signal { number: 9, name: "SIGKILL", address: None }),
            Self::LateDeath => Fate::KillsAfterwards,
            Self::Garbage => Fate::SendsGarbage,
            Self::Invalid => Fate::Fails(Failure::invalid_input("never")),
            Self::Transient(times) if attempt > times => Fate::Completes,
            Self::Transient(_) => Fate::Fails(failure(random)),
            Self::Liar => Fate::Fails(Failure::new(FailureKind::Interrupted, "told to stop")),
            Self::Fatal => Fate::Fails(Failure::fatal("no model")),
        }
    }

    /// Whether setting it aside is just.
    pub fn may_be_quarantined(self, crashes_max: u32) -> bool {
        match self {
            Self::Poison | Self::Hang | Self::Busy | Self::Oom | Self::LateDeath | Self::Garbage => true,
            Self::Flaky => crashes_max == 1,
            Self::Good | Self::Slow | Self::Invalid | Self::Transient(_) | Self::Liar | Self::Fatal => false,
        }
    }
}

fn crash(random: &mut Random) -> Exit {
    match random.below(4) {
        0 => Exit::Signal { number: 11, name: "SIGSEGV", address: None },
        1 => Exit::Panic { message: "boom".into(), location: String::new(), backtrace: String::new() },
        2 => Exit::Code(0),
        _ => Exit::Unknown,
    }
}

fn failure(random: &mut Random) -> Failure {
    let kind = match random.below(3) {
        0 => FailureKind::Transient,
        1 => FailureKind::Offline,
        _ => FailureKind::RateLimited { retry_after: Duration::from_millis(50) },
    };
    Failure::new(kind, "not now")
}
