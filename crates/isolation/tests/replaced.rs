//! The executable on disk is replaced while its host runs: workers are still of the host's own build.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use common::Host;
use std::process::Command;

#[test]
fn worker() {
    common::enter_worker();
}

/// Not a test: a host that replaces its own executable, then starts a worker.
#[test]
#[ignore = "a part of the test below"]
fn replaced_host() {
    let path = std::env::current_exe().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "#!/bin/sh\necho impostor; exit 9\n").unwrap();
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assert_unharmed(worker);
    println!("all is well");
}

#[test]
fn a_worker_starts_after_the_executable_was_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("host");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    #[allow(clippy::disallowed_methods, reason = "starts the host of this test")]
    let output =
        Command::new(&copy).args(["replaced_host", "--exact", "--ignored", "--nocapture"]).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("all is well"), "{stdout}");
}
