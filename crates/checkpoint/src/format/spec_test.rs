//! The tables of `docs/spec/checkpoint-format.md` against the constants.

use super::{evidence, frame, head, owner, record, segment, slot, snapshot, store_file};

fn spec() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/checkpoint-format.md");
    std::fs::read_to_string(path).unwrap()
}

/// The rows of the tables under a heading, as cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let spec = spec();
    let section = spec.split("\n## ").find(|section| section.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let is_row = |line: &&str| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit();
    let cells = |line: &str| line.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect();
    section.lines().filter(is_row).map(cells).collect()
}

fn layout(heading: &str) -> Vec<(usize, usize, String)> {
    let number = |cell: &String| cell.parse().unwrap();
    let is_layout = |row: &&Vec<String>| row[1].parse::<usize>().is_ok();
    rows(heading)
        .iter()
        .filter(is_layout)
        .map(|row| (number(&row[0]), number(&row[1]), row[2].clone()))
        .collect()
}

fn names(heading: &str) -> Vec<(u8, String)> {
    let is_name = |row: &&Vec<String>| row[1].parse::<usize>().is_err();
    rows(heading).iter().filter(is_name).map(|row| (row[0].parse().unwrap(), row[1].clone())).collect()
}

fn owned(layout: &[(usize, usize, &str)]) -> Vec<(usize, usize, String)> {
    layout.iter().map(|(offset, size, name)| (*offset, *size, (*name).to_owned())).collect()
}

#[test]
fn every_layout_of_the_spec_is_that_of_the_code_and_has_no_gap() {
    let layouts = [
        ("STORE", store_file::LAYOUT, store_file::LEN),
        ("Slot", slot::LAYOUT, slot::HEADER_LEN),
        ("HEAD payload", head::LAYOUT, 133),
        ("Segment header", segment::LAYOUT, segment::HEADER_LEN),
        ("Frame header", frame::LAYOUT, frame::HEADER_LEN),
        ("Snapshots", snapshot::LAYOUT, snapshot::FOOTER_LEN),
    ];
    for (heading, code, len) in layouts {
        assert_eq!(layout(heading), owned(code), "{heading}");
        let end = code.iter().fold(0, |end, &(offset, size, name)| {
            assert_eq!(offset, end, "{heading}: {name}");
            end + size
        });
        assert_eq!(end, len, "{heading}");
    }
}

#[test]
fn every_number_of_the_spec_is_that_of_the_code() {
    let owned =
        |names: &[(u8, &str)]| names.iter().map(|(n, name)| (*n, (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(names("Frame header"), owned(&[(frame::TYPE_RECORDS, "records"), (frame::TYPE_MARK, "mark")]));
    let both = [record::KINDS, evidence::TAGS].concat();
    assert_eq!(names("Records"), owned(&both));
    let kinds: Vec<_> = snapshot::KINDS.iter().map(|(n, name)| (*n, (*name).to_owned())).collect();
    assert_eq!(names("Snapshots"), kinds);
    let spec = spec();
    for magic in [snapshot::MAGIC, store_file::MAGIC, segment::MAGIC, head::SLOTS.magic, owner::SLOTS.magic] {
        assert!(spec.contains(&format!("`{}`", std::str::from_utf8(&magic).unwrap())));
    }
    for (what, number) in [
        ("Frames begin at offset ", segment::FRAMES_START),
        ("again at offset ", segment::COPY_OFFSETS[1]),
        ("at most ", frame::BODY_LEN_MAX as u64),
        ("behind the slots: ", head::DESCRIPTION_OFFSET),
        ("The room of a slot is ", head::SLOTS.room as u64),
        ("bytes in HEAD and ", owner::SLOTS.room as u64),
    ] {
        assert!(spec.contains(&format!("{what}{number}")), "{what}{number}");
    }
    let flags = format!("{} COMMIT, {} SKIPPABLE", frame::FLAG_COMMIT, frame::FLAG_SKIPPABLE);
    assert!(spec.contains(&flags));
    assert!(spec.contains(&format!("With {} set, a step number", record::TAG_STEP)));
    assert!(spec.contains(&format!("With {} set, the item has a fingerprint", record::TAG_FINGERPRINT)));
}

#[test]
fn what_is_encoded_lies_where_the_layouts_say() {
    let at = |layout: &[(usize, usize, &str)], bytes: &[u8], name: &str| {
        let (offset, size, _) = layout.iter().find(|row| row.2 == name).unwrap();
        let mut number = [0; 8];
        number[..*size].copy_from_slice(&bytes[*offset..offset + size]);
        u64::from_le_bytes(number)
    };
    let prev = segment::Pin { seq: 5, end: 9000, chain: 6, next_lsn: 44 };
    let (store, job) = ([1; 16], [2; 16]);
    let compacted =
        Some(segment::Compacted { end: 8300, chain: 12, dropped: 13, sealed_end: 9100, sealed_chain: 14 });
    let header =
        segment::SegmentHeader { store, job, seq: 7, epoch: 3, salt: 9, prev, absorbs: 1, compacted };
    let bytes = header.encode(1);
    for (name, value) in
        [("version", 2), ("copy", 1), ("seq", 7), ("epoch", 3), ("salt", 9), ("first lsn", 44)]
    {
        assert_eq!(at(segment::LAYOUT, &bytes, name), value, "{name}");
    }
    for (name, value) in [("prev seq", 5), ("prev end", 9000), ("prev chain", 6), ("absorbs", 1)] {
        assert_eq!(at(segment::LAYOUT, &bytes, name), value, "{name}");
    }
    let of_compaction =
        [("own end", 8300), ("dropped", 13), ("sealed end", 9100), ("sealed chain", 14), ("own chain", 12)];
    for (name, value) in of_compaction {
        assert_eq!(at(segment::LAYOUT, &bytes, name), value, "{name}");
    }
    let head = head::Head {
        ro_compat: 0,
        store: [1; 16],
        job: [2; 16],
        epoch: 3,
        seq: 4,
        durable_end: 5,
        durable_lsn: 6,
        snapshot_lsn: 7,
        counts: crate::Counts { completed: 8, failed: 9, quarantined: 10, cancelled: 11 },
        description: head::DescriptionRef { offset: 12, len: 13, crc: 14 },
        state: crate::JobState::Finished,
    };
    let bytes = head.encode();
    assert_eq!(head::Head::decode(&bytes), Ok(head));
    for ((_, _, name), value) in head::LAYOUT[5..].iter().zip(3..) {
        let value = if *name == "state" { 3 } else { value };
        assert_eq!(at(head::LAYOUT, &bytes, name), value, "{name}");
    }
    let mut bytes = vec![0; frame::HEADER_LEN];
    let sealed = frame::FrameHeader {
        body_len: 0,
        first_lsn: 8,
        count: 9,
        undurable: 10,
        kind: 1,
        flags: 1,
        header_crc: 0,
    };
    let sealed = sealed.seal(&frame::FrameKey::new(1, 2, 3), 8192, &mut bytes);
    for (name, value) in
        [("body length", 0), ("first lsn", 8), ("count", 9), ("undurable", 10), ("type", 1), ("flags", 1)]
    {
        assert_eq!(at(frame::LAYOUT, &bytes, name), value, "{name}");
    }
    assert_eq!(at(frame::LAYOUT, &bytes, "header crc"), u64::from(sealed.header_crc));
}
