//! When a job gives up, and when a worker is replaced.

use crate::harness::{Harness, MS, policy};
use cofferdam_pipeline_core::supervisor::Control;
use cofferdam_pipeline_core::{Exit, Failure, FailureBudget, Policy};
use std::num::NonZeroU64;

fn with_budget(budget: FailureBudget, items: u32) -> Harness {
    Harness::with_policy_and_items(Policy { failure_budget: Some(budget), ..policy(1) }, items)
}

fn fail(h: &mut Harness, lease: u32) -> Vec<String> {
    h.fail(1, lease, 0, Failure::invalid_input("no"));
    h.commit_all()
}

#[test]
fn more_failures_than_the_budget_end_the_job_once_they_are_durable() {
    let budget = FailureBudget { failures_max: Some(1), percent_max: None, percent_after: 0 };
    let mut h = with_budget(budget, 9);
    assert_eq!(fail(&mut h, 1), ["durable 1 failed"]);
    assert!(!h.fail(1, 2, 0, Failure::invalid_input("no")).contains(&"stop w1".to_owned()));
    assert_eq!(h.commit_all(), ["durable 1 failed", "stop w1"]);
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.log.last().unwrap(), "finish FailureBudget { failures: 2, settled: 2 }");
}

#[test]
fn a_share_of_failures_counts_once_enough_items_are_settled() {
    let budget = FailureBudget { failures_max: None, percent_max: Some(50), percent_after: 4 };
    let mut h = with_budget(budget, 9);
    fail(&mut h, 1);
    fail(&mut h, 2);
    h.reply(1, 3, 0, 1);
    assert_eq!(h.commit_all(), ["durable 1 completed"], "two of three, but it is early");
    h.work_off_from(1, 4, 1);
    assert!(h.commit_all().iter().all(|line| line != "stop w1"), "two of four are just enough");
}

#[test]
fn a_share_above_the_budget_ends_the_job_and_cancelled_items_count_as_neither() {
    let budget = FailureBudget { failures_max: None, percent_max: Some(10), percent_after: 2 };
    let mut h = with_budget(budget, 9);
    h.cancel_item(8);
    fail(&mut h, 1);
    assert_eq!(h.commits.len(), 2);
    assert_eq!(h.count("stop w1"), 0, "one item is settled, not two");
    assert_eq!(fail(&mut h, 2), ["durable 1 failed", "stop w1"]);
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.log.last().unwrap(), "finish FailureBudget { failures: 2, settled: 2 }");
}

#[test]
fn a_drain_ends_as_a_drain_even_if_the_budget_is_used_up_later() {
    let budget = FailureBudget { failures_max: Some(0), percent_max: None, percent_after: 0 };
    let mut h = with_budget(budget, 1);
    h.control(Control::Cancel);
    fail(&mut h, 1);
    h.exit(1, Exit::Stopped, &[]);
    assert_eq!(h.log.last().unwrap(), "finish Cancelled", "the first decision stands");
}

#[test]
fn a_worker_is_replaced_after_its_items() {
    let items_per_worker_max = NonZeroU64::new(7);
    let mut h = Harness::with_policy_and_items(Policy { items_per_worker_max, ..policy(1) }, 40);
    for worker in 1..=6 {
        let mut done = Vec::new();
        while let Some((lease, count)) = h.open_lease(worker, &done) {
            h.now = h.now + MS / 100;
            h.reply(worker, lease, 0, count);
            done.push(lease);
        }
        let given = h.items_of(worker);
        assert!(given <= 7, "worker {worker} got {given} items");
        if h.commits.iter().map(|c| c.range.len()).sum::<usize>() == 40 {
            return;
        }
        assert_eq!(given, 7);
        assert_eq!(h.log.last().unwrap(), &format!("stop w{worker}"));
        h.exit(worker, Exit::Stopped, &[]);
        h.ready(worker + 1);
    }
    panic!("{:#?}", h.log);
}
