//! Workers that take several items at once.

use crate::harness::{Harness, SECOND, policy, segv, sigkill};
use cofferdam_pipeline_core::{Failure, FailureKind, Policy};
use std::num::NonZeroU32;

fn slots(count: u32) -> Policy {
    Policy { slots_per_worker: NonZeroU32::new(count).unwrap(), ..policy(1) }
}

/// One worker of four slots that holds a lease of several items, its id and length.
fn with_a_wide_lease() -> (Harness, u32, u32) {
    let mut h = Harness::new(slots(4));
    h.feed(500);
    h.ready(1);
    h.now = h.now + SECOND / 10_000;
    h.reply(1, 1, 0, 1);
    let (lease, len) = h.log.iter().rev().find_map(|line| wide(line)).expect("a lease of several");
    (h, lease, len)
}

fn wide(line: &str) -> Option<(u32, u32)> {
    let mut words = line.strip_prefix("assign w1 l")?.split(' ');
    let lease = words.next()?.parse().ok()?;
    let (start, end) = words.next()?.split_once("..")?;
    let len = end.parse::<u32>().ok()? - start.parse::<u32>().ok()?;
    (len >= 3).then_some((lease, len))
}

#[test]
fn a_worker_has_an_item_for_each_slot_and_about_as_many_ahead() {
    let mut h = Harness::with_policy_and_items(slots(4), 20);
    assert_eq!(h.count("assign w1"), 5);
    assert_eq!(h.reply(1, 3, 0, 1)[1..], ["assign w1 l6 5..9 #1"], "eight");
}

#[test]
fn items_of_a_lease_may_end_in_any_order() {
    let (mut h, lease, len) = with_a_wide_lease();
    assert!(h.reply(1, lease, 1, 1)[0].starts_with("commit"));
    assert!(h.fail(1, lease, 2, Failure::invalid_input("no"))[0].ends_with("failed invalid-input x1"));
    assert!(h.reply(1, lease, 0, 1)[0].starts_with("commit"), "the first one last");
    assert_eq!(
        h.reply(1, lease, 1, 1),
        ["kill w1 ProtocolViolation", "spawn w2 s0"],
        "it has its result, len {len}"
    );
}

#[test]
fn what_a_death_leaves_open_comes_back_without_what_has_ended() {
    let (mut h, lease, len) = with_a_wide_lease();
    assert!(len >= 3);
    h.reply(1, lease, 1, 1);
    let middle = h.commits.last().unwrap().range.clone();
    h.exit(1, segv(), &[(lease, 0)]);
    assert_eq!(h.count("suspected"), 1);
    assert_eq!(h.count(&format!("suspected {}", middle.start - 1)), 1);
    let before = h.commits.len();
    h.ready(2);
    while let Some((lease, count)) = h.open_lease(2, &done(&h, before)) {
        for offset in 0..count {
            h.reply(2, lease, offset, 1);
        }
    }
    let again = h.commits[before..].iter().any(|c| c.range.contains(&middle.start));
    assert!(!again, "settled once");
}

/// Leases of worker 2 that are worked off: as many as needed for the commits since `before`.
fn done(h: &Harness, before: usize) -> Vec<u32> {
    let mut left = h.commits.len() - before;
    let mut done = Vec::new();
    while let Some((lease, count)) = h.open_lease(2, &done).filter(|(_, count)| *count as usize <= left) {
        left -= count as usize;
        done.push(lease);
    }
    done
}

#[test]
fn items_that_have_ended_cannot_be_given_back() {
    let mut h = Harness::new(Policy { workers: NonZeroU32::new(2).unwrap(), ..slots(2) });
    h.feed(3);
    h.step(cofferdam_pipeline_core::supervisor::Input::SourceEnded);
    h.ready(1);
    let leases = h.count("assign w1");
    assert_eq!(leases, 3);
    h.ready(2);
    h.wait(SECOND);
    assert_eq!(h.count("take back w1"), 1, "{:#?}", h.log);
    let lease: u32 =
        h.log.iter().find_map(|l| l.strip_prefix("take back w1 lease ")).unwrap().parse().unwrap();
    assert_eq!(lease, 3, "the two slots may have started the first two");
    h.returned(1, lease, 0);
    assert_eq!(h.count("assign w2"), 1);
}

#[test]
fn who_gives_items_back_from_beyond_the_lease_gives_none_back_and_the_lease_stays_as_long_as_it_was() {
    for beyond in [2, 63, 64, u32::MAX] {
        let mut h = Harness::new(Policy { workers: NonZeroU32::new(2).unwrap(), ..slots(2) });
        h.feed(3);
        h.step(cofferdam_pipeline_core::supervisor::Input::SourceEnded);
        h.ready(1);
        h.ready(2);
        h.wait(SECOND);
        assert_eq!((h.count("take back w1 lease 3"), h.lease_lens()[2]), (1, 1));
        assert_eq!(h.returned(1, 3, beyond), [""; 0], "from {beyond}");
        (1..=2).for_each(|lease| drop(h.reply(1, lease, 0, 1)));
        assert_eq!(
            h.reply(1, 3, 1, 1),
            ["kill w1 ProtocolViolation"],
            "an item that is not there, from {beyond}"
        );
        assert_eq!(h.commits.len(), 2);
    }
}

#[test]
fn leases_of_unordered_items_fit_one_word() {
    let (mut h, ..) = {
        let mut h = Harness::new(slots(100));
        h.feed(5_000);
        h.ready(1);
        h.now = h.now + SECOND / 1_000_000;
        for lease in 1..=200 {
            h.reply(1, lease, 0, 1);
        }
        (h, 0)
    };
    let longest = h.lease_lens().into_iter().max().unwrap();
    assert!(longest <= 64, "{longest}");
    h.wait(SECOND);
}

#[test]
fn a_worker_never_has_more_than_two_items_for_each_slot() {
    let mut h = Harness::new(slots(4));
    h.feed(500);
    h.ready(1);
    let mut done = Vec::new();
    for _ in 0..60 {
        let (lease, count) = h.open_lease(1, &done).expect("there is work");
        h.now = h.now + SECOND / 1_000_000;
        for offset in (0..count).rev() {
            h.reply(1, lease, offset, 1);
            let unsettled = h.supervisor.workers().next().expect("it lives").unsettled;
            assert!((4..=8).contains(&unsettled), "{unsettled}");
        }
        done.push(lease);
    }
}

#[test]
fn an_item_of_another_slot_that_is_interrupted_by_a_kill_runs_again_and_neither_is_charged() {
    let limited = Policy { item_wall_max: Some(10 * SECOND), ..slots(2) };
    let mut h = Harness::with_policy_and_items(limited, 2);
    h.observe(1, &[(1, 0)]);
    h.wait(5 * SECOND);
    h.observe(1, &[(1, 0), (2, 0)]);
    assert_eq!(h.wait(5 * SECOND)[0], "kill w1 TimeLimit(Item, 10s)");
    assert_eq!(h.fail(1, 2, 0, Failure::new(FailureKind::Interrupted, "told to stop")), [""; 0]);
    h.exit(1, sigkill(), &[]);
    assert_eq!((h.count("suspected"), h.count("note")), (0, 0), "the first one had just ended: {:#?}", h.log);
    h.ready(2);
    let again = h.log.iter().filter(|line| line.starts_with("assign w2") && line.ends_with("#1")).count();
    assert_eq!(again, 2, "{:#?}", h.log);
}

#[test]
fn an_item_that_was_open_beside_the_one_whose_time_was_up_is_no_evidence_against_it() {
    let limited = Policy { item_wall_max: Some(10 * SECOND), ..slots(2) };
    let mut h = Harness::with_policy_and_items(limited, 2);
    h.observe(1, &[(1, 0)]);
    h.wait(10 * SECOND);
    h.exit(1, sigkill(), &[(2, 0)]);
    assert_eq!((h.count("exited w1 time-limit"), h.count("suspected")), (1, 0));
}
