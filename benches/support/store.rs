//! Stores for jobs that are measured.

use super::case::Failed;
use cofferdam::{Ended, Report};

/// On the disk of the build, not in a memory file system.
pub fn store() -> Result<tempfile::TempDir, Failed> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Whether all items completed.
pub fn complete(report: &Report, items: u64) -> Result<(), Failed> {
    if report.ended == Ended::Complete && report.completed == items {
        return Ok(());
    }
    Err(format!("{} of {items} items completed: {:?}", report.completed, report.ended).into())
}
