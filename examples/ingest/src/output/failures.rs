//! `failures.jsonl`: one line for each item that was set aside.

use super::{SetAside, json};
use crate::engine::Evidence;
use crate::neutral;
use serde::Serialize;
use std::io;

#[derive(Serialize)]
struct Line<'a> {
    key: &'a str,
    outcome: &'a str,
    kind: &'a str,
    message: &'a str,
    stage: &'a str,
    progress: Option<(u64, u64)>,
    breadcrumbs: &'a [String],
    attempts: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    backtrace: &'a str,
    stderr_tail: &'a str,
}

/// The line of one item.
pub fn line(key: &[u8], how: SetAside, attempts: u32, evidence: &Evidence) -> io::Result<Vec<u8>> {
    json::to_line(&Line {
        key: &neutral::escape_key(key),
        outcome: match how {
            SetAside::Failed => "failed",
            SetAside::Quarantined => "quarantined",
        },
        kind: &evidence.kind,
        message: &evidence.message,
        stage: &evidence.stage,
        progress: evidence.progress,
        breadcrumbs: &evidence.breadcrumbs,
        attempts,
        backtrace: &evidence.backtrace,
        stderr_tail: &evidence.stderr_tail,
    })
}
