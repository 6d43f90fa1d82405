//! The arithmetic of leases, at its bounds.

use super::*;

const PLENTY: Left = Left { items: u64::MAX, shares: 1 };

/// A target of `target_ns` for a lease, and one sample of an item's time.
fn pace(target_ns: u64, item_ns: u64) -> Pace {
    let limits =
        LeaseLimits { target: Duration::from_nanos(target_ns), items_max: 1_000, ..LeaseLimits::default() };
    let mut pace = Pace::new(&limits);
    pace.learn(Time(0), Time(0) + Duration::from_nanos(item_ns), 1);
    pace.completed(250);
    pace
}

#[test]
fn a_lease_holds_the_target_divided_by_an_items_time() {
    for (target, item, items) in [
        (1_000, 10, 100),
        (1_000, 1_000, 1),
        (1_000, 1_001, 1),
        (100, 1, 100),   // a nanosecond is a time
        (100, 0, 1_000), // less than one is none: as many as may be
        (1 << 40, 2, 1_000),
    ] {
        assert_eq!(pace(target, item).lease_items(PLENTY), items, "{target} / {item}");
    }
}

#[test]
fn a_lease_is_at_most_four_times_the_largest_that_was_completed() {
    let mut pace = pace(1 << 40, 1_000);
    pace.growth_max = 1;
    assert_eq!(pace.lease_items(PLENTY), 1);
    pace.completed(7);
    assert_eq!(pace.lease_items(PLENTY), 28);
    pace.completed(3);
    assert_eq!(pace.lease_items(PLENTY), 28, "a smaller one changes nothing");
}

#[test]
fn what_is_left_is_shared_down_to_an_eighth_of_a_lease() {
    let pace = pace(1_600, 10); // 160 items
    for (items, shares, lease) in
        [(1_000, 4, 160), (640, 4, 160), (400, 4, 100), (401, 4, 101), (80, 4, 20), (76, 4, 20), (0, 0, 20)]
    {
        assert_eq!(pace.lease_items(Left { items, shares }), lease, "{items} / {shares}");
    }
    let one_by_one = self::pace(10, 10);
    assert_eq!(one_by_one.lease_items(Left { items: 0, shares: 4 }), 1, "never none");
}

#[test]
fn before_anything_is_known_a_lease_holds_one_item_and_nothing_is_worth_a_request() {
    let pace = Pace::new(&LeaseLimits::default());
    assert_eq!(pace.lease_items(PLENTY), 1);
    assert!(!pace.is_worth_taking_back(u32::MAX));
}

#[test]
fn half_a_target_of_work_is_worth_a_request() {
    let pace = pace(1_000, 10);
    assert!(pace.is_worth_taking_back(50));
    assert!(!pace.is_worth_taking_back(49));
}

#[test]
fn a_sample_weighs_a_quarter_and_counts_as_two_targets_at_most() {
    let mut pace = pace(1_000, 1_000_000);
    assert_eq!(pace.per_item_ns, Some(2_000.0));
    pace.learn(Time(0), Time(0) + Duration::from_nanos(4_000), 4);
    assert_eq!(pace.per_item_ns, Some(1_750.0));
    assert_eq!(pace.long_item(), Duration::from_nanos(1_000));
}
