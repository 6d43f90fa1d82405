//! Texts in cells: whoever reads while somebody writes gets an older text or none, never a mixture.
//!
//! A writer takes the next ticket of its ring and fills the cell of that ticket with plain atomic stores; the check is
//! over ticket, tag, length and text. So writers never wait for each other, a writer that was killed half-way or
//! overtaken leaves a cell that no reader accepts, and no ordering between the stores is needed.

use super::layout::{self, Field};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A valid cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) ticket: u64,
    pub(crate) tag: u64,
    pub(crate) text: &'a [u8],
}

/// The little-endian word at a byte offset that the caller has checked.
pub(crate) fn word(area: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(area[at..at + 8].try_into().expect("eight bytes"))
}

/// The valid cells of a ring of `cells` equal cells.
pub(crate) fn cells(area: &[u8], ring: Field, cells: usize) -> impl Iterator<Item = Cell<'_>> {
    area[ring.at..ring.at + ring.len].chunks_exact(ring.len / cells).filter_map(cell)
}

fn cell(bytes: &[u8]) -> Option<Cell<'_>> {
    let (header, text) = bytes.split_at(layout::CELL_HEADER_LEN);
    let ticket = word(header, layout::CELL_TICKET.at);
    let tag = word(header, layout::CELL_TAG.at);
    let len = usize::try_from(word(header, layout::CELL_LEN.at)).ok().filter(|len| *len <= text.len())?;
    let words = text[..len.next_multiple_of(8)].chunks_exact(8).map(|bytes| word(bytes, 0));
    let check = words.fold(layout::cell_check(ticket, tag, len as u64), layout::mix);
    let whole = ticket != 0 && check == word(header, layout::CELL_CHECK.at);
    whole.then_some(Cell { ticket, tag, text: &text[..len] })
}

/// Writes one text into a ring of `CELLS` equal cells, given its head; cut to a cell's size at a character boundary.
#[inline]
pub(crate) fn write<const CELLS: usize>(head: &AtomicU64, ring: &[AtomicU64], tag: u64, text: &str) {
    let ticket = head.fetch_add(1, Relaxed).wrapping_add(1);
    let cell_words = ring.len() / CELLS;
    let start = (ticket % CELLS as u64) as usize * cell_words;
    let (header, words) = ring[start..start + cell_words].split_at(layout::CELL_HEADER_LEN / 8);
    let bytes = &text.as_bytes()[..text.floor_char_boundary(words.len() * 8)];
    let mut check = layout::cell_check(ticket, tag, bytes.len() as u64);
    header[layout::CELL_TICKET.word()].store(ticket.to_le(), Relaxed);
    header[layout::CELL_TAG.word()].store(tag.to_le(), Relaxed);
    header[layout::CELL_LEN.word()].store((bytes.len() as u64).to_le(), Relaxed);
    let (whole, rest) = bytes.as_chunks();
    let last =
        (!rest.is_empty()).then(|| rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    for (word, value) in words.iter().zip(whole.iter().map(|chunk| u64::from_le_bytes(*chunk)).chain(last)) {
        word.store(value.to_le(), Relaxed);
        check = layout::mix(check, value);
    }
    header[layout::CELL_CHECK.word()].store(check.to_le(), Relaxed);
}

/// One line of untrusted bytes, fit for a terminal or a log.
pub(crate) fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// The same with line ends and tabs kept.
pub(crate) fn clean_lines(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if is_harmful(c) && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Control characters, and those that reorder what surrounds them (the bidirectional overrides and isolates).
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
