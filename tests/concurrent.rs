//! Asynchronous processors: many items at once in one worker, with the same blame, in real children and in threads.

#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    AsyncProcessor, Concurrent, Context, Ended, Evidence, Failure, Isolation, Job, JobHandle, Key, Outcome,
    OutcomeResult, Report, StartContext, dense,
};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// What an item makes its future do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Does {
    /// Waits a little; the number of items that were under way then.
    Wait,
    /// Waits for ever, at an `.await`.
    WaitForEver,
    /// Computes for ever.
    Spin,
    Abort,
    Panic,
    Fail,
    /// Saves a state and fails; later attempts return it.
    Save,
    Large,
}

struct Waiter {
    under_way: Cell<u32>,
}

impl AsyncProcessor for Waiter {
    const NAME: &'static str = "waiter";
    const VERSION: u32 = 1;
    type Item = Does;
    type Output = Vec<u8>;
    type Config = ();

    async fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        tokio::task::yield_now().await;
        Ok(Self { under_way: Cell::new(0) })
    }

    async fn process(&self, does: Does, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
        cx.stage("behave");
        cx.breadcrumb(&format!("{does:?}"));
        self.under_way.set(self.under_way.get() + 1);
        let most = self.under_way.get();
        let wait =
            if does == Does::WaitForEver { Duration::from_secs(100_000) } else { Duration::from_millis(5) };
        let done = scopeguard(&self.under_way);
        tokio::time::sleep(wait).await;
        drop(done);
        match does {
            Does::Spin => loop {
                std::hint::spin_loop();
            },
            Does::Abort => std::process::abort(),
            Does::Panic => panic!("told to panic"),
            Does::Fail => Err(Failure::invalid_input("told to fail")),
            Does::Large => Ok(vec![7; 3 << 20]),
            Does::Save => match cx.saved_state() {
                Some(state) => Ok(state.to_vec()),
                None => {
                    cx.save_state(b"page 7").map_err(|error| Failure::fatal(error.to_string()))?;
                    Err(Failure::transient("told to try again"))
                }
            },
            Does::Wait | Does::WaitForEver => Ok(most.to_le_bytes().to_vec()),
        }
    }
}

/// Counts down when it is dropped, however that comes about.
fn scopeguard(count: &Cell<u32>) -> impl Drop {
    struct Down<'a>(&'a Cell<u32>);
    impl Drop for Down<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    Down(count)
}

cofferdam::worker_test!(workers: Concurrent<Waiter>);

const ITEMS: usize = 120;

fn job(store: &Path, isolation: Isolation) -> Job<Concurrent<Waiter>> {
    Job::new(store, "job", ())
        .workers(2)
        .items_at_once(8)
        .isolation(isolation)
        .worker_program(workers::program())
}

fn items(special: &[(usize, Does)]) -> Vec<Does> {
    let mut items = vec![Does::Wait; ITEMS];
    special.iter().for_each(|(place, does)| items[*place] = does.clone());
    items
}

fn start(job: Job<Concurrent<Waiter>>, items: Vec<Does>) -> JobHandle<Concurrent<Waiter>> {
    job.start(dense(move || items.clone())).expect("the job starts")
}

fn finish(handle: &JobHandle<Concurrent<Waiter>>) -> Vec<Outcome<Vec<u8>>> {
    let mut outcomes: Vec<_> =
        handle.outcomes().map(|outcome| outcome.expect("a readable outcome")).collect();
    outcomes.sort_by_key(|outcome| outcome.key.clone());
    let keys: Vec<_> = outcomes.iter().map(|outcome| outcome.key.clone()).collect();
    assert_eq!(keys, (0..ITEMS as u64).map(Key::Ordinal).collect::<Vec<_>>(), "each item has one outcome");
    outcomes
}

fn run(job: Job<Concurrent<Waiter>>, items: Vec<Does>) -> (Vec<Outcome<Vec<u8>>>, Report) {
    let handle = start(job, items);
    let outcomes = finish(&handle);
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Complete);
    (outcomes, report)
}

fn output(outcome: &Outcome<Vec<u8>>) -> &[u8] {
    match &outcome.result {
        OutcomeResult::Completed(output) => output,
        other => panic!("{}: {other:?}", outcome.key),
    }
}

fn quarantine(outcome: &Outcome<Vec<u8>>) -> &Evidence {
    match &outcome.result {
        OutcomeResult::Quarantined(evidence) => evidence,
        other => panic!("{}: {other:?}", outcome.key),
    }
}

/// All but these completed and were never charged.
fn assert_others_are_unharmed(outcomes: &[Outcome<Vec<u8>>], places: &[usize]) {
    for (place, outcome) in outcomes.iter().enumerate().filter(|(place, _)| !places.contains(place)) {
        assert!(!output(outcome).is_empty());
        assert_eq!(outcome.attempts, 1, "item {place} was charged");
    }
}

fn isolations() -> [Isolation; 2] {
    [Isolation::Process, Isolation::Thread]
}

#[test]
fn a_worker_works_on_as_many_items_at_once_as_it_is_told_and_no_more() {
    for isolation in isolations() {
        let dir = tempfile::tempdir().expect("a directory");
        let (outcomes, report) = run(job(dir.path(), isolation), items(&[(50, Does::Large)]));
        let most = outcomes.iter().filter(|outcome| output(outcome).len() == 4).map(output);
        let most = most.map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes"))).max();
        assert_eq!(most, Some(8), "{isolation:?}");
        assert_eq!(output(&outcomes[50]).len(), 3 << 20);
        assert_eq!(report.attempts, ITEMS as u64);
    }
}

#[test]
fn a_panic_is_charged_to_the_item_whose_future_panicked_and_to_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, _) =
        run(job(dir.path(), Isolation::Process), items(&[(31, Does::Panic), (90, Does::Panic)]));
    assert_others_are_unharmed(&outcomes, &[31, 90]);
    for place in [31, 90] {
        let evidence = quarantine(&outcomes[place]);
        assert_eq!((evidence.kind.as_str(), evidence.stage.as_str()), ("panic", "behave"));
        assert!(evidence.message.contains("told to panic"), "{evidence:?}");
        assert_eq!(outcomes[place].attempts, 2);
    }
}

#[test]
fn a_panic_in_a_thread_leaves_its_item_for_a_process_and_the_next_start_convicts_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let special = [(31, Does::Panic), (90, Does::Panic)];
    let report = start(job(dir.path(), Isolation::Thread), items(&special)).wait().expect("a report");
    assert!(matches!(report.ended, Ended::WorkersUnavailable(_)), "{:?}", report.ended);
    assert_eq!(report.completed, ITEMS as u64 - 2);
    let (outcomes, report) = run(job(dir.path(), Isolation::Process), items(&special));
    assert_others_are_unharmed(&outcomes, &[31, 90]);
    assert_eq!((report.quarantined, report.resumed), (2, ITEMS as u64 - 2));
}

#[test]
fn of_those_that_were_open_when_their_worker_died_only_the_one_that_does_it_again_alone_is_convicted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, _) = run(job(dir.path(), Isolation::Process), items(&[(40, Does::Abort)]));
    let evidence = quarantine(&outcomes[40]);
    assert_eq!(evidence.kind, if cfg!(windows) { "FAIL_FAST" } else { "SIGABRT" });
    assert_eq!(evidence.breadcrumbs, ["Abort"]);
    for (place, outcome) in outcomes.iter().enumerate().filter(|(place, _)| *place != 40) {
        assert!(!output(outcome).is_empty(), "item {place}");
    }
}

#[test]
fn one_that_computes_for_ever_is_ended_by_the_item_limit_and_convicted_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = job(dir.path(), Isolation::Process).item_wall_max(Duration::from_millis(400));
    let (outcomes, _) = run(job, items(&[(17, Does::Spin)]));
    assert_eq!(quarantine(&outcomes[17]).kind, "time-limit");
    assert!(outcomes.iter().enumerate().all(|(place, outcome)| place == 17 || !output(outcome).is_empty()));
}

#[test]
fn a_failure_and_a_cancelled_item_leave_the_others_alone() {
    for isolation in isolations() {
        let dir = tempfile::tempdir().expect("a directory");
        let handle = start(job(dir.path(), isolation), items(&[(3, Does::Fail), (60, Does::WaitForEver)]));
        let control = handle.control();
        while !control.snapshot().workers.iter().any(|worker| worker.item.as_deref() == Some("#60")) {
            // The snapshot names one item of each worker: in the end only this one is left.
            support::pause(Duration::from_millis(2));
        }
        control.cancel_item(Key::Ordinal(60));
        let outcomes = finish(&handle);
        let report = handle.wait().expect("a report");
        assert_eq!((report.ended, report.cancelled, report.failed), (Ended::Complete, 1, 1), "{isolation:?}");
        assert_others_are_unharmed(&outcomes, &[3, 60]);
        assert_eq!(outcomes[60].result, OutcomeResult::Cancelled);
        let OutcomeResult::Failed(evidence) = &outcomes[3].result else { panic!("{:?}", outcomes[3]) };
        assert_eq!((&*evidence.stage, &*evidence.breadcrumbs), ("behave", &["Fail".to_owned()][..]));
        assert!(report.crashes.is_empty(), "nothing had to be killed: {:?}", report.crashes);
    }
}

#[test]
fn what_an_item_saved_comes_back_with_its_next_attempt() {
    let dir = tempfile::tempdir().expect("a directory");
    let (outcomes, _) = run(job(dir.path(), Isolation::Process), items(&[(5, Does::Save)]));
    assert_eq!(output(&outcomes[5]), b"page 7");
}

#[test]
fn a_stop_drops_what_waits_and_the_next_start_does_it() {
    for isolation in isolations() {
        let dir = tempfile::tempdir().expect("a directory");
        let handle = start(job(dir.path(), isolation), vec![Does::WaitForEver; ITEMS]);
        while handle.snapshot().workers.iter().all(|worker| worker.item.is_none()) {
            support::pause(Duration::from_millis(2));
        }
        handle.cancel();
        let report = handle.wait().expect("a report");
        assert_eq!(report.ended, Ended::Cancelled);
        assert!(report.crashes.is_empty(), "{isolation:?}: nothing had to be killed: {:?}", report.crashes);
        let (outcomes, report) = run(job(dir.path(), isolation), items(&[]));
        assert_others_are_unharmed(&outcomes, &[]);
        assert_eq!(report.completed, ITEMS as u64);
    }
}
