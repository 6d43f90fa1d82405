//! Workers that outlived their host.

use crate::WorkerRecord;
use crate::environment;
use crate::sys::{os, process};
use cofferdam_pipeline_core::WorkerId;
use std::path::Path;
use std::time::Duration;

/// Kills the workers that a dead host recorded, with their descendants, and waits up to `wait` until they are gone;
/// returns how many had to be killed. A process is killed only when pid and start time both match, so records of an earlier boot
/// do no harm as long as the caller compares the boot (start times of different boots may coincide).
///
/// Read the recorders first or afterwards: this leaves them alone, [`forget_records`] removes them.
pub fn end_orphans(records: &[WorkerRecord], wait: Duration) -> usize {
    let deadline = crate::clock::now() + wait;
    let is_orphan = |record: &&WorkerRecord| process::kill_orphan(record.pid, record.start_time);
    let killed: Vec<_> = records.iter().filter(is_orphan).collect();
    for record in records {
        if let Some(mark) = mark_of(&record.recorder) {
            let found = os::kill_marked(&mark, None);
            if found > 0 {
                tracing::info!(found, mark, "ended descendants of a dead host's worker");
            }
        }
    }
    for record in &killed {
        if !process::wait_gone(record.pid, record.start_time, deadline) {
            tracing::warn!(pid = record.pid, "a dead host's worker outlived SIGKILL");
        }
    }
    killed.len()
}

/// Removes the files of workers that a dead host recorded. Call it when their recorders were read and what they said is
/// in the store; records of a host that still lives are left alone.
pub fn forget_records(records: &[WorkerRecord]) {
    records.iter().for_each(|record| crate::child::forget(&record.recorder));
}

/// The mark of the worker whose recorder is `DIR/ID.recorder`.
fn mark_of(recorder: &Path) -> Option<String> {
    let worker = recorder.file_stem()?.to_str()?.parse().ok()?;
    let dir = recorder.parent().filter(|dir| dir.file_name().is_some())?;
    Some(environment::mark(dir, WorkerId(worker)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_names_its_worker_and_strange_names_do_not() {
        assert_eq!(mark_of(Path::new("/dev/shm/cofferdam-x/12.recorder")).as_deref(), Some("cofferdam-x/12"));
        assert_eq!(mark_of(Path::new("/dev/shm/cofferdam-x/other")), None);
        assert_eq!(mark_of(Path::new("12.recorder")), None);
    }
}
