//! Somebody kills workers again and again while items take long. Alone in its binary: it kills any child of this process.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod support;

use cofferdam::Ended;
use cofferdam_testkit::{Behaviour, Misbehave};
use std::process::Command;
use std::time::Duration;
use support::{job, tasks};

cofferdam::worker_test!(workers: Misbehave);

const ITEMS: usize = 2;
const KILLS: usize = 40;
const EVERY: Duration = Duration::from_millis(85);

#[test]
fn items_that_take_longer_than_a_storm_of_kills_lets_them_live_are_not_set_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    let items = tasks(&vec![Behaviour::Sleep { ms: 400 }; ITEMS]);
    // Nothing completes in the storm: with the usual budget the job would end with everything pending.
    let policy = cofferdam::Policy {
        workers: std::num::NonZeroU32::new(2).expect("two"),
        restarts: cofferdam::RestartBudget {
            deaths_max: 1_000,
            backoff_first: Duration::from_millis(1),
            ..cofferdam::RestartBudget::default()
        },
        ..cofferdam::Policy::default()
    };
    let handle = job(dir.path(), workers::program())
        .policy(policy)
        .start(cofferdam::dense(move || items.clone()))
        .expect("the job starts");
    let mut kills = 0;
    for round in 0..10 * KILLS {
        support::pause(EVERY); // the storm itself
        kills += usize::from(kill_a_child(round));
        if kills == KILLS {
            break;
        }
    }
    let report = handle.wait().expect("a report");
    assert_eq!(kills, KILLS);
    assert_eq!(report.ended, Ended::Complete, "{report:?}");
    assert_eq!((report.completed, report.quarantined), (ITEMS as u64, 0), "{report:?}");
    assert!(report.crashes["SIGKILL"] > 4 * ITEMS as u64, "nobody was hit five times: {report:?}");
}

/// Kills one of the children of this process, now this one and now that.
fn kill_a_child(round: usize) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("own threads");
    let children: Vec<String> = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let Some(child) = children.get(round % children.len().max(1)) else { return false };
    Command::new("kill").args(["-9", child]).status().is_ok_and(|status| status.success())
}
