//! Processors on the main thread of their worker, in real children. Without the standard harness, whose tests never run on the
//! main thread: this `main` begins with the worker line, like that of an app.

mod support;

use cofferdam::{
    Context, Ended, EventKind, Failure, Isolation, IsolationError, Job, JobError, OutcomeResult, Processor,
    StartContext, WorkerProgram, dense,
};
use cofferdam_testkit::{Behaviour, Misbehave};
use libtest_mimic::{Arguments, Trial};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;
use support::{assert_all_completed_but, assert_complete, job, quarantine_of, run, tasks};

fn main() {
    cofferdam::worker!(Misbehave, WhichThread);
    if std::env::args().any(|arg| arg == DOOMED_HOST) {
        return be_a_doomed_host();
    }
    let test = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let tests = vec![
        test(
            "every_ending_is_judged_as_on_a_thread_of_its_own",
            every_ending_is_judged_as_on_a_thread_of_its_own,
        ),
        test("workers_are_gone_when_their_host_was_killed", workers_are_gone_when_their_host_was_killed),
        test("a_cancel_interrupts_the_open_item", a_cancel_interrupts_the_open_item),
        test(
            "the_thread_that_processes_is_the_first_of_its_process_if_and_only_if_asked_for",
            the_thread_that_processes_is_the_first_of_its_process_if_and_only_if_asked_for,
        ),
        test("workers_that_are_threads_are_refused", workers_that_are_threads_are_refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Each kind crashes alone twice, and its neighbours are not charged.
fn every_ending_is_judged_as_on_a_thread_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let endings = [
        (Behaviour::Abort, "SIGABRT"),
        (Behaviour::Segv, "SIGSEGV"),
        (Behaviour::StackOverflow, "stack-overflow"),
        (Behaviour::Panic, "panic"),
        (Behaviour::Exit(0), "exit(0)"),
        (Behaviour::Hang, "time-limit"),
        (Behaviour::Garbage, "protocol-violation"),
    ];
    if cfg!(windows) {
        return; // other names of other signals
    }
    let mut items = tasks(&vec![Behaviour::Echo; 4 * endings.len()]);
    let places: Vec<_> = (0..endings.len()).map(|i| 4 * i + 2).collect();
    for (place, (behaviour, _)) in places.iter().zip(&endings) {
        items[*place].behaviour = behaviour.clone();
    }
    let job =
        job(dir.path(), WorkerProgram::CurrentExe).main_thread().item_wall_max(Duration::from_millis(1500));

    let (outcomes, report) = run(job, items);

    assert_complete(&report);
    assert_all_completed_but(&outcomes, 4 * endings.len(), &places);
    for (place, (_, kind)) in places.iter().zip(&endings) {
        let evidence = quarantine_of(&outcomes[*place]);
        assert_eq!((evidence.kind.as_str(), evidence.stage.as_str()), (*kind, "behave"));
        assert_eq!(outcomes[*place].attempts, 2);
    }
}

const DOOMED_HOST: &str = "--doomed-host";

/// Not a test: the host that is killed. One of its workers spins, one is idle.
fn be_a_doomed_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let items = tasks(&[Behaviour::Spin, Behaviour::Echo]);
    let job = job(dir.path(), WorkerProgram::CurrentExe).main_thread();
    let handle = job.start(dense(move || items.clone())).expect("the job starts");
    for event in handle.events() {
        if let EventKind::WorkerSpawned(_, pid) = event.kind {
            println!("worker {pid}");
        }
    }
}

fn workers_are_gone_when_their_host_was_killed() {
    if !cfg!(target_os = "linux") {
        return; // who is alive is read from /proc
    }
    let mut host = support::command(std::env::current_exe().expect("a path"))
        .arg(DOOMED_HOST)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a host");
    let lines = BufReader::new(host.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let pids: Vec<_> =
        lines.filter_map(|line| Some(line.strip_prefix("worker ")?.to_owned())).take(2).collect();
    assert_eq!(pids.len(), 2);

    host.kill().expect("a kill");
    host.wait().expect("an end");

    let is_alive = |pid: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
    };
    for _ in 0..1000 {
        if !pids.iter().any(is_alive) {
            return;
        }
        support::pause(Duration::from_millis(5));
    }
    panic!("still there after 5 s: {pids:?}");
}

fn a_cancel_interrupts_the_open_item() {
    let dir = tempfile::tempdir().expect("a directory");
    let sleeper = tasks(&[Behaviour::Sleep { ms: 100_000 }]);
    let job = job(dir.path(), WorkerProgram::CurrentExe).main_thread();
    let handle = job.start(dense(move || sleeper.clone())).expect("the job starts");
    while !handle.snapshot().workers.iter().any(|worker| worker.item.is_some()) {
        support::pause(Duration::from_millis(2));
    }

    handle.cancel();

    let report = handle.wait().expect("a report");
    assert_eq!((report.ended, report.crashes.len()), (Ended::Cancelled, 0));
}

/// Says which thread it is on.
struct WhichThread;

impl Processor for WhichThread {
    const NAME: &'static str = "which-thread";
    const VERSION: u32 = 1;
    type Item = ();
    type Output = (u32, String);
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, (): (), _: &Context<'_>) -> Result<(u32, String), Failure> {
        let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        Ok((std::process::id(), thread.to_string_lossy().into_owned()))
    }
}

fn which_thread(choose: impl FnOnce(Job<WhichThread>) -> Job<WhichThread>) -> (u32, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let job = Job::<WhichThread>::new(dir.path(), "job", ()).worker_program(WorkerProgram::CurrentExe);
    let handle = choose(job.isolation(Isolation::Process)).start(dense(|| [()])).expect("the job starts");
    let outcome = handle.outcomes().next().expect("an outcome").expect("a readable one");
    match outcome.result {
        OutcomeResult::Completed(output) => output,
        other => panic!("{other:?}"),
    }
}

fn the_thread_that_processes_is_the_first_of_its_process_if_and_only_if_asked_for() {
    if !cfg!(target_os = "linux") {
        return; // nothing tells a thread's number there
    }
    let (pid, thread) = which_thread(Job::main_thread);
    assert_eq!(thread, format!("{pid}/task/{pid}"));
    let (pid, thread) = which_thread(|job| job);
    assert!(thread.starts_with(&format!("{pid}/task/")) && !thread.ends_with(&format!("/{pid}")), "{thread}");
}

fn workers_that_are_threads_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let job = Job::<WhichThread>::new(dir.path(), "job", ()).isolation(Isolation::Thread).main_thread();

    let refused = job.start(dense(|| [()])).err().expect("refused");

    assert!(matches!(refused, JobError::Isolation(IsolationError::MainThread)), "{refused}");
}
