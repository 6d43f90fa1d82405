//! What workers write to stdout and stderr.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::{Executor, KillReason};
use common::{Host, Item, outputs};

#[test]
fn worker() {
    common::enter_worker();
}

const CHATTER_BYTES: usize = 100 << 20;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_hundred_mebibytes_of_chatter_neither_block_the_worker_nor_swell_the_host() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let before = peak_kib();
    host.assign(worker, &[Item::Chatter(CHATTER_BYTES), Item::Echo(b"done".to_vec())]);
    let mut seen = host.replied().1.count;
    while seen < 2 {
        seen += host.replied().1.count;
    }
    assert!(peak_kib() - before < 8 * 1024, "{} KiB more", peak_kib() - before);
    host.executor.kill(worker, KillReason::JobOver);
    let tail = host.end_of(worker).report().stderr_tail.clone();
    assert!(
        tail.ends_with("\u{fffd}[31mthe end\n"),
        "the escape is neutralised: {:?}",
        &tail[tail.len() - 30..]
    );
    assert!(tail.len() <= 8 * 1024 + 16, "{}", tail.len());
}

#[test]
fn secrets_do_not_reach_a_worker_and_additions_do() {
    let mut settings = common::settings(&common::Config::Good);
    settings.env.push(("MODEL_DIR".into(), "/models".into()));
    let mut host = Host::with(settings);
    let worker = host.ready(0);
    let ask = ["CARGO_MANIFEST_DIR", "MODEL_DIR", "COFFERDAM_WORKER", "PATH"];
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "a variable of the host that is not on the list");
    host.assign(worker, &ask.map(|name| Item::Env(name.into())));
    let mut answers = Vec::new();
    while answers.len() < ask.len() {
        answers.extend(outputs(&host.replied().1));
    }
    let path = std::env::var("PATH").unwrap().into_bytes();
    assert_eq!(answers, [b"".to_vec(), b"/models".to_vec(), b"".to_vec(), path]);
}

#[test]
#[cfg(target_os = "linux")]
fn no_descriptor_of_the_host_and_no_inheritable_one_is_open_in_a_worker() {
    let leaky = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assign(worker, &[Item::InheritableFds]);
    assert_eq!(String::from_utf8(outputs(&host.replied().1).remove(0)).unwrap(), "");
}
