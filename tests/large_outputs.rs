//! Large outputs go into the store beside the driver, which waits for no disk.

mod support;

use cofferdam::{Isolation, Key, OutcomeResult, StoreOptions, dense};
use cofferdam_checkpoint::RealDisk;
use cofferdam_testkit::{Behaviour, Misbehave, PacedDisk, Step};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use support::{assert_complete, job, tasks};

cofferdam::worker_test!(workers: Misbehave);

/// No healthy job takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
const LARGE: usize = 3 << 20;
const ITEMS: usize = 60;
/// Outcomes that must come before the disk takes the large one: the leases of one worker may wait behind it.
const BEFORE: usize = 8;

/// A disk on which no large output is synced before the sender says so, or is gone.
fn gated() -> (Sender<()>, PacedDisk) {
    let (open, gate) = channel();
    let gate = Mutex::new(gate);
    let disk = PacedDisk::new(RealDisk::shared(), move |path: &Path, step: Step| {
        let is_large = path.parent().is_some_and(|dir| dir.ends_with("staging"));
        if is_large && step == Step::Sync {
            // An error says that the gate stands open for good.
            let _ = gate.lock().expect("nobody panics here").recv();
        }
    });
    (open, disk)
}

/// Outcomes that others wait for come while the disk has not taken a large one.
fn assert_passes(isolation: Isolation) {
    let dir = tempfile::tempdir().expect("a directory");
    let (open, disk) = gated();
    // Slow enough to come after the large one.
    let mut behaviours = vec![Behaviour::Sleep { ms: 20 }; ITEMS];
    behaviours[0] = Behaviour::Large(LARGE);
    let tasks = tasks(&behaviours);
    let handle = job(dir.path(), workers::program())
        .isolation(isolation)
        .store_options(StoreOptions { disk: disk.shared(), ..StoreOptions::default() })
        .start(dense(move || tasks.clone()))
        .expect("the job starts");
    let (tell, told) = channel();
    let mut outcomes = handle.outcomes();
    let reader = std::thread::spawn(move || {
        for outcome in &mut outcomes {
            let outcome = outcome.expect("a readable outcome");
            let OutcomeResult::Completed(done) = outcome.result else { panic!("{:?}", outcome.result) };
            tell.send((outcome.key, done.ballast.len())).expect("the test listens");
        }
    });
    let next = || told.recv_timeout(PATIENCE).expect("an outcome although a large one waits for the disk");
    let before: Vec<_> = (0..BEFORE).map(|_| next()).collect();
    assert!(before.iter().all(|(_, len)| *len == 0), "{before:?}");
    drop(open);
    let rest: Vec<_> = (BEFORE..ITEMS).map(|_| next()).collect();
    assert!(rest.contains(&(Key::Ordinal(0), LARGE)));
    reader.join().expect("it only reads");
    assert_complete(&handle.wait().expect("a report"));
}

#[test]
fn small_outcomes_pass_a_large_one_that_waits_for_the_disk() {
    assert_passes(Isolation::Process);
}

#[test]
fn in_threads_they_pass_it_too() {
    assert_passes(Isolation::Thread);
}
