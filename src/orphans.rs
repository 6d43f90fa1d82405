//! Workers of a host that died: recorded in the store by it, ended by its successor before the first lease.

use cofferdam_checkpoint::WorkerEntry;
use cofferdam_isolation::WorkerRecord;
use std::path::PathBuf;
use std::time::Duration;

/// Workers leave by themselves within two seconds of their host's death; whoever is left then is killed.
const WAIT: Duration = Duration::from_secs(5);

/// Ends what a dead host left running, and removes the files of its workers.
pub(crate) fn end(previous: &[WorkerEntry]) {
    let records: Vec<WorkerRecord> = previous.iter().map(record_of).collect();
    let ended = cofferdam_isolation::end_orphans(&records, WAIT);
    cofferdam_isolation::forget_records(&records);
    if ended > 0 {
        tracing::info!(workers = ended, "ended the workers of a host that died");
    }
}

pub(crate) fn entry_of(record: WorkerRecord) -> WorkerEntry {
    WorkerEntry {
        pid: record.pid,
        start_time: record.start_time,
        recorder: record.recorder.into_os_string().into_encoded_bytes(),
    }
}

fn record_of(entry: &WorkerEntry) -> WorkerRecord {
    let path = String::from_utf8_lossy(&entry.recorder).into_owned();
    WorkerRecord { pid: entry.pid, start_time: entry.start_time, recorder: PathBuf::from(path) }
}
