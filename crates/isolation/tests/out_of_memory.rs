//! A worker that the kernel ends for want of memory is told from one that a stranger killed. Needs root and control groups of
//! version 1, so it is built on demand: `cargo test -p cofferdam-isolation --features root-tests --test out_of_memory`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]
#![cfg(target_os = "linux")]

mod common;

use cofferdam_pipeline_core::Exit;
use common::{Host, Item, assert_open};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn worker() {
    common::enter_worker();
}

/// Room for host and worker, but not for what the worker asks for.
const LIMIT_BYTES: u64 = 96 << 20;

/// A control group of version 1 for memory, with this process in it.
struct Group {
    path: PathBuf,
    before: PathBuf,
}

impl Group {
    fn enter() -> Self {
        let root = Path::new("/sys/fs/cgroup/memory");
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mine = groups.lines().find_map(|line| line.split_once(":memory:")).expect("a group for memory").1;
        let before = root.join(mine.trim_start_matches('/'));
        let before = if before.is_dir() { before } else { root.to_owned() };
        let path = root.join(format!("cofferdam-{}", std::process::id()));
        fs::create_dir(&path).expect("root may create a control group");
        fs::write(path.join("memory.limit_in_bytes"), LIMIT_BYTES.to_string()).unwrap();
        let group = Self { path, before };
        group.move_to(&group.path);
        group
    }

    fn move_to(&self, group: &Path) {
        fs::write(group.join("cgroup.procs"), std::process::id().to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.move_to(&self.before);
        let _ = fs::remove_dir(&self.path);
    }
}

#[test]
fn a_worker_that_uses_up_the_memory_of_its_group_is_out_of_memory_and_a_killed_one_is_not() {
    let _group = Group::enter();
    let mut host = Host::new();

    let worker = host.ready(0);
    let lease = host.assign(worker, &[Item::Annotated(Item::UseMemory(1 << 30).into())]);
    let end = host.end_of(worker);
    assert_eq!(end.report().exit, Exit::OutOfMemory);
    assert_open(end.report(), lease, 0);

    let worker = host.ready(1);
    host.assign(worker, &[Item::Raise(9)]);
    assert!(host.end_of(worker).report().exit.is_foreign_kill());
}
