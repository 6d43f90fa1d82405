//! The checks. Each panics where the subject does not conform; [`crate::conformance_tests`] makes a test of each.

pub use super::file_checks::*;
use super::{ConformantConfig, Deed, Rig, Subject};
use cofferdam_pipeline_core::{Exit, FailureKind, KillReason, LeaseId, OpenItem, WorkerEvent, WorkerId};
use std::path::Path;
use std::time::Duration;

/// How long nothing must come before it counts as nothing.
const A_WHILE: Duration = Duration::from_millis(150);

/// Makes a test of every check that holds for threads and processes alike: `conformance_tests!(subject());`, where the
/// expression gives a [`Subject`](crate::conformance::Subject). Use [`process_conformance_tests`](crate::process_conformance_tests) where workers are processes.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!(@ $subject;
            a_worker_that_is_asked_to_stop_leaves_with_nothing_open
            outputs_come_in_order_and_each_once
            every_kind_of_failure_travels_and_its_neighbours_are_unharmed
            an_item_that_cannot_be_read_fails_alone
            a_finished_output_leaves_while_the_next_item_runs
            what_an_open_item_says_can_be_seen
            a_failure_brings_what_its_item_said_and_nothing_of_others
            a_cancelled_item_ends_and_no_other
            unstarted_items_can_be_taken_back
            nothing_of_a_finished_lease_can_be_taken_back
            a_paused_worker_opens_nothing
            a_stop_interrupts_the_open_item_and_forgets_the_rest
            a_stop_and_a_kill_may_come_in_any_state_and_again
            a_failed_start_says_why
            a_saved_state_precedes_its_failure_and_comes_back
            each_attempt_has_a_scratch_directory_that_is_gone_before_its_result
            a_large_item_and_its_output_pass
            an_item_in_a_file_is_read_from_there_and_the_file_stays_as_it_is
            an_item_whose_file_was_changed_fails_alone_and_is_not_at_fault
            an_item_in_a_file_can_be_taken_back
            an_output_that_is_too_large_for_a_frame_is_a_file
            an_output_of_more_than_a_mebibyte_is_a_file_and_a_shorter_one_is_not
            what_an_item_writes_is_there_with_its_output_and_only_that
            what_a_failed_item_wrote_is_discarded_and_its_retry_begins_anew
            what_was_written_when_a_worker_ends_is_discarded
            a_panic_names_its_item_and_says_what_it_said
            a_hung_worker_beats_until_it_is_killed
            the_end_of_one_worker_leaves_the_other_alone
            what_is_said_to_a_worker_that_has_ended_is_ignored
        );
    };
    (@ $subject:expr; $($check:ident)*) => {
        $(#[test] fn $check() { $crate::conformance::checks::$check(&$subject) })*
    };
}

/// The tests of [`conformance_tests`](crate::conformance_tests), and those that would end a host whose workers are its threads.
#[macro_export]
macro_rules! process_conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!($subject);
        $crate::conformance_tests!(@ $subject; an_exit_with_an_open_item_is_an_exit_and_names_the_item);
    };
}

pub(super) fn fail(kind: u8, message: &str) -> Deed {
    Deed::Fail { kind, message: message.into() }
}

pub(super) fn open_items(items: &[OpenItem]) -> Vec<(LeaseId, u32)> {
    items.iter().map(|item| (item.lease, item.offset)).collect()
}

/// An idle worker that is asked to stop exits as stopped.
pub fn a_worker_that_is_asked_to_stop_leaves_with_nothing_open(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    rig.executor.stop(worker);
    let report = rig.exit(worker);
    assert_eq!((report.exit, report.open_known, report.open), (Exit::Stopped, true, vec![]));
}

/// Three leases at once; batches may be cut anywhere.
pub fn outputs_come_in_order_and_each_once(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let sizes = [500, 1, 20];
    let leases = sizes.map(|size| rig.assign(worker, &(0..size).map(Deed::Echo).collect::<Vec<_>>()));
    for (lease, size) in leases.into_iter().zip(sizes) {
        let expected: Vec<_> = (0..size).map(|number| number.to_string()).collect();
        assert_eq!(rig.outputs(worker, lease, 0, size as u32), expected);
    }
    rig.expect_nothing_for(A_WHILE);
}

/// Kinds 1 to 5 between good items.
pub fn every_kind_of_failure_travels_and_its_neighbours_are_unharmed(subject: &Subject) {
    let kinds = [
        FailureKind::Transient,
        FailureKind::RateLimited { retry_after: Duration::from_millis(1500) },
        FailureKind::Offline,
        FailureKind::InvalidInput,
        FailureKind::Fatal,
    ];
    let (mut rig, worker) = Rig::ready(subject);
    let deeds: Vec<_> =
        (1..=5).flat_map(|kind| [fail(kind, "wäre möglich"), Deed::Echo(kind.into())]).collect();
    let lease = rig.assign(worker, &deeds);
    for (offset, kind) in (0..).step_by(2).zip(kinds) {
        let failure = rig.failure(worker, lease, offset);
        assert_eq!((failure.kind, &*failure.message), (kind, "wäre möglich"));
        assert_eq!(rig.outputs(worker, lease, offset + 1, 1), [(offset / 2 + 1).to_string()]);
    }
}

/// A number where a deed should be.
pub fn an_item_that_cannot_be_read_fails_alone(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign_all(worker, &[7777u64], 1, None);
    assert_eq!(rig.failure(worker, lease, 0).kind, FailureKind::InvalidInput);
    let lease = rig.assign(worker, &[Deed::Echo(1)]);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["1"]);
}

/// The second item runs until it is cancelled, so nothing but the flush can bring the first output.
pub fn a_finished_output_leaves_while_the_next_item_runs(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(5), Deed::Wait]);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["5"]);
    rig.executor.cancel_item(worker, lease, 1);
    assert_eq!(rig.failure(worker, lease, 1).kind, FailureKind::Interrupted);
}

/// Stage, progress, message and breadcrumbs.
pub fn what_an_open_item_says_can_be_seen(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(0), Deed::Wait]);
    let seen = rig.wait_open(worker, |item| item.breadcrumbs.len() == 2);
    let expected = OpenItem {
        slot: 0,
        lease,
        offset: 1,
        stage: "decode".into(),
        progress: Some((3, 14)),
        message: "page 3".into(),
        breadcrumbs: vec!["opened".into(), "parsed".into()],
    };
    assert_eq!(seen, expected);
    rig.executor.stop(worker);
}

/// Also where the item before and the item behind said other things, or nothing.
pub fn a_failure_brings_what_its_item_said_and_nothing_of_others(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Wait, fail(4, "mute")]);
    rig.wait_open(worker, |item| item.breadcrumbs.len() == 2);
    rig.executor.cancel_item(worker, lease, 0);
    let (said, failure) = rig.failed(worker);
    assert_eq!(failure.kind, FailureKind::Interrupted);
    let expected = OpenItem {
        slot: 0,
        lease,
        offset: 0,
        stage: "decode".into(),
        progress: Some((3, 14)),
        message: String::new(),
        breadcrumbs: vec!["opened".into(), "parsed".into()],
    };
    assert_eq!(said, expected);
    let (mute, _) = rig.failed(worker);
    assert_eq!(mute, OpenItem { lease, offset: 1, ..OpenItem::default() });
}

/// A cancel that names another item is no cancel.
pub fn a_cancelled_item_ends_and_no_other(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Wait, Deed::Echo(2), Deed::Wait]);
    rig.wait_open(worker, |item| item.offset == 0);
    rig.executor.cancel_item(worker, lease, 2);
    rig.expect_nothing_for(A_WHILE);
    rig.executor.cancel_item(worker, lease, 0);
    assert_eq!(rig.failure(worker, lease, 0).kind, FailureKind::Interrupted);
    assert_eq!(rig.outputs(worker, lease, 1, 1), ["2"]);
    rig.wait_open(worker, |item| item.offset == 2);
    rig.expect_nothing_for(A_WHILE);
    rig.executor.cancel_item(worker, lease, 2);
    assert_eq!(rig.failure(worker, lease, 2).kind, FailureKind::Interrupted);
}

/// While an item runs for long, and from a lease that waits behind it.
pub fn unstarted_items_can_be_taken_back(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let first = rig.assign(worker, &[Deed::Wait, Deed::Echo(1), Deed::Echo(2)]);
    let second = rig.assign(worker, &[Deed::Echo(3)]);
    rig.wait_open(worker, |item| item.lease == first);
    for (lease, expected) in [(second, 0), (first, 1)] {
        rig.executor.take_back(worker, lease);
        let said = rig.next(worker);
        assert!(
            matches!(said, WorkerEvent::Returned { lease: of, from } if (of, from) == (lease, expected)),
            "{said:?}"
        );
    }
    rig.executor.cancel_item(worker, first, 0);
    assert_eq!(rig.failure(worker, first, 0).kind, FailureKind::Interrupted);
    let third = rig.assign(worker, &[Deed::Echo(4)]);
    assert_eq!(rig.outputs(worker, third, 0, 1), ["4"]);
}

/// The answer says so, and comes.
pub fn nothing_of_a_finished_lease_can_be_taken_back(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(1), Deed::Echo(2)]);
    assert_eq!(rig.outputs(worker, lease, 0, 2), ["1", "2"]);
    rig.executor.take_back(worker, lease);
    let said = rig.next(worker);
    assert!(
        matches!(said, WorkerEvent::Returned { lease: of, from } if of == lease && from >= 2),
        "{said:?}"
    );
}

/// Until it is resumed.
pub fn a_paused_worker_opens_nothing(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    rig.executor.set_paused(worker, true);
    let lease = rig.assign(worker, &[Deed::Echo(1)]);
    rig.expect_nothing_for(A_WHILE);
    assert_eq!(rig.executor.observe(worker).map(|seen| (seen.items_opened, seen.open)), Some((0, vec![])));
    rig.executor.set_paused(worker, false);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["1"]);
}

/// What ended before is answered, what was not begun never is.
pub fn a_stop_interrupts_the_open_item_and_forgets_the_rest(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(0), Deed::Wait, Deed::Echo(2)]);
    rig.assign(worker, &[Deed::Echo(3)]);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["0"]);
    rig.wait_open(worker, |item| item.offset == 1);
    rig.executor.stop(worker);
    assert_eq!(rig.failure(worker, lease, 1).kind, FailureKind::Interrupted);
    let report = rig.exit(worker);
    assert_eq!((report.exit, report.open_known, report.open), (Exit::Stopped, true, vec![]));
}

/// While it starts, while it is idle, while an item is open; the first of them decides.
pub fn a_stop_and_a_kill_may_come_in_any_state_and_again(subject: &Subject) {
    let mut rig = Rig::new(subject, &ConformantConfig::default());
    let starting = cofferdam_pipeline_core::WorkerId(0);
    rig.executor.spawn(starting, cofferdam_pipeline_core::SlotNumber(0));
    kill_twice(&mut rig, starting);
    let said = std::iter::from_fn(|| Some(rig.next(starting)));
    let mut said = said.filter(|event| !matches!(event, WorkerEvent::Ready));
    assert!(matches!(said.next(), Some(WorkerEvent::Lost)));
    assert!(matches!(said.next(), Some(WorkerEvent::Exited(report)) if report.open.is_empty()));
    drop(said);

    let idle = rig.spawn(1);
    rig.executor.stop(idle);
    rig.executor.stop(idle);
    assert_eq!(rig.exit(idle).exit, Exit::Stopped);
    kill_twice(&mut rig, idle);

    let busy = rig.spawn(2);
    let lease = rig.assign(busy, &[Deed::Hang]);
    rig.wait_open(busy, |item| item.lease == lease);
    rig.executor.stop(busy);
    kill_twice(&mut rig, busy);
    assert_eq!(open_items(&rig.exit(busy).open), [(lease, 0)]);
    rig.expect_nothing_for(A_WHILE);
}

fn kill_twice(rig: &mut Rig, worker: WorkerId) {
    rig.executor.kill(worker, KillReason::JobOver);
    rig.executor.kill(worker, KillReason::Cancelled);
    rig.executor.stop(worker);
}

/// The failure first, then the exit.
pub fn a_failed_start_says_why(subject: &Subject) {
    let mut rig = Rig::new(subject, &ConformantConfig { start_failure: Some("no model".into()) });
    let worker = cofferdam_pipeline_core::WorkerId(0);
    rig.executor.spawn(worker, cofferdam_pipeline_core::SlotNumber(0));
    match rig.next(worker) {
        WorkerEvent::StartFailed(failure) => {
            assert_eq!((failure.kind, &*failure.message), (FailureKind::Fatal, "no model"));
        }
        other => panic!("{other:?} instead of StartFailed"),
    }
    assert_eq!(rig.exit(worker).exit, Exit::StartFailed("no model".into()));
}

/// With the number of the attempt.
pub fn a_saved_state_precedes_its_failure_and_comes_back(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(0), Deed::Save("page 190".into()), Deed::Recall]);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["0"]);
    let state = match rig.next(worker) {
        WorkerEvent::StateSaved { lease: of, offset: 1, state } if of == lease => state,
        other => panic!("{other:?} instead of a saved state"),
    };
    assert_eq!(state[..], *b"page 190");
    assert_eq!(rig.failure(worker, lease, 1).kind, FailureKind::Transient);
    assert_eq!(rig.outputs(worker, lease, 2, 1), ["1:"]);
    let lease = rig.retry(worker, Deed::Recall, 2, Some(state));
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["2:page 190"]);
}

/// The executor under test has a place for them.
pub fn each_attempt_has_a_scratch_directory_that_is_gone_before_its_result(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Scratch, Deed::Scratch]);
    let made = rig.outputs(worker, lease, 0, 2);
    let made: Vec<&Path> = made.iter().map(Path::new).collect();
    assert!(made[0] != made[1] && made[0].parent() == made[1].parent(), "{made:?}");
    assert!(made.iter().all(|dir| dir.is_absolute() && !dir.exists()), "{made:?}");
}

/// Larger than a socket's buffer and than a batch, among small ones.
pub fn a_large_item_and_its_output_pass(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let deeds = [Deed::Echo(0), Deed::Repeat { text: "ä".repeat(100_000), times: 2 }, Deed::Echo(2)];
    let lease = rig.assign(worker, &deeds);
    let outputs = rig.outputs(worker, lease, 0, 3);
    assert_eq!((&*outputs[0], &*outputs[2]), ("0", "2"));
    assert_eq!(outputs[1], "ä".repeat(200_000));
}

/// One that no frame would hold, among small ones; then one with a saved state.
pub fn an_item_in_a_file_is_read_from_there_and_the_file_stays_as_it_is(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let before = rig.assign(worker, &[Deed::Echo(0)]);
    let large = Deed::Repeat { text: "ä".repeat(5 << 20), times: 0 };
    let (path, staged) = rig.stage(worker, &large, 1, None);
    let behind = rig.assign(worker, &[Deed::Echo(2)]);
    assert_eq!(rig.outputs(worker, before, 0, 1), ["0"]);
    assert_eq!(rig.outputs(worker, staged, 0, 1), [""]);
    assert_eq!(rig.outputs(worker, behind, 0, 1), ["2"]);
    assert!(path.is_file(), "it is the host's to remove");
    let (_, staged) = rig.stage(worker, &Deed::Recall, 2, Some(b"page 190"[..].into()));
    assert_eq!(rig.outputs(worker, staged, 0, 1), ["2:page 190"]);
}

/// Longer, shorter, other bytes, gone.
pub fn an_item_whose_file_was_changed_fails_alone_and_is_not_at_fault(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    type Change = fn(&Path) -> std::io::Result<()>;
    let changes: [Change; 4] = [
        |path| std::fs::write(path, [&*std::fs::read(path)?, b" "].concat()),
        |path| std::fs::write(path, b""),
        |path| std::fs::write(path, std::fs::read(path)?.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()),
        |path| std::fs::remove_file(path),
    ];
    for change in changes {
        let held = rig.assign(worker, &[Deed::Wait]);
        rig.wait_open(worker, |item| item.lease == held);
        let (path, staged) = rig.stage(worker, &Deed::Echo(1), 1, None);
        let behind = rig.assign(worker, &[Deed::Echo(2)]);
        change(&path).expect("the file is there");
        rig.executor.cancel_item(worker, held, 0);
        assert_eq!(rig.failure(worker, held, 0).kind, FailureKind::Interrupted);
        assert_eq!(rig.failure(worker, staged, 0).kind, FailureKind::Transient);
        assert_eq!(rig.outputs(worker, behind, 0, 1), ["2"]);
    }
}

/// It is not looked at before its turn.
pub fn an_item_in_a_file_can_be_taken_back(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let held = rig.assign(worker, &[Deed::Wait]);
    rig.wait_open(worker, |item| item.lease == held);
    let (path, staged) = rig.stage(worker, &Deed::Echo(1), 1, None);
    std::fs::remove_file(path).expect("the file is there");
    rig.executor.take_back(worker, staged);
    let said = rig.next(worker);
    assert!(
        matches!(said, WorkerEvent::Returned { lease: of, from } if (of, from) == (staged, 0)),
        "{said:?}"
    );
    rig.executor.cancel_item(worker, held, 0);
    assert_eq!(rig.failure(worker, held, 0).kind, FailureKind::Interrupted);
}

/// What ended before is answered.
pub fn a_panic_names_its_item_and_says_what_it_said(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Echo(0), Deed::Panic("page 7 is torn".into()), Deed::Echo(2)]);
    assert_eq!(rig.outputs(worker, lease, 0, 1), ["0"]);
    let report = rig.exit(worker);
    match &report.exit {
        Exit::Panic { message, location, .. } => {
            assert_eq!(message, "page 7 is torn");
            assert!(location.contains(':'), "where it was: `{location}`");
        }
        other => panic!("{other:?} instead of a panic"),
    }
    assert_eq!((report.open_known, open_items(&report.open)), (true, vec![(lease, 1)]));
}

/// Also with code 0, which says that all is well.
pub fn an_exit_with_an_open_item_is_an_exit_and_names_the_item(subject: &Subject) {
    for code in [0, 3] {
        let (mut rig, worker) = Rig::ready(subject);
        let lease = rig.assign(worker, &[Deed::Exit(code)]);
        let report = rig.exit(worker);
        assert_eq!((report.exit, open_items(&report.open)), (Exit::Code(code), vec![(lease, 0)]));
    }
}

/// Stalled is not dead; and a kill ends it.
pub fn a_hung_worker_beats_until_it_is_killed(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    let lease = rig.assign(worker, &[Deed::Hang]);
    rig.wait_open(worker, |item| item.lease == lease);
    rig.wait_beat(worker);
    rig.executor.kill(worker, KillReason::JobOver);
    let report = rig.exit(worker);
    // A thread cannot be killed: it is abandoned.
    let expected = if rig.is_process { Exit::Killed(KillReason::JobOver) } else { Exit::Abandoned };
    assert_eq!((report.exit, open_items(&report.open)), (expected, vec![(lease, 0)]));
}

/// Which goes on with what it has.
pub fn the_end_of_one_worker_leaves_the_other_alone(subject: &Subject) {
    let (mut rig, doomed) = Rig::ready(subject);
    let other = rig.spawn(1);
    let kept = rig.assign(other, &[Deed::Wait, Deed::Echo(8)]);
    rig.wait_open(other, |item| item.lease == kept);
    rig.assign(doomed, &[Deed::Panic("over".into())]);
    assert!(matches!(rig.exit(doomed).exit, Exit::Panic { .. }));
    rig.executor.cancel_item(other, kept, 0);
    assert_eq!(rig.failure(other, kept, 0).kind, FailureKind::Interrupted);
    assert_eq!(rig.outputs(other, kept, 1, 1), ["8"]);
}

/// The host cannot know yet: what it says crosses what it will hear.
pub fn what_is_said_to_a_worker_that_has_ended_is_ignored(subject: &Subject) {
    let (mut rig, worker) = Rig::ready(subject);
    rig.executor.stop(worker);
    assert_eq!(rig.exit(worker).exit, Exit::Stopped);
    let lease = rig.assign(worker, &[Deed::Echo(1)]);
    rig.executor.take_back(worker, lease);
    rig.executor.cancel_item(worker, lease, 0);
    rig.executor.set_paused(worker, true);
    rig.executor.stop(worker);
    rig.executor.kill(worker, KillReason::JobOver);
    assert!(rig.executor.observe(worker).is_none_or(|seen| seen.open.is_empty()));
    rig.expect_nothing_for(A_WHILE);
}
