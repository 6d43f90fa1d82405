//! Large items and large outputs at the same time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(unix)]

mod common;

use common::{Host, Item, outputs};

#[test]
fn worker() {
    common::enter_worker();
}

const ITEM_BYTES: usize = 16 << 20;

#[test]
fn sixteen_mebibytes_travel_both_ways_at_once() {
    let mut host = Host::new();
    let worker = host.ready(0);
    let item = |seed: u8| (0..ITEM_BYTES).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect::<Vec<u8>>();
    for seed in 0..3 {
        host.assign(worker, &[Item::Echo(item(seed))]);
    }
    for seed in 0..3 {
        let (_, batch) = host.replied();
        assert!(outputs(&batch) == [item(seed)], "item {seed} came back changed");
    }
}
