//! What a dead host leaves behind: workers, which are ended, and items that were open, which are suspects.

use cofferdam_checkpoint::seeded::has_bug;
use cofferdam_checkpoint::{JobStore, KeyRef, Note, OpenLease, StoreError, WorkerEntry};
use cofferdam_isolation::WorkerRecord;
use cofferdam_isolation::recorder::read_recorder;
use cofferdam_pipeline_core::Key;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Workers leave by themselves within two seconds of their host's death; whoever is left then is killed.
const WAIT: Duration = Duration::from_secs(5);

/// Items that are suspects although nobody saw them open: each runs alone in the host, so thousands would take the job
/// longer than all the rest. The first of every lease come first: a worker takes its items in order.
const UNSEEN_SUSPECTS_MAX: usize = 256;

/// Items that may have ended the host: they are charged with nothing and run first, each as the only one in the host.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    may_have_been_open: HashSet<Key>,
    /// The one that was open alone.
    charged: Option<Key>,
}

impl Suspects {
    pub fn contains(&self, key: KeyRef<'_>) -> bool {
        !self.may_have_been_open.is_empty() && self.may_have_been_open.contains(&key.to_key())
    }

    /// Deaths of hosts that count against an item: those in a row. The last session did not end with it alone, so that
    /// whatever ended hosts before was not it.
    pub fn clear(&self, job: &JobStore, key: KeyRef<'_>, note: Note) -> Note {
        if note.host_deaths == 0 || self.charged.as_ref() == Some(&key.to_key()) {
            return note;
        }
        let note = Note { host_deaths: 0, ..note };
        if let Err(error) = job.note(key, note) {
            tracing::debug!(%error, "a note was not kept");
        }
        note
    }
}

/// Ends the workers of the host that died, learns from their recorders what was open, and removes their files. An item
/// that was open as the only one is charged with the death.
///
/// # Errors
/// When the charge cannot be kept.
pub(crate) fn of_dead_host(job: &JobStore) -> Result<Suspects, StoreError> {
    let entries = job.previous_workers();
    let records: Vec<WorkerRecord> =
        entries.iter().filter(|entry| !is_thread(entry)).map(record_of).collect();
    let ended = if has_bug("a lease before the old workers are gone") {
        0
    } else {
        cofferdam_isolation::end_orphans(&records, WAIT)
    };
    if ended > 0 {
        tracing::info!(workers = ended, "ended the workers of a host that died");
    }
    let of_another_boot = job.previous_owner().is_some_and(|owner| !owner.is_this_boot());
    let in_threads = entries.iter().any(is_thread);
    let suspects = if of_another_boot || in_threads {
        unseen(job.open_leases().iter())
    } else {
        seen(job.open_leases(), &records)
    };
    let charged = match &suspects[..] {
        [sole] if !of_another_boot => Some(sole.clone()),
        _ => None,
    };
    if let Some(key) = &charged {
        charge(job, KeyRef::from(key))?;
    }
    cofferdam_isolation::forget_records(&records);
    Ok(Suspects { may_have_been_open: suspects.into_iter().collect(), charged })
}

/// What the recorders show. A worker without a recorder had ended before its host; one whose recorder cannot be read may
/// have had anything open.
fn seen(leases: &[OpenLease], records: &[WorkerRecord]) -> Vec<Key> {
    let by_lease: HashMap<u32, &OpenLease> = leases.iter().map(|lease| (lease.lease, lease)).collect();
    let mut suspects = Vec::new();
    for record in records {
        match read_recorder(&record.recorder) {
            Ok(recording) => {
                let item = |open: cofferdam_pipeline_core::OpenItem| {
                    let lease = by_lease.get(&open.lease.0)?;
                    lease.items.iter().find(|(offset, _)| *offset == open.offset).map(|(_, key)| key.clone())
                };
                suspects.extend(recording.open.into_iter().filter_map(item));
            }
            Err(cofferdam_isolation::recorder::ReadError::Io(error))
                if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let worker = worker_of(record);
                tracing::warn!(%error, worker, "what a worker of the dead host had open is unknown");
                suspects
                    .extend(unseen(leases.iter().filter(|lease| worker.is_none_or(|w| w == lease.worker))));
            }
        }
    }
    suspects
}

/// Everything that may have been open, the most likely first, as far as there is time to try it alone.
fn unseen<'a>(leases: impl Iterator<Item = &'a OpenLease>) -> Vec<Key> {
    let mut by_place: Vec<(usize, &Key)> =
        leases.flat_map(|lease| lease.items.iter().map(|(_, key)| key).enumerate()).collect();
    by_place.sort_by_key(|(place, _)| *place);
    if by_place.len() > UNSEEN_SUSPECTS_MAX {
        tracing::warn!(
            items = by_place.len(),
            "too many items may have been open: only the first are tried alone"
        );
    }
    by_place.into_iter().take(UNSEEN_SUSPECTS_MAX).map(|(_, key)| key.clone()).collect()
}

fn charge(job: &JobStore, key: KeyRef<'_>) -> Result<(), StoreError> {
    let note = job.prior(key).unwrap_or_default();
    job.note(key, Note { host_deaths: note.host_deaths.saturating_add(1), ..note })
}

/// The owner record's entry for workers that are threads of the host.
pub(crate) fn thread_entry() -> WorkerEntry {
    WorkerEntry { pid: 0, start_time: 0, recorder: Vec::new() }
}

fn is_thread(entry: &WorkerEntry) -> bool {
    entry.recorder.is_empty()
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

/// The number of the worker, by the name of its recorder.
fn worker_of(record: &WorkerRecord) -> Option<u32> {
    record.recorder.file_stem()?.to_str()?.parse().ok()
}
