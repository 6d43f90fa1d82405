//! The machine stops before every disk call of a small job, and every state that this can leave is opened again.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use cofferdam_testkit::SimDisk;
use support::{Model, limits, open_store};

fn calls_of_the_small_job() -> u64 {
    let disk = SimDisk::new();
    Model::default().small_job(&disk).unwrap();
    disk.calls()
}

#[test]
fn a_power_cut_before_any_call_loses_nothing_and_doubles_nothing() {
    let mut states = 0;
    let calls = calls_of_the_small_job();
    for at in 0..=calls {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let mut model = Model::default();
        // The last calls are those of a drop, which has nobody to tell of an error.
        let _ = model.small_job(&disk);
        for image in disk.after_power_cut(limits(48, at)) {
            model.check(&image);
            states += 1;
        }
        model.check(&disk.after_process_end());
    }
    println!("{states} states, {calls} calls");
    assert!(states > 1_000);
}

#[test]
fn a_power_cut_inside_recovery_loses_nothing_and_doubles_nothing() {
    let mut states = 0;
    for at in (0..=calls_of_the_small_job()).step_by(5) {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let mut model = Model::default();
        let _ = model.small_job(&disk);
        for image in disk.after_power_cut(limits(1, at)).step_by(4) {
            for inner in 0.. {
                let again = image.after_process_end();
                again.crash_at(inner);
                let opened = open_store(&again).and_then(|store| store.open_job(support::JOB).map(drop));
                for image in again.after_power_cut(limits(2, inner)).step_by(3) {
                    model.check(&image);
                    states += 1;
                }
                model.check(&again.after_process_end());
                if opened.is_ok() || again.calls() <= inner {
                    break;
                }
            }
        }
    }
    println!("{states} states");
    assert!(states > 1_000);
}
