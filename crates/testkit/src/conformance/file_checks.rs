//! The checks of outputs that are files, which `conformance_tests` makes tests of as those in [`super::checks`].

use super::checks::{fail, open_items};
use super::{Deed, Rig, Subject};
use cofferdam_pipeline_core::FailureKind;

/// Larger than what the executor's frames hold.
pub fn an_output_that_is_too_large_for_a_frame_is_a_file(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let text = "ä".repeat(1000);
    let deeds = [Deed::Echo(0), Deed::Repeat { text: text.clone(), times: 5000 }, Deed::Echo(2)];
    let lease = rig.assign(worker, &deeds);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["0"]);
    let (output, files) = rig.with_files(worker, lease, 1);
    assert!(output == text.repeat(5000) && files.is_empty());
    assert_eq!(rig.outputs(worker, lease, 2, 1), ["2"]);
    assert_eq!(rig.place.staged(), 0);
}

/// Encoded, of whatever codec; the executor lends a place for files.
pub fn an_output_of_more_than_a_mebibyte_is_a_file_and_a_shorter_one_is_not(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let deeds = [-16, 16].map(|more| {
        let times = (1 << 20) + more;
        Deed::Repeat { text: "x".into(), times: u32::try_from(times).expect("a mebibyte") }
    });
    let lease = rig.assign(worker, &deeds);
    assert_eq!(rig.outputs(worker, lease, 0, 1)[0].len(), (1 << 20) - 16);
    let (output, files) = rig.with_files(worker, lease, 1);
    assert_eq!((output.len(), files.len()), ((1 << 20) + 16, 0));
    assert_eq!(rig.place.staged(), 0);
}

/// Small and large ones, empty ones, among items that write none.
pub fn what_an_item_writes_is_there_with_its_output_and_only_that(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let text = "page ".repeat(1000);
    let write = |times| Deed::Write { text: text.clone(), times };
    let twice = Deed::WriteTwice { forgotten: "forgotten".into(), kept: "kept".into() };
    let both = Deed::WriteThen("first".into(), Box::new(Deed::Write { text: "second".into(), times: 1 }));
    let deeds = [write(400), Deed::Echo(1), write(0), twice, both, Deed::Echo(5)];
    let lease = rig.assign(worker, &deeds);
    let (output, files) = rig.with_files(worker, lease, 0);
    assert_eq!(output, "0:2000000");
    assert!(files == [text.repeat(400).into_bytes()]);
    assert_eq!(rig.outputs(worker, lease, 1, 1), ["1"]);
    assert_eq!(rig.with_files(worker, lease, 2), ("0:0".into(), vec![vec![]]));
    assert_eq!(rig.with_files(worker, lease, 3), ("0:4".into(), vec![b"kept".to_vec()]));
    let written = vec![b"first".to_vec(), b"second".to_vec()];
    assert_eq!(rig.with_files(worker, lease, 4), ("1:6".into(), written));
    assert_eq!(rig.outputs(worker, lease, 5, 1), ["5"]);
    assert_eq!(rig.place.staged(), 0);
}

/// Also where it had finished its file, and where it was cancelled.
pub fn what_a_failed_item_wrote_is_discarded_and_its_retry_begins_anew(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let then = |deed| Deed::WriteThen("first try".into(), Box::new(deed));
    let lease = rig.assign(worker, &[then(fail(1, "later")), then(Deed::Wait)]);
    assert_eq!(rig.failure(worker, lease, 0).kind, FailureKind::Transient);
    rig.wait_open(worker, |item| item.breadcrumbs.len() == 2);
    assert_eq!(rig.place.staged(), 1, "of the second item alone");
    rig.executor.cancel_item(worker, lease, 1);
    assert_eq!(rig.failure(worker, lease, 1).kind, FailureKind::Interrupted);
    assert_eq!(rig.place.staged(), 0);
    let lease = rig.retry(worker, Deed::Write { text: "second try".into(), times: 1 }, 2, None);
    assert_eq!(rig.with_files(worker, lease, 0), ("0:10".into(), vec![b"second try".to_vec()]));
}

/// In the middle of an item.
pub fn what_was_written_when_a_worker_ends_is_discarded(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::WriteThen("lost".into(), Box::new(Deed::Panic("torn".into())))]);
    let report = rig.exit(worker);
    assert_eq!(open_items(&report.open), [(lease, 0)]);
    assert_eq!(rig.place.staged(), 0);
}
