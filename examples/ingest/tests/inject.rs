//! Every kind of `--inject`: the item that misbehaves is blamed by name, its neighbours are not.
#![allow(clippy::unwrap_used, reason = "tests end on surprises")]

mod support;

use support::Bench;

const NEIGHBOURS: usize = 8;

/// Runs with one item that misbehaves; all others must complete at the first attempt.
fn set_aside_by(rule: &str, more: &[&str]) -> (Bench, support::Ran, (String, String)) {
    let bench = Bench::with_texts(NEIGHBOURS);
    let rule = format!("{rule}:03.txt");
    let ran = bench.run(&[&["--inject", rule.as_str()], more].concat()).complete();
    let json = ran.json();
    let failures = bench.failures();

    assert_eq!(failures.len(), 1, "{failures:?}");
    let blamed = failures.into_iter().next().unwrap();
    assert_eq!(blamed.0, "03.txt");
    assert_eq!(json["completed"], NEIGHBOURS - 1);
    assert_eq!(
        bench.keys("knowledge.jsonl"),
        ["00.txt", "01.txt", "02.txt", "04.txt", "05.txt", "06.txt", "07.txt"]
    );
    (bench, ran, blamed.1)
}

/// A crash counts twice: once when it is suspected, once in the trial alone. Nobody else pays.
fn assert_crashes(rule: &str, more: &[&str], kind: &str) {
    let (bench, ran, blamed) = set_aside_by(rule, more);

    assert_eq!(blamed, ("quarantined".to_owned(), kind.to_owned()));
    let json = ran.json();
    assert_eq!(json["crashes"][kind], 2, "{json}");
    assert_eq!(json["crashes"].as_object().unwrap().len(), 1, "{json}");
    assert_eq!(json["attempts"], NEIGHBOURS + 1, "neighbours were charged: {json}");
    let failure = &bench.lines("failures.jsonl")[0];
    assert_eq!(failure["stage"], "inject", "{failure}");
    assert_eq!(failure["attempts"], 2, "{failure}");
}

#[test]
fn abort_is_blamed_as_sigabrt() {
    assert_crashes("abort", &[], if cfg!(unix) { "SIGABRT" } else { "exit(-1073740791)" });
}

#[test]
fn segv_is_blamed_as_sigsegv() {
    assert_crashes("segv", &[], if cfg!(unix) { "SIGSEGV" } else { "exit(-1073741819)" });
}

#[cfg(unix)]
#[test]
fn stack_overflow_is_blamed_as_what_it_is() {
    let (_bench, ran, (outcome, kind)) = set_aside_by("stack-overflow", &[]);

    assert_eq!(outcome, "quarantined");
    assert_eq!(kind, "stack-overflow");
    assert_eq!(ran.json()["crashes"][&kind], 2);
}

#[test]
fn hang_is_ended_by_the_time_limit() {
    assert_crashes("hang", &["--item-timeout", "300ms"], "time-limit");
}

#[test]
fn spin_is_ended_by_the_time_limit() {
    assert_crashes("spin", &["--item-timeout", "300ms"], "time-limit");
}

#[test]
fn exit_0_with_an_open_item_is_a_crash() {
    assert_crashes("exit0", &[], "exit(0)");
}

#[test]
fn panic_is_blamed_with_its_message() {
    assert_crashes("panic", &[], "panic");
    let (bench, _, _) = set_aside_by("panic", &[]);
    let failure = &bench.lines("failures.jsonl")[0];
    assert!(failure["message"].as_str().unwrap().contains("injected panic"), "{failure}");
    assert!(failure["backtrace"].as_str().unwrap().contains("process"), "{failure}");
}

#[cfg(unix)]
#[test]
fn garbage_in_the_socket_costs_only_the_item_that_wrote_it() {
    let (_bench, ran, (outcome, kind)) = set_aside_by("garbage", &[]);

    assert_eq!((outcome.as_str(), kind.as_str()), ("quarantined", "protocol-violation"));
    assert_eq!(ran.json()["crashes"][&kind], 2);
}

#[test]
fn fail_is_a_failure_and_no_crash() {
    let (bench, ran, blamed) = set_aside_by("fail", &[]);

    assert_eq!(blamed, ("failed".to_owned(), "invalid-input".to_owned()));
    assert_eq!(bench.lines("failures.jsonl")[0]["stage"], "inject");
    let json = ran.json();
    assert_eq!(json["failed"], 1);
    assert!(json["crashes"].as_object().unwrap().is_empty(), "{json}");
    assert_eq!(json["attempts"], NEIGHBOURS, "an invalid input is not tried again");
}

#[test]
fn flaky_is_acquitted_in_its_trial() {
    let bench = Bench::with_texts(NEIGHBOURS);

    let json = bench.run(&["--inject", "flaky:03.txt", "--strict"]).complete().json();

    assert_eq!(json["completed"], NEIGHBOURS);
    assert_eq!(json["attempts"], NEIGHBOURS + 1, "{json}");
    assert!(bench.failures().is_empty());
}

#[test]
fn slow_takes_longer_and_changes_nothing() {
    let (plain, slow) = (Bench::with_texts(4), Bench::with_texts(4));
    plain.run(&[]).complete();

    let json = slow.run(&["--inject", "slow:*"]).complete().json();

    assert_eq!(plain.results(), slow.results());
    // Four items, two workers, 50 ms each.
    assert!(json["elapsed_s"].as_f64().unwrap() >= 0.1, "{json}");
}

#[test]
fn half_of_all_items_may_crash() {
    let bench = Bench::with_texts(40);

    let json = bench.run(&["--inject", "abort:*[13579].txt"]).complete().json();

    assert_eq!((&json["completed"], &json["quarantined"]), (&20.into(), &20.into()));
    assert_eq!(json["attempts"], 60, "{json}");
}

#[test]
fn rules_are_no_part_of_the_jobs_identity() {
    let bench = Bench::with_texts(4);
    bench.run(&["--inject", "fail:01.txt"]).complete();

    let json = bench.run(&["--inject", "slow:*"]).complete().json();

    assert_eq!((&json["resumed"], &json["attempts"]), (&4.into(), &0.into()));
}

#[test]
fn in_threads_a_failure_and_a_completed_item_are_the_same_as_in_processes() {
    let (threads, processes) = (Bench::with_texts(NEIGHBOURS), Bench::with_texts(NEIGHBOURS));

    let json = threads.run(&["--isolation", "thread", "--inject", "fail:03.txt"]).complete().json();
    processes.run(&["--isolation", "process", "--inject", "fail:03.txt"]).complete();

    assert_eq!(json["isolation"], "thread");
    assert_eq!(threads.results(), processes.results());
}

#[cfg(unix)]
#[test]
fn kill_host_charges_nobody_at_first_and_is_set_aside_after_three_deaths_of_its_own() {
    let bench = Bench::with_texts(NEIGHBOURS);
    let mut deaths = 0;
    let ran = loop {
        let ran = bench.run(&["--inject", "kill-host:03.txt"]);
        if ran.status.code().is_some() {
            break ran.complete();
        }
        deaths += 1;
        assert!(deaths <= 4, "nobody is ever blamed");
    };

    // One death in company counts for nobody; then three with the file alone.
    assert!((3..=4).contains(&deaths), "{deaths}");
    assert_eq!(ran.json()["completed"], NEIGHBOURS - 1);
    let failures = bench.failures();
    assert_eq!(failures["03.txt"], ("quarantined".to_owned(), "host-death".to_owned()));
    assert_eq!(failures.len(), 1);
}
