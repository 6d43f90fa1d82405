//! A `main` without the worker line: a clear error, never a fork bomb. Alone in its file, since no other test may call the
//! worker line in this process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_isolation::{ChildExecutor, IsolationError, WorkerProgram, has_worker_line};
use std::sync::Arc;

#[test]
fn without_the_worker_line_nothing_is_started() {
    assert!(!has_worker_line());
    let mut settings = common::settings(&common::Config::Good);
    settings.program = WorkerProgram::CurrentExe;
    let error = ChildExecutor::new(settings, Arc::new(|_, _| {})).err().expect("refused");
    assert!(matches!(error, IsolationError::NoWorkerLine), "{error:?}");
}
