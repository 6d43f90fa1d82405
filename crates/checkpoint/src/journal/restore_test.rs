//! Snapshots whose checksum is right and whose content is not, and long ones.

use crate::format::snapshot::KEY_LEN;
use crate::format::snapshot::{FOOTER_LEN, SUM_LEN, file_name};
use crate::journal::inside_test::{commit_key, keyed_job, try_after_death};
use crate::limits::READ_CHUNK;
use crate::{JobStore, KeyRef, Note};
use xxhash_rust::xxh3::xxh3_128;

/// A keyed job with three outcomes and a note: its snapshot, with the place of its three keys, behind which the note lies.
fn snapshot(job: &JobStore) -> (Vec<u8>, usize) {
    ["a", "b", "c"].into_iter().for_each(|key| commit_key(job, key, 1, b"output"));
    let path = job.journal.dir.join(file_name(job.snapshot().unwrap()));
    let without_note = std::fs::read(path).unwrap();
    job.note(KeyRef::Bytes(b"d"), Note { crashes: 1, ..Note::default() }).unwrap();
    commit_key(job, "a", 2, b"output");
    let path = job.journal.dir.join(file_name(job.snapshot().unwrap()));
    let at = without_note.len() - SUM_LEN - FOOTER_LEN - 3 * KEY_LEN;
    (std::fs::read(path).unwrap(), at)
}

#[test]
fn a_snapshot_that_makes_no_sense_is_not_used_although_its_checksum_is_right() {
    let changes: [fn(&mut [u8]); 4] = [
        |_| {},
        |keys| keys.copy_within(..KEY_LEN, KEY_LEN),
        |keys| keys.copy_within(KEY_LEN..2 * KEY_LEN, 2 * KEY_LEN),
        |keys| keys[3 * KEY_LEN] = 99,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (dir, job) = keyed_job();
        let (mut content, keys_at) = snapshot(&job);
        content.truncate(content.len() - SUM_LEN);
        change(&mut content[keys_at..]);
        let sum = xxh3_128(&content);
        content.extend_from_slice(&sum.to_le_bytes());
        std::fs::write(job.journal.dir.join(file_name(4)), content).unwrap();
        std::fs::remove_file(job.journal.dir.join(file_name(3))).unwrap();
        let again = try_after_death(&dir, &job).unwrap();
        assert_eq!(again.recovery().snapshot, (number == 0).then_some(4), "change {number}");
        assert_eq!(again.counts().completed, 3);
        assert_eq!(again.prior(KeyRef::Bytes(b"d")).map(|note| note.crashes), Some(1));
    }
}

#[test]
fn a_snapshot_that_is_longer_than_a_read_is_written_and_used() {
    let (dir, job) = keyed_job();
    for key in [b"a", b"b", b"c"] {
        job.save_state(KeyRef::Bytes(key), None, vec![7; READ_CHUNK.min(1 << 20)].into()).unwrap();
    }
    commit_key(&job, "d", 1, b"output");
    assert_eq!(job.snapshot().unwrap(), 1);
    assert_eq!(try_after_death(&dir, &job).unwrap().recovery().snapshot, Some(1));
}
