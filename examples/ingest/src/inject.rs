//! `--inject KIND:GLOB`: misbehaviour on demand, to see the engine at work and to test it.

use crate::engine::{Context, Failure};
use crate::sys;
use globset::{Candidate, Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mischief {
    /// Aborts.
    Abort,
    /// Writes to an address that is not mapped.
    Segv,
    /// Recurses without end.
    StackOverflow,
    /// Waits for ever, without using the processor and without looking at `check()`.
    Hang,
    /// Computes for ever.
    Spin,
    /// Ends the process as if all were well.
    Exit0,
    /// Panics.
    Panic,
    /// Writes junk into the worker's descriptors, then goes on.
    Garbage,
    /// Returns a failure.
    Fail,
    /// Crashes on the first attempt only, by an abort.
    Flaky,
    /// Crashes on the first attempt only, by a panic: what `flaky` is in thread mode.
    FlakyPanic,
    /// Ends the host as a kill -9 would, and waits for what follows.
    KillHost,
    /// Takes 50 ms more.
    Slow,
}

const SLOW: Duration = Duration::from_millis(50);

const KINDS: &[(&str, Mischief)] = &[
    ("abort", Mischief::Abort),
    ("segv", Mischief::Segv),
    ("stack-overflow", Mischief::StackOverflow),
    ("hang", Mischief::Hang),
    ("spin", Mischief::Spin),
    ("exit0", Mischief::Exit0),
    ("panic", Mischief::Panic),
    ("garbage", Mischief::Garbage),
    ("fail", Mischief::Fail),
    ("flaky", Mischief::Flaky),
    ("kill-host", Mischief::KillHost),
    ("slow", Mischief::Slow),
];

const LATER: &[&str] = &["oom", "leak", "stop"];

/// `KIND:GLOB` is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no colon.
    #[error("expected KIND:GLOB, such as abort:*.pdf")]
    NoColon,
    /// The kind will exist one day.
    #[error("the kind '{0}' comes later; this version knows {kinds}", kinds = kind_names())]
    Later(String),
    /// There is no such kind.
    #[error("there is no kind '{0}'; there are {kinds}", kinds = kind_names())]
    UnknownKind(String),
    /// The glob is malformed.
    #[error("{0}")]
    Glob(#[from] globset::Error),
}

fn kind_names() -> String {
    KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// One `KIND:GLOB`. The glob is matched against the whole key; `*` matches `/` too.
#[derive(Clone, Debug)]
pub struct Rule {
    mischief: Mischief,
    glob: GlobMatcher,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (kind, glob) = text.split_once(':').ok_or(RuleError::NoColon)?;
        if LATER.contains(&kind) {
            return Err(RuleError::Later(kind.to_owned()));
        }
        let known = KINDS.iter().find(|(name, _)| *name == kind);
        let (_, mischief) = known.ok_or_else(|| RuleError::UnknownKind(kind.to_owned()))?;
        Ok(Self { mischief: *mischief, glob: Glob::new(glob)?.compile_matcher() })
    }
}

impl Rule {
    /// Whether this would end the host, or write into its files, if the processor ran inside it.
    pub fn needs_process(&self) -> bool {
        match self.mischief {
            Mischief::Abort
            | Mischief::Segv
            | Mischief::StackOverflow
            | Mischief::Exit0
            | Mischief::Garbage
            | Mischief::KillHost => true,
            Mischief::Hang | Mischief::Spin | Mischief::Panic | Mischief::Fail | Mischief::Slow => false,
            Mischief::Flaky | Mischief::FlakyPanic => false,
        }
    }

    /// The rule for a processor that runs inside the host.
    pub fn in_thread(mut self) -> Self {
        if self.mischief == Mischief::Flaky {
            self.mischief = Mischief::FlakyPanic;
        }
        self
    }

    /// The kind as the user wrote it.
    pub fn kind(&self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self.mischief).map_or("flaky", |(name, _)| name)
    }
}

/// What the first rule that matches `key` wants.
pub fn mischief_for(rules: &[Rule], key: &[u8]) -> Option<Mischief> {
    let candidate = Candidate::from_bytes(key);
    rules.iter().find(|rule| rule.glob.is_match_candidate(&candidate)).map(|rule| rule.mischief)
}

impl Mischief {
    /// Misbehaves. Returns only for the kinds that go on.
    ///
    /// # Errors
    /// For `fail`.
    pub fn commit(self, cx: &Context<'_>) -> Result<(), Failure> {
        cx.stage("inject");
        match self {
            Self::Abort => std::process::abort(),
            Self::Segv => sys::segfault(),
            Self::StackOverflow => drop(overflow(0)),
            Self::Hang => loop {
                std::thread::park();
            },
            Self::Spin => loop {
                std::hint::spin_loop();
            },
            Self::Exit0 => std::process::exit(0),
            Self::Panic => panic!("injected panic"),
            Self::Garbage => sys::write_garbage()?,
            Self::Fail => return Err(Failure::invalid_input("injected failure")),
            Self::Flaky if cx.attempt() == 1 => std::process::abort(),
            Self::FlakyPanic if cx.attempt() == 1 => panic!("injected panic on the first attempt"),
            Self::Flaky | Self::FlakyPanic => {}
            Self::KillHost => {
                sys::kill_parent()?;
                loop {
                    std::thread::park();
                }
            }
            Self::Slow => std::thread::sleep(SLOW),
        }
        Ok(())
    }
}

/// Large frames, so that the guard page is reached soon; the result depends on the frame, so that none is optimised away.
#[expect(unconditional_recursion, reason = "that is the purpose")]
fn overflow(depth: u64) -> [u64; 512] {
    let frame = std::hint::black_box([depth; 512]);
    let mut below = overflow(frame[7] + 1);
    below[0] ^= std::hint::black_box(frame)[0];
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_rule_that_matches_the_whole_key_wins() {
        let rules = rules(&["abort:bad/*", "fail:*.pdf"]);

        assert_eq!(mischief_for(&rules, b"bad/a.pdf"), Some(Mischief::Abort));
        assert_eq!(mischief_for(&rules, b"good/deep/a.pdf"), Some(Mischief::Fail));
        assert_eq!(mischief_for(&rules, b"very/bad/a.txt"), None);
    }

    #[test]
    fn keys_that_are_not_utf8_match_too() {
        assert_eq!(mischief_for(&rules(&["hang:caf?.txt"]), b"caf\xe9.txt"), Some(Mischief::Hang));
    }

    #[test]
    fn a_glob_may_hold_colons_and_braces() {
        assert_eq!(mischief_for(&rules(&["slow:{a:b,c}"]), b"a:b"), Some(Mischief::Slow));
    }

    #[test]
    fn every_kind_of_the_manual_is_understood() {
        for kind in "abort segv stack-overflow hang spin exit0 panic garbage fail flaky slow".split(' ') {
            assert_eq!(format!("{kind}:*").parse::<Rule>().unwrap().kind(), kind);
        }
    }

    #[test]
    fn kinds_of_later_versions_are_refused_by_name() {
        for kind in ["oom", "leak", "stop"] {
            let error = format!("{kind}:*").parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(&format!("'{kind}' comes later")), "{error}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        assert_eq!("abort".parse::<Rule>().unwrap_err(), RuleError::NoColon);
        assert!("explode:*".parse::<Rule>().unwrap_err().to_string().contains("stack-overflow"));
        assert!(matches!("abort:[".parse::<Rule>().unwrap_err(), RuleError::Glob(_)));
    }
}
