//! Debug mode, in real children and in threads: nothing that a person looks at is ended because of the time it takes.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]

mod support;

use cofferdam::{
    Debugging, Ended, EventKind, Events, Isolation, Job, JobHandle, Outcome, OutcomeResult, Policy, dense,
};
use cofferdam_testkit::{Behaviour, Done, Misbehave, Start};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;
use support::{assert_all_completed_but, assert_complete, run, tasks};

cofferdam::worker_test!(workers: Misbehave);

/// Shorter than anything that happens here; a look at a recorder comes every 50 ms.
const LIMIT: Duration = Duration::from_millis(100);
/// Long enough for every limit to be noticed.
const LONG: Duration = Duration::from_millis(900);
const LONG_MS: u64 = 900;

/// A job with four workers and every limit far too short.
fn hasty_job(store: &Path, isolation: Isolation, start: Start) -> Job<Misbehave> {
    let policy = Policy {
        workers: NonZeroU32::MIN.saturating_add(3),
        item_wall_max: Some(LIMIT),
        item_stall_max: Some(LIMIT),
        heartbeat_silence_max: Some(LIMIT),
        start_wall_max: LIMIT,
        stop_grace: LIMIT,
        verdict_wall_max: LIMIT,
        crashes_max: 1,
        ..Policy::default()
    };
    Job::new(store, "job", start).policy(policy).isolation(isolation).worker_program(workers::program())
}

#[test]
fn a_slow_start_and_a_slow_and_silent_item_end_in_their_own_time_in_one_worker() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir().expect("a directory");
        let job = hasty_job(dir.path(), isolation, Start::Slow { ms: LONG_MS }).debug(Debugging::Attach);
        let slow = Behaviour::Sleep { ms: LONG_MS };

        let (outcomes, report) = run(job, tasks(&[Behaviour::Echo, slow, Behaviour::Echo, Behaviour::Echo]));

        assert_complete(&report);
        assert_all_completed_but(&outcomes, 4, &[]);
        assert_eq!(report.workers_started, 1, "{isolation:?}");
    }
}

#[test]
fn without_debug_mode_the_same_item_is_set_aside() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir().expect("a directory");
        let job = hasty_job(dir.path(), isolation, Start::Well).start_wall_max(Duration::from_secs(60));

        let (_, report) = run(job, tasks(&[Behaviour::Sleep { ms: LONG_MS }]));

        assert_eq!(report.crashes.values().sum::<u64>(), 1, "{isolation:?}: {:?}", report.crashes);
    }
}

#[test]
fn a_cancel_waits_for_the_open_item_also_beyond_the_grace() {
    for isolation in [Isolation::Process, Isolation::Thread] {
        let dir = tempfile::tempdir().expect("a directory");
        let job = hasty_job(dir.path(), isolation, Start::Well).debug(Debugging::Attach);
        let deaf = tasks(&[Behaviour::Report { ms: LONG_MS }, Behaviour::Echo]);
        let handle = job.start(dense(move || deaf.clone())).expect("the job starts");
        while !handle.snapshot().workers.iter().any(|worker| worker.item.is_some()) {
            support::pause(Duration::from_millis(2));
        }

        handle.cancel();

        let outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
        let report = handle.wait().expect("a report");
        assert_eq!((report.ended, report.crashes.len()), (Ended::Cancelled, 0), "{isolation:?}");
        assert_all_completed_but(&outcomes, 1, &[]);
    }
}

#[cfg(unix)]
mod processes {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    fn start(job: Job<Misbehave>, behaviour: &Behaviour) -> JobHandle<Misbehave> {
        let items = tasks(&[behaviour.clone(), Behaviour::Echo]);
        job.start(dense(move || items.clone())).expect("the job starts")
    }

    /// Which process it is, from the first event there is.
    fn pid_of(events: &mut Events) -> Pid {
        match events.next().expect("an event").kind {
            EventKind::WorkerSpawned(_, pid) => Pid::from_raw(pid.cast_signed()),
            other => panic!("{other:?} before the worker's process id"),
        }
    }

    /// Lets a stopped process go on, after all limits have had their chance.
    fn go_on_later(pid: Pid) {
        support::pause(LONG);
        kill(pid, Signal::SIGCONT).expect("the worker lives");
    }

    fn end(handle: JobHandle<Misbehave>) -> Vec<Outcome<Done>> {
        let mut outcomes: Vec<_> = handle.outcomes().map(|o| o.expect("a readable outcome")).collect();
        outcomes.sort_by_key(|outcome| outcome.key.clone());
        let report = handle.wait().expect("a report");
        assert_complete(&report);
        assert_eq!((report.workers_started, report.crashes.len()), (1, 0));
        outcomes
    }

    #[test]
    fn a_worker_says_its_pid_and_does_nothing_until_a_debugger_lets_it_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let job = hasty_job(dir.path(), Isolation::Process, Start::Well).debug(Debugging::Wait);
        let handle = start(job, &Behaviour::Echo);
        let mut events = handle.events();
        let pid = pid_of(&mut events);

        assert_eq!(events.recv_timeout(LONG), None, "it is not ready, and nobody ends it");
        go_on_later(pid);

        assert!(matches!(events.next().expect("an event").kind, EventKind::WorkerReady(_)));
        assert_all_completed_but(&end(handle), 2, &[]);
    }

    #[test]
    fn a_worker_that_a_debugger_holds_in_an_item_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let job = hasty_job(dir.path(), Isolation::Process, Start::Well).debug(Debugging::Attach);
        let handle = start(job, &Behaviour::Signal(Signal::SIGSTOP as i32));

        go_on_later(pid_of(&mut handle.events()));

        let outcomes = end(handle);
        assert!(matches!(outcomes[0].result, OutcomeResult::Completed(_)), "{outcomes:?}");
        assert_all_completed_but(&outcomes, 2, &[]);
    }
}
