//! The high-water mark of a process's resident memory, as the kernel keeps it.

use crate::CASE;
use crate::support::case::Failed;
use std::process::{Command, Stdio};

const STATUS: &str = "/proc/self/status";

/// Runs a case in a process of its own; MiB.
pub fn in_own_process(case: &str, items: u64) -> Result<f64, Failed> {
    let output = Command::new(std::env::current_exe()?)
        .args([CASE, case, &items.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{case} failed").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Resets the mark; the resident memory now, in KiB.
pub fn begin() -> Result<u64, Failed> {
    std::fs::write("/proc/self/clear_refs", "5").map_err(|e| format!("only Linux resets its mark: {e}"))?;
    kib("VmRSS:")
}

/// MiB from `before` up to the mark.
pub fn end(before: u64) -> Result<f64, Failed> {
    Ok(kib("VmHWM:")?.saturating_sub(before) as f64 / 1024.0)
}

fn kib(field: &str) -> Result<u64, Failed> {
    let status = std::fs::read_to_string(STATUS)?;
    let line = status.lines().find(|line| line.starts_with(field)).ok_or("no such line in the status")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}
