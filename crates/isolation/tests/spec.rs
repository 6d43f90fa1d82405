//! The byte tables of `docs/spec/` say what the code does.
#![allow(clippy::unwrap_used, missing_docs)]

use cofferdam_ipc::Codec;
use cofferdam_isolation::protocol::{
    Assign, AssignStaged, Completed, Failed, Message, Ready, Replies, Returned, SaveState, Start,
    StartFailed, Stop, Stopped, TakeBack, TakeFile, WantFile, WrittenFile, exit_code, failure_from_wire,
};
use cofferdam_isolation::recorder::layout::{self, Field};
use std::fmt::Debug;

const RECORDER: &str = include_str!("../../../docs/spec/flight-recorder.md");
const PROTOCOL: &str = include_str!("../../../docs/spec/worker-protocol.md");

/// The rows of the table whose first header cell is `header` in the section of that heading, without the last cell.
fn rows(spec: &str, heading: &str, header: &str) -> Vec<Vec<String>> {
    let section =
        spec.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let table = section.lines().skip_while(|line| !line.starts_with(&format!("| {header} |")));
    let rows = table.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    })
    .collect()
}

fn assert_fields(heading: &str, fields: &[Field]) {
    let documented: Vec<_> =
        rows(RECORDER, heading, "offset").into_iter().map(|row| row[..3].to_vec()).collect();
    let coded: Vec<_> = fields
        .iter()
        .map(|field| vec![field.at.to_string(), field.len.to_string(), field.name.to_owned()])
        .collect();
    assert_eq!(documented, coded, "{heading}");
}

#[test]
fn every_field_of_the_recorder_is_where_the_spec_says() {
    assert_fields("### Worker area", layout::WORKER_FIELDS);
    assert_fields("### Slot area", layout::SLOT_FIELDS);
    assert_fields("### Backtrace area", &[layout::BACKTRACE]);
    assert_fields("### Cell", layout::CELL_FIELDS);
    assert_fields("## Control page", layout::CONTROL_FIELDS);
}

#[test]
fn fields_do_not_overlap() {
    for fields in [layout::WORKER_FIELDS, layout::SLOT_FIELDS, layout::CELL_FIELDS, layout::CONTROL_FIELDS] {
        for pair in fields.windows(2) {
            assert!(pair[0].at + pair[0].len <= pair[1].at, "{pair:?}");
        }
    }
}

#[test]
fn the_checks_of_the_spec_are_those_of_the_code() {
    let cell = layout::mix(layout::cell_check(1, 2, 6), u64::from_le_bytes(*b"decode\0\0"));
    let progress = layout::progress_check(1 << 32 | 1, 3, 14);
    let documented: Vec<_> =
        rows(RECORDER, "### Checks", "example").into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(documented, [format!("{cell:016x}"), format!("{progress:016x}")]);
}

/// What is encoded here must never change while the protocol's version does not.
fn assert_example<M: Message + Debug + PartialEq>(message: &M) {
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap();
    let [mut binary, mut json] = [Vec::new(), Vec::new()];
    Codec::Bincode.encode(message, &mut binary).unwrap();
    Codec::Json.encode(message, &mut json).unwrap();
    let hex: String = binary.iter().map(|byte| format!("{byte:02x}")).collect();
    let examples = rows(PROTOCOL, "## Examples", "message");
    let row = examples.iter().find(|row| row[0] == name);
    assert_eq!(row, Some(&vec![name.to_owned(), hex, String::from_utf8(json.clone()).unwrap()]), "{name}");
    assert_eq!(&Codec::Bincode.decode::<M>(&binary).unwrap(), message);
    assert_eq!(&Codec::Json.decode::<M>(&json).unwrap(), message);
    let kind = format!("0x{:02x}", M::KIND);
    let from = if M::KIND < 0x80 { "host" } else { "worker" };
    let kinds = rows(PROTOCOL, "## Messages", "kind");
    let of_kind: Vec<_> = kinds.iter().filter(|row| row[0] == kind).collect();
    assert_eq!((of_kind.len(), &*of_kind[0][1], &*of_kind[0][2]), (1, from, name));
    // The fields' names and order, as the JSON shows them.
    let fields = of_kind[0][3]
        .split(", ")
        .map(|field| field.split(' ').next().unwrap())
        .filter(|name| *name != "none");
    let json = String::from_utf8(json).unwrap();
    let places: Vec<_> =
        fields.map(|field| json.find(&format!("\"{field}\":")).expect("a documented field")).collect();
    assert!(places.is_sorted(), "{name}: {places:?}");
    assert_eq!(places.len(), json.matches("\":").count(), "{name}");
}

#[test]
fn every_message_has_the_bytes_of_the_spec() {
    assert_example(&Start {
        processor: "facts".into(),
        version: 3,
        slot: 1,
        step: 0,
        slots: 1,
        recorder: b"/r".to_vec(),
        control: b"/c".to_vec(),
        scratch: b"/s".to_vec(),
        stack_bytes: 8 << 20,
        reply_flush_ms: 5,
        heartbeat_ms: 100,
        main_thread: false,
        files_above: 1 << 20,
    });
    assert_example(&Assign { lease: 300, attempt: 1, count: 20, step: 0, has_state: false });
    let path = b"/i/7".to_vec();
    let (len, crc32) = (209_715_206, 0xE306_9283);
    assert_example(&AssignStaged { lease: 300, attempt: 2, step: 0, has_state: true, path, len, crc32 });
    assert_example(&SaveState { lease: 300, offset: 4 });
    assert_example(&TakeBack { lease: 300 });
    assert_example(&Stop {});
    assert_example(&Ready {});
    assert_example(&Replies { lease: 300, slot: 0, offset: 4, count: 16 });
    let message = "try later".to_owned();
    assert_example(&Failed {
        lease: 300,
        slot: 0,
        offset: 4,
        kind: 2,
        retry_after_ms: 1500,
        message: message.clone(),
        stage: "read".into(),
        progress: Some((3, 14)),
        breadcrumbs: vec!["page 3".into()],
    });
    assert_example(&Returned { lease: 300, from: 17 });
    assert_example(&WantFile { lease: 300, offset: 4, number: 1 });
    assert_example(&TakeFile {
        lease: 300,
        offset: 4,
        number: 1,
        path: b"/o".to_vec(),
        refusal: String::new(),
    });
    let file = WrittenFile { number: 1, len: 1 << 20, crc32: 0x1234_5678 };
    assert_example(&Completed { lease: 300, slot: 0, offset: 4, output: None, files: vec![file] });
    assert_example(&StartFailed { kind: 5, retry_after_ms: 0, message });
    assert_example(&Stopped {});
    assert_eq!(
        rows(PROTOCOL, "## Messages", "kind").len(),
        15,
        "no message is documented that does not exist"
    );
}

#[test]
fn every_failure_and_exit_code_has_the_number_of_the_spec() {
    let failures = rows(PROTOCOL, "## Failures", "kind");
    for row in &failures {
        let failure = failure_from_wire(row[0].parse().unwrap(), 0, "").unwrap();
        assert_eq!(failure.kind.name(), row[1]);
    }
    assert!(failure_from_wire(failures.len() as u8 + 1, 0, "").is_err(), "a kind is missing");
    let codes: Vec<_> =
        rows(PROTOCOL, "## Order", "exit code").into_iter().map(|row| row[0].clone()).collect();
    let coded = [exit_code::STOPPED, exit_code::PANIC, exit_code::START_FAILED, exit_code::HOST_LOST];
    assert_eq!(codes, coded.map(|code| code.to_string()));
}
