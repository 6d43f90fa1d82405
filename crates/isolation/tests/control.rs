//! Stop, pause and take back.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use cofferdam_pipeline_core::{Executor, Exit, FailureKind, WorkerEvent};
use common::{Host, Item, outputs};
use std::time::Duration;

#[test]
fn worker() {
    common::enter_worker();
}

/// Long enough for something wrong to show; nothing waits for it when all is well but for this one look.
const LOOK: Duration = Duration::from_millis(200);

fn echo(text: &str) -> Item {
    Item::Echo(text.into())
}

#[test]
fn an_idle_worker_stops_when_asked() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.executor.stop(worker);
    let end = host.end_of(worker);
    assert_eq!((&end.report().exit, end.report().open.len(), end.others.len()), (&Exit::Stopped, 0, 0));
}

#[test]
fn a_stop_interrupts_the_open_item_and_starts_no_other() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let lease = host.assign(worker, &[Item::Check, echo("never")]);
    host.wait_observed(worker, |open| !open.is_empty());
    host.executor.stop(worker);
    let end = host.end_of(worker);
    assert_eq!(end.report().exit, Exit::Stopped);
    match &end.others[..] {
        [WorkerEvent::Failed { item, failure }] => {
            assert_eq!((item.lease, item.offset), (lease, 0));
            assert_eq!(failure.kind, FailureKind::Interrupted);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(end.answered(), 0);
}

#[test]
fn a_paused_worker_starts_nothing_until_it_goes_on() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.executor.set_paused(worker, true);
    host.assign(worker, &[echo("later")]);
    let early = host.event_within(LOOK);
    assert!(early.is_none(), "{early:?}");
    host.executor.set_paused(worker, false);
    assert_eq!(outputs(&host.replied().1), [b"later"]);
}

#[test]
fn a_worker_can_be_paused_before_it_exists() {
    let mut host = Host::new();
    let worker = host.spawn(0);
    host.executor.set_paused(worker, true);
    assert!(matches!(host.event().1, WorkerEvent::Ready));
    host.assign(worker, &[echo("later")]);
    let early = host.event_within(LOOK);
    assert!(early.is_none(), "{early:?}");
    host.executor.set_paused(worker, false);
    assert_eq!(outputs(&host.replied().1), [b"later"]);
}

#[test]
fn a_stop_reaches_a_worker_that_is_paused_within_an_item() {
    let mut host = Host::new();
    let worker = host.ready(0);
    host.assign(worker, &[Item::Check]);
    host.wait_observed(worker, |open| !open.is_empty());
    host.executor.set_paused(worker, true);
    host.executor.stop(worker);
    assert_eq!(host.end_of(worker).report().exit, Exit::Stopped);
}

#[test]
fn unstarted_items_come_back_while_the_first_still_runs() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let first = host.assign(worker, &[Item::Check, echo("a"), echo("b")]);
    let second = host.assign(worker, &[echo("c")]);
    host.wait_observed(worker, |open| !open.is_empty());
    for (lease, expected) in [(first, 1), (second, 0)] {
        host.executor.take_back(worker, lease);
        match host.event() {
            (_, WorkerEvent::Returned { lease: of, from }) => assert_eq!((of, from), (lease, expected)),
            other => panic!("{other:?}"),
        }
    }
    host.executor.stop(worker);
    let end = host.end_of(worker);
    assert_eq!((&end.report().exit, end.answered()), (&Exit::Stopped, 0));
}

#[test]
fn a_finished_reply_leaves_while_the_next_item_runs() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let lease = host.assign(worker, &[echo("done"), Item::Check]);
    let (_, batch) = host.replied();
    assert_eq!((batch.lease, batch.offset, outputs(&batch)), (lease, 0, vec![b"done".to_vec()]));
    assert_eq!(host.wait_observed(worker, |open| !open.is_empty())[0].offset, 1);
    host.executor.stop(worker);
    host.end_of(worker);
}

#[test]
fn a_failure_is_an_answer_and_the_next_item_runs() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let lease = host.assign(worker, &[Item::Fail("not now".into()), echo("next")]);
    match host.event() {
        (_, WorkerEvent::Failed { item, failure }) => {
            assert_eq!((item.lease, item.offset), (lease, 0));
            assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Transient, "not now"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(host.replied().1.offset, 1);
}

#[test]
fn memory_and_heartbeat_of_a_living_worker_are_seen() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let first = host.executor.observe(worker).unwrap();
    assert!(first.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{first:?}");
    let later = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(5));
        host.executor.observe(worker).unwrap().heartbeat
    });
    assert!(later.take(1000).any(|beat| beat > first.heartbeat));
}
