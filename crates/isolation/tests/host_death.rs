//! The host is killed: its workers go with it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_isolation::{WorkerRecord, end_orphans};
use common::{Host, Item};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn worker() {
    common::enter_worker();
}

/// Not a test: the host that is killed. One idle worker, one that sleeps and one that spins in native code.
#[test]
#[ignore = "a part of the test below"]
fn doomed_host() {
    let mut settings = common::settings(&common::Config::Good);
    settings.runtime_dir = std::env::var_os("RUNTIME_DIR").map(Into::into);
    let mut host = Host::with(settings);
    let workers = [host.ready(0), host.ready(1), host.ready(2)];
    host.assign(workers[1], &[Item::Sleep]);
    host.assign(workers[2], &[Item::Spin]);
    host.wait_observed(workers[2], |open| !open.is_empty());
    let pids = workers.map(|worker| host.pid(worker).to_string());
    println!("workers {}", pids.join(" "));
    std::thread::sleep(Duration::from_secs(600));
}

#[allow(clippy::disallowed_methods, reason = "starts the host of this test")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z')
}

#[test]
fn workers_are_gone_within_two_seconds_of_their_hosts_sigkill() {
    let runtime_dir = tempfile::tempdir().unwrap();
    let mut host = command(std::env::current_exe().unwrap())
        .env("RUNTIME_DIR", runtime_dir.path())
        .args(["doomed_host", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line =
        lines.filter(|line| line.contains("workers ")).take(1).next().expect("the host names its workers");
    let pids: Vec<u32> =
        line.rsplit("workers ").next().unwrap().split(' ').map(|pid| pid.trim().parse().unwrap()).collect();
    assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    host.kill().unwrap();
    let killed = Instant::now();
    host.wait().unwrap();
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(killed.elapsed() < Duration::from_secs(2), "still there after {:?}", killed.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap()
}

#[test]
fn orphans_are_ended_only_when_pid_and_start_time_match() {
    let mut orphan = command("sleep").arg("1000").process_group(0).spawn().unwrap();
    let record = |start_time| WorkerRecord {
        pid: orphan.id(),
        start_time,
        recorder: "/dev/shm/cofferdam-none/0.recorder".into(),
    };
    let (strange, unknown, right) =
        (record(start_time(orphan.id()) + 1), record(0), record(start_time(orphan.id())));
    assert_eq!(end_orphans(&[strange, unknown], common::PATIENCE), 0);
    assert!(is_alive(orphan.id()));
    assert_eq!(end_orphans(std::slice::from_ref(&right), common::PATIENCE), 1);
    assert!(!is_alive(orphan.id()));
    assert_eq!(end_orphans(&[right], common::PATIENCE), 0, "a zombie is no orphan");
    orphan.wait().unwrap();
}
