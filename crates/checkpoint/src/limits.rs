//! The store's bounds in one place.

use std::time::Duration;

/// Bytes of records that wait for their sync; `submit` blocks beyond it.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 << 20;
/// A group of this many bytes is written without waiting for more.
pub(crate) const GROUP_BYTES_CUT: usize = 1 << 20;
/// A buffer that grew beyond this is not kept.
pub(crate) const GROUP_BYTES_KEPT: usize = 4 << 20;
/// Outputs longer than this become blobs, in bytes.
pub const OUTPUT_INLINE_MAX: usize = 1 << 20;
/// The longest name of a job in bytes.
pub(crate) const JOB_NAME_MAX: usize = 64 << 10;
/// A group waits at least this long for company, unless somebody blocks on it.
pub(crate) const LINGER_MIN: Duration = Duration::from_millis(5);
/// And never longer.
pub(crate) const LINGER_MAX: Duration = Duration::from_millis(10);
/// In between, this many times the average duration of a sync: syncs then take at most a fifth of the time.
pub(crate) const LINGER_SYNCS: u32 = 4;
/// After this long without a commit, a mark says that the last one is durable.
pub(crate) const IDLE: Duration = Duration::from_millis(100);
/// HEAD is not refreshed more often than this when idle.
pub(crate) const HEAD_INTERVAL_IDLE: Duration = Duration::from_secs(1);
/// HEAD is refreshed this often when busy.
pub(crate) const HEAD_INTERVAL_BUSY: Duration = Duration::from_secs(5);
/// This many bytes of records that no commit syncs, and with `Durability::Process` of all, are synced at the latest, so that recovery has little to write again.
pub(crate) const PROCESS_SYNC_BYTES: u64 = 8 << 20;
/// A longer segment is followed by a new one. The tests within the crate fill some.
pub(crate) const SEGMENT_LEN_MAX: u64 = if cfg!(test) { 8 << 20 } else { 256 << 20 };
/// So much of a disk stays free: what is written at an orderly end fits into it, and no other program meets a disk that we filled.
pub(crate) const RESERVE_BYTES: u64 = 1 << 20;
/// After so many bytes that lie beyond what is filled ahead, the disk is asked again how much room it has.
pub(crate) const ROOM_GRANT: u64 = 1 << 20;
/// The first step of filling ahead, and the least.
pub(crate) const FILL_MIN: u64 = 256 << 10;
/// The largest step of filling ahead: what is filled and never used was written for nothing, and each step costs a commit the new length.
pub(crate) const FILL_MAX: u64 = 2 << 20;
/// A new segment takes in the one before if it is no longer than this, however little it has taken in.
pub(crate) const MERGE_BYTES_MIN: u64 = 64 << 10;
/// A new segment takes in no more than this: some ten milliseconds.
pub(crate) const MERGE_BYTES_MAX: u64 = 4 << 20;
/// Compaction reads no more than this for one segment, and writes no more than fits into one.
pub(crate) const COMPACT_BYTES_MAX: u64 = 2 << 30;
/// At least so many bytes of the journal lie between two snapshots: reading them takes some 20 ms.
pub(crate) const SNAPSHOT_BYTES: u64 = 16 << 20;
/// And never more because the last one was long: reading them takes half a second.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
/// At an orderly end, this part of what lies between two snapshots is worth another one.
pub(crate) const SNAPSHOT_CLOSE_SHARE: u64 = 4;
/// Bytes that one write of a snapshot holds at least.
pub(crate) const SNAPSHOT_WRITE: usize = 1 << 20;
/// Leases of one worker that recovery remembers; only its last few can be open.
pub(crate) const LEASES_PER_WORKER_MAX: usize = 16;
/// Bytes that one read of a journal asks for.
pub(crate) const READ_CHUNK: usize = 1 << 20;
/// While a journal is read, so many keys are gathered before they are sorted by shards;
pub(crate) const FRESH_KEYS: usize = 1024;
/// of a shard up to a sixteenth of those that it has, but at least so many,
pub(crate) const GATHERED_MIN: usize = 64;
/// and so many at most: 12 MiB in all shards.
pub(crate) const GATHERED_MAX: usize = 2048;
/// Looks at a journal that somebody writes to; a writer that is faster than this many looks is none.
pub(crate) const LOOKS_MAX: u32 = 16;
/// How long an operation on the whole store waits for another one's end.
pub(crate) const STORE_LOCK_WAIT: Duration = Duration::from_secs(10);
/// Between two tries to get the store's lock.
pub(crate) const STORE_LOCK_PAUSE: Duration = Duration::from_millis(5);
