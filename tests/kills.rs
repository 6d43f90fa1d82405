//! Workers killed from outside at random instants. Alone in its binary: it kills any child of this process.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod support;

use cofferdam::Ended;
use cofferdam_testkit::{Behaviour, Misbehave, Task};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use support::{job, tasks};

cofferdam::worker_test!(workers: Misbehave);

/// Random, but the same at every run.
fn delays(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(1_000 + (state >> 33) % 40_000)
    })
}

#[test]
fn workers_killed_at_100_random_instants_lose_nothing_and_convict_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let items: Vec<Task> = tasks(&vec![Behaviour::Sleep { ms: 2 }; 3000]);
    let count = items.len();
    let handle =
        job(dir.path(), workers::program()).start(cofferdam::dense(move || items.clone())).expect("a job");
    let mut kills = 0;
    for delay in delays(100) {
        support::pause(delay);
        if kills == 100 || handle.wait_timeout(Duration::ZERO).is_some() {
            break;
        }
        kills += usize::from(kill_a_child_of(std::process::id()));
    }
    let outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
    let report = handle.wait().expect("a report");
    assert!(kills >= 50, "only {kills} kills hit");
    assert_eq!(report.ended, Ended::Complete, "{report:?}");
    let keys: BTreeSet<_> = outcomes.iter().map(|o| o.key.clone()).collect();
    assert_eq!((keys.len(), outcomes.len()), (count, count), "each item once");
    assert_eq!(report.completed, count as u64, "a kill from outside convicts nobody: {report:?}");
}

#[allow(clippy::disallowed_methods, reason = "the test is what kills")]
fn kill_a_child_of(parent: u32) -> bool {
    let children =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).expect("own threads");
    let all: Vec<String> = tasks
        .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok())
        .chain([children])
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let Some(child) = all.get(all.len() / 2) else { return false };
    Command::new("kill").args(["-9", child]).status().is_ok_and(|s| s.success())
}
