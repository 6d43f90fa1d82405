//! What an opening leaves alone, empties and raises, and what a session holds until its end.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_checkpoint::{Batch, Durability, JobState, Store, StoreError, StoreOptions};
use cofferdam_pipeline_core::Keying;
use cofferdam_testkit::SimDisk;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use support::{JOB, Model, entries, limits, open_store, options, spec};

fn named(disk: &SimDisk, start: &str) -> Vec<PathBuf> {
    let is_named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(start);
    disk.files().into_iter().filter(is_named).collect()
}

fn segments(disk: &SimDisk) -> Vec<Vec<u8>> {
    named(disk, "seg-").iter().map(|path| disk.peek(path).unwrap()).collect()
}

/// A job with an outcome whose session did not end.
fn job_of_a_dead_process() -> SimDisk {
    let disk = SimDisk::new();
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    Model::default().commit_run(&job, 0, 3).unwrap();
    disk.after_process_end()
}

#[test]
fn an_opening_changes_no_byte_of_a_segment_that_is_there_not_even_of_a_torn_end() {
    let disk = job_of_a_dead_process();
    let path = named(&disk, "seg-").pop().unwrap();
    let mut content = disk.peek(&path).unwrap();
    // Right behind the last frame, where a repair in place would put its zeros.
    let end = content.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    content[end..end + 200].fill(0xa5);
    disk.poke(&path, content).unwrap();
    let before = segments(&disk);
    let job = open_store(&disk).unwrap().open_job(JOB).unwrap();
    assert!(job.recovery().torn.is_some());
    assert_eq!(segments(&disk)[..1], before);
}

#[test]
fn what_was_staged_and_never_committed_is_gone_after_an_opening() {
    let disk = job_of_a_dead_process();
    let staged = named(&disk, "HEAD")[0].with_file_name("staging").join("0123456789abcdef");
    disk.poke(&staged, b"half a blob".to_vec()).unwrap();
    open_store(&disk).unwrap().open_job(JOB).unwrap();
    assert!(disk.peek(&staged).is_err());
}

#[test]
fn each_opening_has_a_higher_epoch_and_each_segment_a_salt_of_its_own() {
    let disk = job_of_a_dead_process();
    let newest = || segments(&disk).pop().unwrap();
    let mut made = vec![newest()];
    for _ in 0..3 {
        drop(open_store(&disk).unwrap().open_job(JOB).unwrap());
        made.push(newest());
    }
    let field = |segment: &[u8], at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().unwrap());
    let epochs: Vec<_> = made.iter().map(|segment| field(segment, 64)).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b) && epochs.len() == 4, "{epochs:?}");
    let salts: BTreeSet<_> = made.iter().map(|segment| field(segment, 72)).collect();
    assert_eq!(salts.len(), 4);
}

/// Opens the job in a process that dies before call `at`, on a machine that goes on.
fn open_and_die(disk: &SimDisk, at: u64) -> SimDisk {
    let dying = disk.after_process_end();
    dying.crash_at(at);
    let _ = open_store(&dying).and_then(|store| store.open_job(JOB).map(drop));
    dying.after_process_end()
}

#[test]
fn nothing_rests_on_a_segment_that_may_never_reach_the_disk() {
    let disk = SimDisk::new();
    let mut model = Model { is_created: true, ..Model::default() };
    let job = open_store(&disk).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    model.commit_run(&job, 0, 3).unwrap();
    drop(job);
    let calls = {
        let whole = disk.after_process_end();
        drop(open_store(&whole).unwrap().open_job(JOB).unwrap());
        whole.calls()
    };
    // The first one may leave a whole segment that is not synced, the second one half of the next.
    for first in 0..calls {
        for second in (first % 9..calls).step_by(9) {
            let image = open_and_die(&open_and_die(&disk, first), second);
            let mut after = model.clone();
            let job = open_store(&image).unwrap().open_job(JOB).unwrap();
            after.commit_run(&job, 10, 2).unwrap();
            for image in image.after_power_cut(limits(2, first * calls + second)) {
                after.check(&image);
            }
        }
    }
}

#[test]
fn a_power_cut_can_harm_one_slot_of_head_and_never_both() {
    let whole = SimDisk::new();
    Model::default().small_job(&whole).unwrap();
    let mut in_doubt = 0;
    for at in 0..=whole.calls() {
        let disk = SimDisk::new();
        disk.crash_at(at);
        // A job that was acknowledged has its HEAD in place; before, it is written whole under another name.
        let mut model = Model::default();
        let _ = model.small_job(&disk);
        let mut forms = [BTreeSet::new(), BTreeSet::new()];
        for image in disk.after_power_cut(limits(64, at)).filter(|_| model.is_created) {
            let head = image.peek(&named(&image, "HEAD")[0]).unwrap();
            forms[0].insert(head[..4096].to_vec());
            forms[1].insert(head[4096..8192].to_vec());
        }
        assert!(forms.iter().any(|forms| forms.len() <= 1), "both slots are in doubt before call {at}");
        in_doubt += usize::from(forms.iter().any(|forms| forms.len() > 1));
    }
    assert!(in_doubt > 0, "no power cut came between a write of HEAD and its sync");
}

#[test]
fn the_lock_is_held_until_the_last_outcome_is_durable() {
    let disk = SimDisk::new();
    let (store, other) = (open_store(&disk).unwrap(), open_store(&disk).unwrap());
    let job = store.create_job(JOB, &spec(Keying::Dense)).unwrap();
    let (tx, rx) = mpsc::channel();
    job.on_commit(move |_| tx.send(matches!(other.open_job(JOB), Err(StoreError::Locked(_)))).unwrap());
    let outputs = entries(&[b"x"]);
    job.submit(Batch::completed_dense(0, 1, 1, &outputs).unwrap()).unwrap();
    job.finish(JobState::Finished).unwrap();
    assert_eq!(rx.iter().next(), Some(true), "another owner got in before the last sync");
    open_store(&disk).unwrap().open_job(JOB).unwrap();
}

#[test]
fn a_process_that_dies_while_it_writes_unsynced_groups_again_loses_none_of_them() {
    let disk = SimDisk::new();
    let options = StoreOptions { durability: Durability::Process, ..options(&disk) };
    let job =
        Store::open(Path::new("store"), options).unwrap().create_job(JOB, &spec(Keying::Dense)).unwrap();
    let mut model = Model { is_created: true, ..Model::default() };
    for first in [0, 3, 6] {
        model.commit_run(&job, first, 3).unwrap();
    }
    let disk = disk.after_process_end();
    for at in 0.. {
        let again = disk.after_process_end();
        again.crash_at(at);
        // Whether it opens is not the question: what it leaves on the disk is.
        let _ = open_store(&again).and_then(|store| store.open_job(JOB).map(drop));
        model.check(&again.after_process_end());
        if again.calls() <= at {
            assert!(at > 20, "an opening makes more calls than {at}");
            break;
        }
    }
}
