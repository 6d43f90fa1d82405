//! A flight recorder that its worker has scribbled on.

use super::layout::{self, Field};
use super::{Recording, reader, text};

/// Slots at most: more of the same teach nothing.
const SLOTS_MAX: u8 = 3;

/// Writes into a fresh recorder (each: offset, length, bytes), after a byte for its slots and whether what was written is given its checks:
/// whatever a worker writes, nothing is longer than its cell and nothing can harm a terminal.
pub fn recorder(data: &[u8]) {
    let Some((&flags, mut writes)) = data.split_first() else { return };
    let slots = u32::from(flags % SLOTS_MAX) + 1;
    let mut bytes = fresh(slots);
    while let Some((&[low, high, len], rest)) = writes.split_first_chunk() {
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
        let len = rest.len().min(len.into()).min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&rest[..len]);
        writes = &rest[len..];
    }
    look(&bytes, slots);
    if flags & 0x80 != 0 {
        seal(&mut bytes, slots);
        look(&bytes, slots);
    }
    let cut = layout::backtrace_at(slots) - 1 - usize::from(flags);
    Recording::parse(&bytes[..cut], slots).expect_err("it was cut");
}

fn fresh(slots: u32) -> Vec<u8> {
    let mut bytes = vec![0; layout::recorder_len(slots)];
    put(&mut bytes, layout::MAGIC, layout::RECORDER_MAGIC);
    put(&mut bytes, layout::VERSION, layout::LAYOUT_VERSION);
    put(&mut bytes, layout::SLOTS, slots.into());
    bytes
}

fn put(bytes: &mut [u8], field: Field, word: u64) {
    bytes[field.at..field.at + 8].copy_from_slice(&word.to_le_bytes());
}

fn look(bytes: &[u8], slots: u32) {
    assert_harmless(&reader::backtrace(&bytes[layout::backtrace_at(slots)..]), layout::BACKTRACE_AREA_LEN);
    let Ok(recording) = Recording::parse(bytes, slots) else { return };
    assert!(recording.open.len() <= slots as usize);
    for (nth, open) in recording.open.iter().enumerate() {
        assert!(open.slot < slots && recording.open[..nth].iter().all(|other| other.slot < open.slot));
        assert!(open.breadcrumbs.len() <= 8);
        open.breadcrumbs.iter().chain([&open.stage]).for_each(|text| assert_harmless(text, 64));
        assert_harmless(&open.message, 128);
    }
    assert_harmless(&recording.start_stage, 64);
    if let Some(panic) = &recording.panic {
        assert_harmless(&panic.message, 2048);
        assert_harmless(&panic.location, 256);
    }
    if let Some(signal) = &recording.signal {
        assert!(signal.number > 0);
        let overflowed = signal.is_stack_overflow(recording.stack.as_ref());
        assert!(!overflowed || signal.code > 0, "only a fault can be an overflow");
    }
}

/// A byte that is no UTF-8 becomes three.
fn assert_harmless(text: &str, cell_len: usize) {
    assert!(text.len() <= 3 * cell_len, "{} bytes of text in {cell_len}", text.len());
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(harmful), "{text:?}");
}

/// Gives every cell and every progress the check of what it holds.
fn seal(bytes: &mut [u8], slots: u32) {
    let (worker, rest) = bytes.split_at_mut(layout::WORKER_AREA_LEN);
    let (areas, backtrace) = rest.split_at_mut(slots as usize * layout::SLOT_AREA_LEN);
    put(worker, layout::MAGIC, layout::RECORDER_MAGIC);
    put(worker, layout::VERSION, layout::LAYOUT_VERSION);
    seal_cells(worker, layout::PANIC_LOCATION, 1);
    seal_cells(worker, layout::PANIC_MESSAGE, 1);
    seal_cells(backtrace, layout::BACKTRACE, 1);
    for area in areas.chunks_exact_mut(layout::SLOT_AREA_LEN) {
        for (ring, cells) in [(layout::STAGES, 4), (layout::MESSAGES, 2), (layout::BREADCRUMBS, 8)] {
            seal_cells(area, ring, cells);
        }
        let [open, done, total] = [layout::OPEN, layout::PROGRESS_DONE, layout::PROGRESS_TOTAL]
            .map(|field| text::word(area, field.at));
        put(area, layout::PROGRESS_CHECK, layout::progress_check(open, done, total));
    }
}

fn seal_cells(area: &mut [u8], ring: Field, cells: usize) {
    for cell in area[ring.at..ring.at + ring.len].chunks_exact_mut(ring.len / cells) {
        let text_len = cell.len() - layout::CELL_HEADER_LEN;
        let ticket = text::word(cell, layout::CELL_TICKET.at).max(1);
        let tag = text::word(cell, layout::CELL_TAG.at);
        let len = (text::word(cell, layout::CELL_LEN.at) as usize).min(text_len);
        put(cell, layout::CELL_TICKET, ticket);
        put(cell, layout::CELL_LEN, len as u64);
        let words = cell[layout::CELL_HEADER_LEN..][..len.next_multiple_of(8)].chunks_exact(8);
        let check = words
            .map(|word| text::word(word, 0))
            .fold(layout::cell_check(ticket, tag, len as u64), layout::mix);
        put(cell, layout::CELL_CHECK, check);
    }
}
