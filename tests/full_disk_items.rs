//! A disk without room for a large item: the source waits, no item is charged, and the job goes on when there is room. Needs root, so it is
//! built on demand: `cargo test --features root-tests --test full_disk_items`.
#![allow(clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod support;

use cofferdam::{
    Context, Ended, EventKind, Failure, Isolation, Job, OutcomeResult, Processor, StartContext, dense,
};
use cofferdam_testkit::Ext4;
use serde_bytes::ByteBuf;
use std::path::Path;
use std::time::Duration;

cofferdam::worker_test!(workers: Weigher);

/// No healthy job takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Two of them fit.
const LARGE: usize = 36 << 20;

struct Weigher;

impl Processor for Weigher {
    const NAME: &'static str = "weigher";
    const VERSION: u32 = 1;
    type Item = ByteBuf;
    type Output = u64;
    type Config = ();

    fn start(_: (), _: &StartContext<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn process(&mut self, bytes: ByteBuf, _: &Context<'_>) -> Result<u64, Failure> {
        Ok(bytes.len() as u64)
    }
}

fn job(store: &Path, disk: &Ext4) -> Job<Weigher> {
    Job::<Weigher>::new(store, "job", ())
        .workers(2)
        .isolation(Isolation::Process)
        .worker_program(workers::program())
        .scratch_parent(disk.root())
}

fn disk() -> (tempfile::TempDir, Ext4) {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Ext4::create(dir.path(), "data=ordered").expect("this test needs root and e2fsprogs");
    (dir, disk)
}

fn items(lens: &'static [usize]) -> impl cofferdam::ItemSource<Item = ByteBuf> {
    dense(move || lens.iter().map(|len| ByteBuf::from(vec![7; *len])))
}

#[test]
fn a_large_item_waits_for_room_on_the_disk_and_is_charged_with_nothing() {
    let (store, (_dir, disk)) = (tempfile::tempdir().expect("a directory"), disk());
    let ballast = disk.root().join("ballast");
    std::fs::write(&ballast, vec![7; 60 << 20]).expect("it fits");
    let handle = job(store.path(), &disk).start(items(&[5, LARGE, 6, LARGE])).expect("the job starts");
    let mut events = handle.events();
    let waits = events.find(|event| matches!(event.kind, EventKind::NoRoomForItem(_)));
    assert!(waits.is_some(), "somebody says why nothing happens");
    let first = handle.outcomes().next().expect("an outcome").expect("a readable one");
    assert_eq!(first.result, OutcomeResult::Completed(5));
    support::pause(Duration::from_millis(1200)); // longer than two tries
    assert_eq!((handle.snapshot().completed, handle.snapshot().attempts), (1, 1));
    std::fs::remove_file(&ballast).expect("it is there");

    let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");

    assert_eq!((report.ended, report.completed, report.attempts), (Ended::Complete, 4, 4));
}

#[test]
fn large_items_that_do_not_fit_together_make_room_for_each_other() {
    let (store, (_dir, disk)) = (tempfile::tempdir().expect("a directory"), disk());
    let handle = job(store.path(), &disk).start(items(&[LARGE; 8])).expect("the job starts");
    let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
    assert_eq!((report.ended, report.completed, report.attempts), (Ended::Complete, 8, 8));
}

#[test]
fn a_job_whose_large_item_waits_for_room_can_be_cancelled() {
    let (store, (_dir, disk)) = (tempfile::tempdir().expect("a directory"), disk());
    std::fs::write(disk.root().join("ballast"), vec![7; 60 << 20]).expect("it fits");
    let handle = job(store.path(), &disk).start(items(&[LARGE])).expect("the job starts");
    assert!(handle.events().any(|event| matches!(event.kind, EventKind::NoRoomForItem(_))));
    handle.cancel();
    let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
    assert_eq!(report.ended, Ended::Cancelled);
}

/// An item larger than the whole disk waits for ever: whoever drains the job gets the others.
#[test]
fn a_job_whose_large_item_waits_for_room_can_be_drained() {
    let (store, (_dir, disk)) = (tempfile::tempdir().expect("a directory"), disk());
    let handle = job(store.path(), &disk).start(items(&[5, 200 << 20])).expect("the job starts");
    assert!(handle.events().any(|event| matches!(event.kind, EventKind::NoRoomForItem(_))));
    handle.drain();
    let report = handle.wait_timeout(PATIENCE).expect("the job ends").expect("a report");
    assert_eq!((report.ended, report.completed), (Ended::Drained, 1));
}
