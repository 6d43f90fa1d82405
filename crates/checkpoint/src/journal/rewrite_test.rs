//! What a segment takes in of the one before it.

use crate::format::frame::{FLAG_COMMIT, FLAG_SKIPPABLE, TYPE_MARK, TYPE_RECORDS};
use crate::format::record::{LeaseItems, put_lease_started};
use crate::format::segment::FRAMES_START;
use crate::journal::append::FrameKind;
use crate::journal::inside_test::{append, commit_key, frames_of, keyed_job, rotate};
use crate::journal::lead::lock;
use crate::{KeyRef, Note};

const UNLISTED: FrameKind = FrameKind { kind: TYPE_RECORDS, flags: 0, count: 0 };

#[test]
fn a_segment_takes_in_what_still_says_something_and_no_marks() {
    let (_dir, job) = keyed_job();
    for (epoch, lease) in [(5, 1), (5, 2), (6, 3), (6, 4)] {
        let mut record = Vec::new();
        put_lease_started(&mut record, (epoch, 1, lease), [LeaseItems::Key(b"a")].into_iter());
        append(&job, UNLISTED, &record);
    }
    job.save_state(KeyRef::Bytes(b"a"), None, vec![1].into()).unwrap();
    job.save_state(KeyRef::Bytes(b"a"), None, vec![2].into()).unwrap();
    job.note(KeyRef::Bytes(b"b"), Note { crashes: 1, ..Note::default() }).unwrap();
    job.journal.write_mark().unwrap();
    commit_key(&job, "b", 1, b"output");
    append(&job, FrameKind { kind: 9, flags: FLAG_SKIPPABLE | FLAG_COMMIT, count: 0 }, b"of a later version");
    rotate(&job);
    let tail = lock(&job.journal.tip).appender.whole();
    let of = |record: &str| (TYPE_RECORDS, 0, 0, vec![record.to_owned()]);
    let expected = [
        of("lease 3"),
        of("lease 4"),
        of("state [2]"),
        (TYPE_RECORDS, 0, 1, vec!["Bytes([98])".to_owned()]),
        (9, FLAG_SKIPPABLE, 0, vec![]),
        (TYPE_MARK, FLAG_COMMIT, 0, vec![]),
    ];
    assert_eq!(frames_of(&job, &tail), expected);
    assert_eq!(tail.len(), lock(&job.journal.tip).appender.offset() - FRAMES_START);
}
