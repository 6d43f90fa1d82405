use super::layout::{self, Field};
use super::{
    HostRecorder, PanicRecord, Phase, ReadError, Recorder, RecorderDir, RecorderError, Recording,
    read_recorder,
};
use cofferdam_pipeline_core::{Instrument, LeaseId, OpenItem, WorkerId};
use proptest::prelude::*;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A host's recorder and the worker's mapping of it.
fn pair() -> (RecorderDir, HostRecorder, Arc<Recorder>) {
    let dir = RecorderDir::create(None).unwrap();
    let host = HostRecorder::create(&dir, WorkerId(1), 1).unwrap();
    let worker = Recorder::open(host.recorder_path(), host.control_path(), 1).unwrap();
    (dir, host, worker)
}

#[test]
fn the_host_reads_what_the_worker_wrote() {
    let (_dir, host, worker) = pair();
    assert_eq!(host.read().unwrap().phase, Phase::Unborn);
    worker.set_phase(Phase::Ready);
    worker.beat();
    let slot = worker.slot(0);
    slot.open(LeaseId(u32::MAX), 41);
    slot.stage("decode");
    slot.progress(3, 14);
    slot.message("page 3");
    (0..10).for_each(|n| slot.breadcrumb(&format!("crumb {n}")));
    let seen = host.read().unwrap();
    assert_eq!((seen.phase, seen.heartbeat, seen.items_opened), (Phase::Ready, 1, 1));
    let open = OpenItem {
        slot: 0,
        lease: LeaseId(u32::MAX),
        offset: 41,
        stage: "decode".into(),
        progress: Some((3, 14)),
        message: "page 3".into(),
        breadcrumbs: (2..10).map(|n| format!("crumb {n}")).collect(),
    };
    assert_eq!(seen.open, [open]);
    assert_eq!(worker.look(), seen, "the worker's own look shows the same");
}

#[test]
fn nothing_of_an_item_is_shown_for_the_next() {
    let (_dir, host, worker) = pair();
    let slot = worker.slot(0);
    slot.stage("load model");
    assert_eq!(host.read().unwrap().start_stage, "load model");
    slot.open(LeaseId(1), 0);
    slot.stage("decode");
    slot.progress(1, 2);
    slot.message("m");
    slot.breadcrumb("b");
    slot.open(LeaseId(1), 1);
    let bare = OpenItem { lease: LeaseId(1), offset: 1, ..OpenItem::default() };
    assert_eq!(host.read().unwrap().open, [bare]);
    slot.close();
    assert_eq!(host.read().unwrap().open, []);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let (_dir, host, worker) = pair();
    let slot = worker.slot(0);
    slot.open(LeaseId(1), 0);
    slot.stage(&"ä".repeat(40));
    slot.message(&"€".repeat(100));
    worker.record_panic(&"p".repeat(5000), &"l".repeat(5000));
    let seen = host.read().unwrap();
    assert_eq!(seen.open[0].stage, "ä".repeat(32));
    assert_eq!(seen.open[0].message, "€".repeat(42));
    let panic = PanicRecord { message: "p".repeat(2048), location: "l".repeat(256) };
    assert_eq!(seen.panic, Some(panic));
    assert_eq!(worker.panic_of(&"p".repeat(5000)).location, "l".repeat(256));
}

#[test]
fn a_panic_of_which_the_hook_knows_nothing_has_no_location() {
    let worker = Recorder::in_memory(1);
    worker.record_panic("one", "a.rs:1:1");
    assert_eq!(worker.panic_of("one").location, "a.rs:1:1");
    assert_eq!(worker.panic_of("two"), PanicRecord { message: "two".into(), location: String::new() });
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let (_dir, host, worker) = pair();
    let slot = worker.slot(0);
    slot.open(LeaseId(1), 0);
    slot.stage("\x1b[31mred\r\n\u{202e}");
    worker.record_panic("left\nright\x07", "");
    let seen = host.read().unwrap();
    assert_eq!(seen.open[0].stage, "\u{fffd}[31mred\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(seen.panic.unwrap().message, "left\nright\u{fffd}");
}

/// Writers at full speed, each text made of one letter in a length that belongs to it; a mixture of two would show.
#[test]
fn a_reader_at_full_speed_never_accepts_a_torn_text() {
    const READS: usize = 5_000;
    let (_dir, host, worker) = pair();
    worker.slot(0).open(LeaseId(1), 0);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (slot, stop) = (worker.slot(0), stop.clone());
            thread::spawn(move || {
                let texts: Vec<String> = (0..26).map(|n| text_of(b'a' + (n * 2 + writer) % 26)).collect();
                while !stop.load(Ordering::Relaxed) {
                    for (text, n) in texts.iter().zip(1..) {
                        slot.stage(text);
                        slot.message(text);
                        slot.breadcrumb(text);
                        slot.progress(n, n * 3);
                    }
                }
            })
        })
        .collect();
    let (mut texts, mut progresses) = (0, 0);
    for _ in 0..READS {
        let open = host.read().unwrap().open.pop().unwrap();
        for text in
            [open.stage, open.message].into_iter().chain(open.breadcrumbs).filter(|text| !text.is_empty())
        {
            assert_eq!(text, text_of(text.as_bytes()[0]), "torn");
            texts += 1;
        }
        if let Some((done, total)) = open.progress {
            assert_eq!(total, done * 3, "torn");
            progresses += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(texts > READS && progresses > READS / 100, "accepted: {texts} texts, {progresses} progresses");
}

fn text_of(letter: u8) -> String {
    char::from(letter).to_string().repeat(usize::from(letter) % 40 + 20)
}

#[test]
fn a_text_that_was_interrupted_half_way_gives_way_to_the_one_before() {
    let (_dir, host, worker) = pair();
    let slot = worker.slot(0);
    slot.open(LeaseId(1), 0);
    slot.stage("one");
    slot.stage("two");
    // What a SIGKILL in the middle of a third leaves: a ticket and some text, the check of what was there before.
    let file = File::options().write(true).open(host.recorder_path()).unwrap();
    let cell = layout::WORKER_AREA_LEN + layout::STAGES.at + 3 * (layout::STAGES.len / 4);
    crate::sys::files::write_all_at(&file, &3u64.to_le_bytes(), cell as u64).unwrap();
    crate::sys::files::write_all_at(&file, b"thr", (cell + layout::CELL_HEADER_LEN) as u64).unwrap();
    assert_eq!(host.read().unwrap().open[0].stage, "two");
}

#[test]
fn a_worker_that_cuts_or_overwrites_its_recorder_hides_what_it_had_open() {
    let (_dir, host, _worker) = pair();
    let file = File::options().write(true).open(host.recorder_path()).unwrap();
    crate::sys::files::write_all_at(&file, &[9; 16], 0).unwrap();
    assert!(matches!(host.read(), Err(ReadError::Content(RecorderError::Magic))));
    file.set_len(100).unwrap();
    assert!(matches!(
        host.read(),
        Err(ReadError::Content(RecorderError::Short { len: 100, expected: 6144 }))
    ));
}

#[test]
fn the_next_host_reads_a_recorder_by_its_path() {
    let dir = RecorderDir::create(None).unwrap();
    let host = HostRecorder::create(&dir, WorkerId(1), 2).unwrap();
    let worker = Recorder::open(host.recorder_path(), host.control_path(), 2).unwrap();
    worker.slot(1).open(LeaseId(5), 6);
    let seen = read_recorder(host.recorder_path()).unwrap();
    assert_eq!((seen.open[0].slot, seen.open[0].lease, seen.open[0].offset), (1, LeaseId(5), 6));
}

#[test]
fn a_worker_refuses_files_that_are_no_recorder() {
    let (dir, host, _worker) = pair();
    assert!(Recorder::open(host.control_path(), host.recorder_path(), 1).is_err());
    assert!(Recorder::open(host.recorder_path(), host.control_path(), 2).is_err(), "shorter than two slots");
    assert!(Recorder::open(&dir.path().join("none"), host.control_path(), 1).is_err());
}

#[test]
fn a_pause_blocks_check_until_it_ends() {
    let (_dir, host, worker) = pair();
    assert_eq!(worker.slot(0).check(), Ok(()));
    host.set_paused(true).unwrap();
    let (entered, resumed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let checker = thread::spawn({
        let (entered, resumed) = (entered.clone(), resumed.clone());
        move || {
            entered.store(true, Ordering::SeqCst);
            let result = worker.slot(0).check();
            (result, resumed.load(Ordering::SeqCst))
        }
    });
    while !entered.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    resumed.store(true, Ordering::SeqCst);
    host.set_paused(false).unwrap();
    assert_eq!(checker.join().unwrap(), (Ok(()), true));
}

#[test]
fn an_interrupt_ends_check_also_during_a_pause() {
    let (_dir, host, worker) = pair();
    host.set_paused(true).unwrap();
    let checker = thread::spawn(move || worker.slot(0).check());
    host.interrupt().unwrap();
    assert!(checker.join().unwrap().is_err());
}

#[test]
fn files_go_with_their_owner_and_the_directory_with_its() {
    let (dir, host, worker) = pair();
    let paths = [host.recorder_path().to_owned(), host.control_path().to_owned(), dir.path().to_owned()];
    drop((host, worker));
    assert!(!paths[0].exists() && !paths[1].exists() && paths[2].exists());
    drop(dir);
    assert!(!paths[2].exists());
}

/// A recorder with a valid header and anything behind it, from a seed: shrinking kilobytes would take for ever.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    any::<u64>().prop_map(|seed| {
        let words = (0..layout::recorder_len(1) as u64 / 8).map(|n| layout::mix(seed, n));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        put(&mut bytes, layout::MAGIC, layout::RECORDER_MAGIC);
        put(&mut bytes, layout::VERSION, layout::LAYOUT_VERSION);
        bytes
    })
}

fn put(bytes: &mut [u8], field: Field, value: u64) {
    bytes[field.at..field.at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Makes the cell at `at` valid for whatever text lies there.
fn forge(bytes: &mut [u8], at: usize, tag: u64, len: usize) {
    let text = at + layout::CELL_HEADER_LEN;
    let words = bytes[text..text + len.next_multiple_of(8)].chunks_exact(8);
    let check = words.fold(layout::cell_check(9, tag, len as u64), |check, word| {
        layout::mix(check, u64::from_le_bytes(word.try_into().unwrap()))
    });
    for (field, value) in [
        (layout::CELL_TICKET, 9),
        (layout::CELL_TAG, tag),
        (layout::CELL_LEN, len as u64),
        (layout::CELL_CHECK, check),
    ] {
        put(&mut bytes[at..], field, value);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_of_any_length_are_read_without_a_panic(bytes in hostile(), len in 0usize..=6144) {
        prop_assert!(Recording::parse(&bytes, 1).is_ok());
        prop_assert!(len == bytes.len() || Recording::parse(&bytes[..len], 1).is_err());
    }

    #[test]
    fn forged_cells_give_clean_and_short_texts(mut bytes in hostile(), len in 0usize..=64, any_len in any::<u64>()) {
        let slot = layout::WORKER_AREA_LEN;
        put(&mut bytes[slot..], layout::OPEN, 77);
        forge(&mut bytes, slot + layout::STAGES.at, 77, len);
        forge(&mut bytes, slot + layout::BREADCRUMBS.at, 77, len);
        put(&mut bytes[slot + layout::MESSAGES.at..], layout::CELL_LEN, any_len);
        let open = Recording::parse(&bytes, 1).unwrap().open.pop().unwrap();
        prop_assert_eq!(open.breadcrumbs.len(), 1);
        for text in [open.stage, open.message].into_iter().chain(open.breadcrumbs) {
            prop_assert!(text.chars().count() <= 64);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
