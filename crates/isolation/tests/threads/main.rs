//! Workers that are threads, through the `Executor` trait: every event, and who is to blame.
#![allow(clippy::unwrap_used, missing_docs)]

mod processor;
mod rig;

use cofferdam_isolation::ThreadExecutor;
use cofferdam_pipeline_core::{
    Executor, Exit, FailureKind, KillReason, LeaseId, OpenItem, SlotNumber, TimeLimit, WorkerEvent,
};
use processor::{Act, Actor, Start};
use rig::{Rig, WORKER};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

fn echoes(numbers: std::ops::Range<u32>) -> Vec<Act> {
    numbers.map(Act::Echo).collect()
}

fn number(output: &[u8]) -> u32 {
    u32::from_le_bytes(output.try_into().unwrap())
}

/// What the open item of `Act::Wait` and `Act::Panic` looks like.
fn traced(lease: u32, offset: u32) -> OpenItem {
    OpenItem {
        slot: 0,
        lease: LeaseId(lease),
        offset,
        stage: "decode".into(),
        progress: Some((3, 14)),
        message: "page 3".into(),
        breadcrumbs: vec!["opened".into(), "parsed".into()],
    }
}

#[test]
fn the_outputs_of_all_leases_come_back_in_order() {
    let mut rig = Rig::ready();
    rig.assign(1, &echoes(0..5000));
    rig.assign(2, &echoes(5000..5003));
    let first: Vec<_> = rig.replies_for(1, 5000).iter().map(|output| number(output)).collect();
    assert_eq!(first, (0..5000).collect::<Vec<_>>());
    let second: Vec<_> = rig.replies_for(2, 3).iter().map(|output| number(output)).collect();
    assert_eq!(second, [5000, 5001, 5002]);
}

#[test]
fn a_finished_reply_leaves_while_the_next_item_runs() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(5), Act::Wait]);
    rig.gate.expect("waiting");
    // The second item waits for us: nothing but the flush can bring the first reply.
    assert_eq!(number(&rig.replies_for(1, 1)[0]), 5);
    rig.gate.go.send(()).unwrap();
    let (lease, offset, outputs) = rig.replies();
    assert_eq!((lease, offset, outputs), (1, 1, vec![b"waited".to_vec()]));
}

#[test]
fn a_failure_leaves_its_neighbours_alone() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::RateLimited(1500), Act::Echo(2)]);
    assert_eq!(rig.replies_for(1, 1).len(), 1);
    match rig.next() {
        WorkerEvent::Failed { item, failure } => {
            assert_eq!((item.lease, item.offset), (LeaseId(1), 1));
            assert_eq!(failure.kind, FailureKind::RateLimited { retry_after: Duration::from_millis(1500) });
            assert_eq!(failure.message, "slow down");
        }
        other => panic!("a failure, not {other:?}"),
    }
    let (_, offset, outputs) = rig.replies();
    assert_eq!((offset, number(&outputs[0])), (2, 2));
}

#[test]
fn an_item_of_another_type_fails_with_the_processors_name() {
    let mut rig = Rig::ready();
    let mut builder = cofferdam_pipeline_core::ChunkBuilder::default();
    builder.push(|out| rig::CODEC.encode("no act", out)).unwrap();
    let chunk = builder.finish(Default::default(), Default::default()).unwrap();
    let assignment = cofferdam_pipeline_core::Assignment {
        lease: LeaseId(1),
        attempt: 1,
        chunk: Arc::new(chunk),
        range: 0..1,
        saved_state: None,
    };
    rig.executor.assign(WORKER, assignment);
    match rig.next() {
        WorkerEvent::Failed { failure, .. } => {
            assert_eq!(failure.kind, FailureKind::InvalidInput);
            assert!(failure.message.contains("cannot read an item of actor"), "{}", failure.message);
        }
        other => panic!("a failure, not {other:?}"),
    }
}

#[test]
fn a_large_output_travels_alone_and_a_too_large_one_fails_its_item_only() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::Bytes(100_000), Act::Bytes(2 << 20), Act::Echo(3)]);
    let outputs = rig.replies_for(1, 2);
    assert_eq!(outputs[1], vec![7; 100_000]);
    match rig.next() {
        WorkerEvent::Failed { item, failure } => {
            assert_eq!(item.offset, 2);
            assert!(failure.message.contains("the output of actor has 2097157 bytes"), "{}", failure.message);
        }
        other => panic!("a failure, not {other:?}"),
    }
    assert_eq!(number(&rig.replies().2[0]), 3);
}

#[test]
fn a_panic_ends_the_worker_with_its_open_item_and_its_traces() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::Panic("bad page".into()), Act::Echo(2)]);
    assert_eq!(rig.replies_for(1, 1).len(), 1);
    let report = rig.exit();
    match report.exit {
        Exit::Panic { message, location, backtrace } => {
            assert_eq!(message, "bad page");
            assert!(location.contains("processor.rs:"), "{location}");
            assert!(backtrace.contains("processor"), "{backtrace}");
        }
        other => panic!("a panic, not {other:?}"),
    }
    assert_eq!((report.open, report.open_known), (vec![traced(1, 1)], true));
    rig.gate.expect("dropped");
}

#[test]
fn a_start_that_fails_costs_no_item() {
    let rig = Rig::starting(Start::Fail, |_| {});
    match rig.next() {
        WorkerEvent::StartFailed(failure) => assert_eq!(failure.kind, FailureKind::Transient),
        other => panic!("a failed start, not {other:?}"),
    }
    let report = rig.exit();
    assert_eq!((report.exit, report.open), (Exit::StartFailed("no model".into()), vec![]));
}

#[test]
fn a_start_that_panics_is_a_failed_start() {
    let rig = Rig::starting(Start::Panic, |_| {});
    match rig.exit().exit {
        Exit::StartFailed(what) => assert!(what.ends_with("start is broken"), "{what}"),
        other => panic!("a failed start, not {other:?}"),
    }
}

#[test]
fn a_config_of_another_type_is_fatal() {
    let rig = Rig::starting(Start::Succeed, |settings| settings.config = vec![255; 3]);
    match rig.next() {
        WorkerEvent::StartFailed(failure) => {
            assert_eq!(failure.kind, FailureKind::Fatal);
            assert!(failure.message.contains("cannot read the config of actor"), "{}", failure.message);
        }
        other => panic!("a failed start, not {other:?}"),
    }
}

#[test]
fn a_start_that_takes_too_long_is_abandoned() {
    let limit = Duration::from_millis(20);
    let rig = Rig::starting(Start::Wait, |settings| settings.start_wall_max = limit);
    assert_eq!(rig.exit().exit, Exit::TimedOut { limit: TimeLimit::Start, after: limit });
}

#[test]
fn unstarted_items_are_taken_back_and_never_run() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::Wait, Act::Echo(2)]);
    rig.assign(2, &echoes(0..9));
    rig.gate.expect("waiting");
    assert_eq!(rig.replies_for(1, 1).len(), 1);
    for (lease, from) in [(1, 2), (2, 0), (99, u32::MAX)] {
        rig.executor.take_back(WORKER, LeaseId(lease));
        match rig.next() {
            WorkerEvent::Returned { lease: of, from: first } => assert_eq!((of.0, first), (lease, from)),
            other => panic!("an answer, not {other:?}"),
        }
    }
    rig.gate.go.send(()).unwrap();
    let (lease, offset, outputs) = rig.replies();
    assert_eq!((lease, offset, outputs.len()), (1, 1, 1));
    rig.assign(3, &echoes(0..1));
    assert_eq!(rig.replies().0, 3, "nothing of leases 1 and 2 comes in between");
}

#[test]
fn a_worker_that_is_asked_to_stop_ends_its_open_item_first() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Wait, Act::Echo(1)]);
    rig.gate.expect("waiting");
    rig.executor.stop(WORKER);
    rig.gate.go.send(()).unwrap();
    assert_eq!(rig.replies(), (1, 0, vec![b"waited".to_vec()]));
    assert_eq!(rig.exit().exit, Exit::Stopped);
    rig.gate.expect("stopped");
    rig.gate.expect("dropped");
}

#[test]
fn a_stop_interrupts_check() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::CheckForEver]);
    rig.gate.expect("checking");
    rig.executor.stop(WORKER);
    match rig.next() {
        WorkerEvent::Failed { failure, .. } => assert_eq!(failure.kind, FailureKind::Interrupted),
        other => panic!("a failure, not {other:?}"),
    }
    assert_eq!(rig.exit().exit, Exit::Stopped);
}

#[test]
fn a_hung_thread_is_abandoned_and_its_late_result_is_not_heard() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::Wait]);
    rig.gate.expect("waiting");
    let after = Duration::from_secs(1);
    rig.executor.kill(WORKER, KillReason::TimeLimit(TimeLimit::Item, after));
    assert_eq!(rig.replies_for(1, 1).len(), 1, "what was finished counts");
    let report = rig.exit();
    assert_eq!(report.exit, Exit::TimedOut { limit: TimeLimit::Item, after });
    assert_eq!(report.open, [traced(1, 1)]);
    rig.gate.go.send(()).unwrap();
    // It has come back, found that nobody listens, and left.
    rig.gate.expect("dropped");
    assert!(rig.events.try_recv().is_err());
}

#[test]
fn a_kill_for_another_reason_abandons_a_busy_thread_and_ends_an_idle_one() {
    let mut busy = Rig::ready();
    busy.assign(1, &[Act::Wait]);
    busy.gate.expect("waiting");
    busy.executor.kill(WORKER, KillReason::Cancelled);
    let report = busy.exit();
    assert_eq!((report.exit, report.open), (Exit::Abandoned, vec![traced(1, 0)]));
    let mut idle = Rig::ready();
    idle.executor.kill(WORKER, KillReason::JobOver);
    assert_eq!(idle.exit().exit, Exit::Killed(KillReason::JobOver));
    idle.gate.expect("stopped");
}

#[test]
fn a_paused_worker_opens_no_item_until_it_is_resumed() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::WaitThenCheck, Act::Echo(1)]);
    rig.gate.expect("waiting");
    rig.executor.set_paused(WORKER, true);
    rig.gate.go.send(()).unwrap();
    rig.executor.take_back(WORKER, LeaseId(99));
    assert!(matches!(rig.next(), WorkerEvent::Returned { .. }), "it answers while it is paused");
    let open = rig.executor.observe(WORKER).unwrap().open;
    assert_eq!(open.len(), 1, "`check` blocks");
    rig.executor.set_paused(WORKER, false);
    assert_eq!(rig.replies_for(1, 2)[0], b"checked");
}

#[test]
fn an_observer_sees_the_open_item_and_the_heartbeat() {
    let mut rig = Rig::ready();
    rig.assign(1, &[Act::Echo(0), Act::Wait]);
    rig.gate.expect("waiting");
    let seen = rig.executor.observe(WORKER).unwrap();
    assert_eq!((seen.open, seen.items_opened), (vec![traced(1, 1)], 2));
    while rig.executor.observe(WORKER).unwrap().heartbeat <= seen.heartbeat {
        std::thread::yield_now();
    }
}

#[test]
fn whatever_is_taken_back_was_not_processed_and_all_else_was() {
    const LEASES: u32 = 300;
    const ITEMS: u32 = 400;
    let mut rig = Rig::ready();
    let mut processed = 0;
    for lease in 1..=LEASES {
        rig.assign(lease, &echoes(0..ITEMS));
        for _ in 0..lease * 37 % 5000 {
            std::hint::spin_loop();
        }
        rig.executor.take_back(WORKER, LeaseId(lease));
        let (mut done, mut from) = (0, None);
        while from != Some(done) {
            match rig.next() {
                WorkerEvent::Replied(batch) => {
                    assert_eq!((batch.lease.0, batch.offset), (lease, done));
                    done += batch.count;
                }
                WorkerEvent::Returned { lease: of, from: first } => {
                    assert_eq!(of.0, lease);
                    from = Some(first.min(ITEMS));
                }
                other => panic!("{other:?}"),
            }
        }
        processed += u64::from(done);
    }
    rig.assign(LEASES + 1, &echoes(0..1));
    assert_eq!(rig.replies().0, LEASES + 1, "no reply is left over");
    assert_eq!(rig.executor.observe(WORKER).unwrap().items_opened, processed + 1, "nothing ran in vain");
    eprintln!("{processed} of {} items were processed before they were asked for", LEASES * ITEMS);
}

#[test]
fn events_name_their_workers_and_slots_run_side_by_side() {
    let gates = [processor::Gate::new(), processor::Gate::new()];
    let (said, events) = channel();
    let sink = Arc::new(move |worker, event| drop(said.send((worker, event))));
    let mut executors: Vec<_> = gates
        .iter()
        .zip(0..)
        .map(|(gate, n)| {
            let mut config = Vec::new();
            rig::CODEC
                .encode(&processor::Plan { gate: gate.number, start: Start::Succeed }, &mut config)
                .unwrap();
            let mut executor = ThreadExecutor::new::<Actor>(rig::settings(config), sink.clone()).unwrap();
            executor.spawn(cofferdam_pipeline_core::WorkerId(n), SlotNumber(n));
            executor
        })
        .collect();
    let mut ready: Vec<_> = (0..2).map(|_| events.recv().unwrap().0.0).collect();
    ready.sort_unstable();
    assert_eq!(ready, [0, 1]);
    executors.clear();
    gates.iter().for_each(|gate| gate.expect("stopped"));
}
