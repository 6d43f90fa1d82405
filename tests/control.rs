//! Pause, resume, drain and cancel; waiting in sync and async code; events; keyed sources and their plans.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    Ended, EventKind, Fingerprint, Isolation, ItemSource, JobControl, JobError, Key, Keying, OnDifference,
    Phase, SourceError, SourceItem, dense, keyed,
};
use cofferdam_testkit::{Behaviour, Misbehave, Task};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;
use support::{assert_all_completed_but, assert_complete, job, run, tasks, wait_until};

/// Nothing that is waited for takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

cofferdam::worker_test!(workers: Misbehave);

fn sleepers(count: usize, ms: u64) -> Vec<Task> {
    tasks(&vec![Behaviour::Sleep { ms }; count])
}

#[test]
fn a_drained_job_keeps_what_was_open_and_resumes_with_the_rest() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(500, 5))).expect("a job");
    wait_until("ten outcomes", PATIENCE, || handle.snapshot().completed >= 10);
    handle.drain();
    handle.drain();
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Drained);
    assert!(report.completed >= 10 && report.completed < 500, "{report:?}");
    let (outcomes, again) = run(job(dir.path(), workers::program()), sleepers(500, 5));
    assert_complete(&again);
    assert_eq!(again.resumed, report.completed);
    assert_all_completed_but(&outcomes, 500, &[]);
}

#[test]
fn a_cancelled_job_ends_at_once_and_its_open_items_stay_pending() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(4, 3_600_000))).expect("a job");
    wait_until("an open item", PATIENCE, || handle.snapshot().workers.iter().any(|w| w.item.is_some()));
    let control = handle.control();
    std::thread::spawn(move || control.cancel());
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Cancelled);
    assert_eq!(report.completed + report.failed + report.quarantined, 0, "{report:?}");
    assert!(report.elapsed < Duration::from_secs(60), "check() ends the sleep, or the grace does");
}

#[test]
fn a_hanging_item_cannot_hold_up_a_cancel() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program())
        .policy(cofferdam::Policy { stop_grace: Duration::from_millis(200), ..cofferdam::Policy::default() })
        .start(dense(|| tasks(&[Behaviour::Hang])))
        .expect("a job");
    wait_until("an open item", PATIENCE, || handle.snapshot().workers.iter().any(|w| w.item.is_some()));
    handle.cancel();
    let report = handle.wait().expect("a report");
    assert_eq!(report.ended, Ended::Cancelled);
    assert_eq!(report.quarantined, 0, "a cancel convicts nobody");
}

#[test]
fn controls_may_come_from_many_threads_at_any_time_and_again_after_the_end() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir().expect("a directory");
        let job = job(dir.path(), workers::program()).isolation(isolation);
        let handle = job.start(dense(|| sleepers(100_000, 1))).expect("a job");
        let all = |control: &JobControl, n: u64| {
            control.pause();
            control.cancel_item(Key::Ordinal(n));
            control.resume();
            control.resume();
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let control = handle.control();
                scope.spawn(move || (0..50).for_each(|n| all(&control, 200 * thread + n)));
            }
        });
        wait_until("work goes on", PATIENCE, || handle.snapshot().completed >= 10);
        let control = handle.control();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    control.drain();
                    control.pause();
                    control.drain();
                });
            }
        });
        control.resume();
        let report = handle.wait().expect("a report");
        assert_eq!((&report.ended, report.crashes.len()), (&Ended::Drained, 0), "{isolation:?}");
        assert!(report.cancelled <= 200);

        all(&control, 0);
        control.drain();
        control.cancel();
        control.cancel();
        assert_eq!(control.snapshot().phase, Phase::Ended);
    }
}

#[test]
fn a_paused_job_stands_still_until_it_is_resumed() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(300, 2))).expect("a job");
    wait_until("an outcome", PATIENCE, || handle.snapshot().completed > 0);
    handle.pause();
    wait_until("the pause", PATIENCE, || handle.snapshot().phase == Phase::Paused);
    let mut last = handle.snapshot().completed;
    wait_until("standing still", PATIENCE, || {
        support::pause(Duration::from_millis(300));
        std::mem::replace(&mut last, handle.snapshot().completed) == last
    });
    assert!(last < 300);
    handle.resume();
    let report = handle.wait().expect("a report");
    assert_complete(&report);
    assert_eq!(report.completed, 300);
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn an_asynchronous_host_can_wait_without_any_runtime() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(50, 1))).expect("a job");
    let mut end = std::pin::pin!(handle.wait_async());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let report = loop {
        match end.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(report) => break report.expect("a report"),
            std::task::Poll::Pending => std::thread::park(),
        }
    };
    assert_complete(&report);
}

#[test]
fn an_asynchronous_host_waits_beside_its_other_work_on_tokio() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(50, 1))).expect("a job");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (report, other) = runtime.block_on(async {
        let end = tokio::spawn(handle.wait_async());
        let other = tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            "done"
        });
        (end.await.expect("no panic"), other.await.expect("no panic"))
    });
    assert_complete(&report.expect("a report"));
    assert_eq!(other, "done", "a waiting job blocks no thread of the runtime");
}

#[test]
fn no_success_event_precedes_its_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let handle = job(dir.path(), workers::program()).start(dense(|| sleepers(100, 1))).expect("a job");
    let mut seen = 0;
    for event in handle.events() {
        if let EventKind::Committed { count, .. } = event.kind {
            seen += count;
            let durable =
                handle.outcomes().take_while(|o| o.as_ref().is_ok_and(|o| o.lsn <= event.lsn)).count();
            assert!(durable as u64 >= count, "the event of {count} came when {durable} were durable");
        }
    }
    assert!(seen <= 100);
    assert_complete(&handle.wait().expect("a report"));
}

/// Keys with a version each, as a folder of files has.
struct Files(Vec<(&'static str, u8)>);

impl ItemSource for Files {
    type Item = Task;
    fn keying(&self) -> Keying {
        Keying::Keyed
    }
    fn open(
        &mut self,
    ) -> Result<Box<dyn Iterator<Item = Result<SourceItem<Task>, SourceError>> + Send + '_>, SourceError>
    {
        Ok(Box::new(self.0.iter().map(|(key, version)| {
            Ok(SourceItem {
                key: Some(key.as_bytes().into()),
                fingerprint: Some(Fingerprint([*version; 16])),
                item: Task { number: u64::from(*version), behaviour: Behaviour::Echo },
            })
        })))
    }
}

#[test]
fn a_resumed_keyed_job_plans_and_redoes_what_changed_and_drops_what_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first =
        job(dir.path(), workers::program()).start(Files(vec![("a", 1), ("b", 1), ("c", 1), ("d", 1)]));
    let first = first.expect("a job");
    assert_eq!(first.plan().to_string(), "0 done, 4 new");
    assert_complete(&first.wait().expect("a report"));

    let second =
        job(dir.path(), workers::program()).start(Files(vec![("e", 1), ("c", 2), ("b", 1), ("a", 1)]));
    let second = second.expect("a job");
    assert_eq!(second.plan().to_string(), "2 done, 1 new, 1 input changed, 1 gone");
    let mut numbers: Vec<(String, u64)> = second
        .outcomes()
        .map(|o| o.expect("a readable outcome"))
        .map(|o| match o.result {
            cofferdam::OutcomeResult::Completed(done) => (o.key.to_string(), done.number),
            other => panic!("{other:?}"),
        })
        .collect();
    numbers.sort();
    numbers.dedup_by(|b, a| {
        a.0 == b.0 && {
            a.1 = b.1;
            true
        }
    }); // the old outcome of c may have been read before the new one came
    assert_eq!(numbers, [("a".into(), 1), ("b".into(), 1), ("c".into(), 2), ("e".into(), 1)]);
    let report = second.wait().expect("a report");
    assert_eq!((report.items, report.resumed, report.attempts), (4, 2, 2));
}

#[test]
fn duplicate_keys_are_refused_with_both_positions() {
    let dir = tempfile::tempdir().expect("a directory");
    let task = || Task { number: 0, behaviour: Behaviour::Echo };
    let source = keyed(move || [("x", task()), ("y", task()), ("z", task()), ("y", task())]);
    match job(dir.path(), workers::program()).start(source) {
        Err(JobError::DuplicateKey(duplicate)) => assert_eq!((duplicate.first, duplicate.second), (1, 3)),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn a_job_with_another_codec_is_refused_until_the_host_chooses() {
    let dir = tempfile::tempdir().expect("a directory");
    run(job(dir.path(), workers::program()), sleepers(3, 0));
    let other = || job(dir.path(), workers::program()).codec(cofferdam::Codec::Json);
    match other().start(dense(|| sleepers(3, 0))) {
        Err(JobError::Differs { fields }) => assert_eq!(fields, ["codec"]),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("accepted"),
    }
    let (outcomes, report) = run(other().on_difference(OnDifference::Redo), sleepers(3, 0));
    assert_eq!(report.resumed, 0);
    assert_all_completed_but(&outcomes, 3, &[]);
}

#[test]
fn the_second_host_of_a_job_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = job(dir.path(), workers::program()).start(dense(|| sleepers(200, 5))).expect("a job");
    match job(dir.path(), workers::program()).start(dense(|| sleepers(200, 5))) {
        Err(JobError::Store(error)) => assert!(error.to_string().contains("in use"), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two hosts own one job"),
    }
    first.cancel();
    first.wait().expect("a report");
}

#[test]
fn a_slow_source_is_not_held_back_by_half_full_chunks() {
    let dir = tempfile::tempdir().expect("a directory");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let source = dense(move || {
        let held = held.clone();
        sleepers(64, 0).into_iter().inspect(move |task| {
            if task.number == 63 {
                held.lock().expect("one reader").recv().ok(); // the last item comes when the others are done
            }
        })
    });
    let handle = job(dir.path(), workers::program()).start(source).expect("a job");
    wait_until("63 outcomes while the source blocks", PATIENCE, || handle.snapshot().completed == 63);
    release.send(()).expect("the source waits");
    assert_complete(&handle.wait().expect("a report"));
}
