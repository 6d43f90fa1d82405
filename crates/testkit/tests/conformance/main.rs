//! Every executor and every worker of ours passes the same checks.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "the bans are for library code"
)]
#![cfg(unix)]

mod subjects;

#[test]
fn worker_entry() {
    subjects::enter_worker();
}

mod own_executable_bincode {
    use cofferdam_ipc::Codec;
    cofferdam_testkit::process_conformance_tests!(super::subjects::own_executable(Codec::Bincode));
}

mod own_executable_json {
    use cofferdam_ipc::Codec;
    cofferdam_testkit::process_conformance_tests!(super::subjects::own_executable(Codec::Json));
}

mod separate_executable {
    cofferdam_testkit::process_conformance_tests!(super::subjects::separate_executable());
}

mod main_thread {
    cofferdam_testkit::process_conformance_tests!(super::subjects::main_thread());
}

mod threads {
    cofferdam_testkit::conformance_tests!(super::subjects::threads());
}

#[cfg(feature = "python-tests")]
mod python {
    cofferdam_testkit::process_conformance_tests!(super::subjects::python());
}

/// Whoever starts a worker executable by hand is told what it is.
#[test]
fn a_worker_executable_that_nobody_hosts_says_so() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_conformance-worker")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a host starts it"));
}
