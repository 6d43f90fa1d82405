//! The bytes of the flight recorder and of the control page; `docs/spec/flight-recorder.md` is compared with these constants.
//!
//! Everything is a little-endian 64-bit word at an offset divisible by 8, so that each store is one atomic store.

/// A named place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As in the byte table.
    pub name: &'static str,
    /// Offset in bytes.
    pub at: usize,
    /// Length in bytes.
    pub len: usize,
}

impl Field {
    const fn new(name: &'static str, at: usize, len: usize) -> Self {
        assert!(at.is_multiple_of(8) && len.is_multiple_of(8));
        Self { name, at, len }
    }

    /// Index of its first word.
    pub(crate) const fn word(&self) -> usize {
        self.at / 8
    }
}

/// The first eight bytes of a recorder.
pub const RECORDER_MAGIC: u64 = u64::from_le_bytes(*b"COFDREC\0");
/// The first eight bytes of a control page.
pub const CONTROL_MAGIC: u64 = u64::from_le_bytes(*b"COFDCTL\0");
/// Raised when an offset or a meaning changes.
pub const LAYOUT_VERSION: u64 = 1;
/// The most concurrency slots of one worker.
pub const SLOTS_MAX: u32 = 64;

/// Bytes of the worker area, which precedes the slots.
pub const WORKER_AREA_LEN: usize = 4096;
/// Bytes of one slot's area.
pub const SLOT_AREA_LEN: usize = 2048;
/// Bytes of a control page.
pub const CONTROL_LEN: usize = 4096;

/// Bytes of the backtrace's area, which follows the slots.
pub const BACKTRACE_AREA_LEN: usize = 8192;

/// Bytes of a recorder for this many slots.
#[must_use]
pub const fn recorder_len(slots: u32) -> usize {
    backtrace_at(slots) + BACKTRACE_AREA_LEN
}

/// Where the backtrace's area begins: what lies before it is all that a sampler reads.
#[must_use]
pub const fn backtrace_at(slots: u32) -> usize {
    WORKER_AREA_LEN + slots as usize * SLOT_AREA_LEN
}

/// [`RECORDER_MAGIC`], by the host.
pub const MAGIC: Field = Field::new("magic", 0, 8);
/// [`LAYOUT_VERSION`], by the host.
pub const VERSION: Field = Field::new("layout version", 8, 8);
/// Slot areas in this file, by the host.
pub const SLOTS: Field = Field::new("slots", 16, 8);
/// Rises while the worker's ticker lives.
pub const HEARTBEAT: Field = Field::new("heartbeat", 64, 8);
/// A [`super::Phase`].
pub const PHASE: Field = Field::new("phase", 72, 8);
/// Fatal signal; 0 for none. Stored last of the four.
pub const SIGNAL_NUMBER: Field = Field::new("signal number", 80, 8);
/// The signal's `si_code`.
pub const SIGNAL_CODE: Field = Field::new("signal code", 88, 8);
/// The address that faulted.
pub const SIGNAL_ADDRESS: Field = Field::new("signal address", 96, 8);
/// The stack pointer at the fault.
pub const SIGNAL_STACK_POINTER: Field = Field::new("signal stack pointer", 104, 8);
/// The lowest address of the stack of the processor's thread; 0 when unknown.
pub const STACK_LOW: Field = Field::new("stack low", 112, 8);
/// One past its highest.
pub const STACK_HIGH: Field = Field::new("stack high", 120, 8);
/// The highest ticket of the panic texts.
pub const PANIC_HEAD: Field = Field::new("panic head", 128, 8);
/// The highest ticket of the panic locations.
pub const PANIC_LOCATION_HEAD: Field = Field::new("panic location head", 136, 8);
/// The highest ticket of the backtraces.
pub const BACKTRACE_HEAD: Field = Field::new("backtrace head", 144, 8);
/// One cell: `file:line:column`.
pub const PANIC_LOCATION: Field = Field::new("panic location", 192, CELL_HEADER_LEN + 256);
/// One cell: the panic's message.
pub const PANIC_MESSAGE: Field = Field::new("panic message", 512, CELL_HEADER_LEN + 2048);

/// All fields of the worker area.
pub const WORKER_FIELDS: &[Field] = &[
    MAGIC,
    VERSION,
    SLOTS,
    HEARTBEAT,
    PHASE,
    SIGNAL_NUMBER,
    SIGNAL_CODE,
    SIGNAL_ADDRESS,
    SIGNAL_STACK_POINTER,
    STACK_LOW,
    STACK_HIGH,
    PANIC_HEAD,
    PANIC_LOCATION_HEAD,
    BACKTRACE_HEAD,
    PANIC_LOCATION,
    PANIC_MESSAGE,
];

/// One cell, at the beginning of its area: the calls that led to the panic whose message has its tag.
pub const BACKTRACE: Field = Field::new("backtrace", 0, BACKTRACE_AREA_LEN);

/// The item inside `process`: lease << 32 | offset + 1; 0 for none.
pub const OPEN: Field = Field::new("open item", 0, 8);
/// Rises with each item that is opened.
pub const ITEMS_OPENED: Field = Field::new("items opened", 8, 8);
/// Units done.
pub const PROGRESS_DONE: Field = Field::new("progress done", 16, 8);
/// Units in all.
pub const PROGRESS_TOTAL: Field = Field::new("progress total", 24, 8);
/// [`progress_check`] of the two and of the open item.
pub const PROGRESS_CHECK: Field = Field::new("progress check", 32, 8);
/// The highest ticket of the stages.
pub const STAGE_HEAD: Field = Field::new("stage head", 40, 8);
/// The highest ticket of the messages.
pub const MESSAGE_HEAD: Field = Field::new("message head", 48, 8);
/// The highest ticket of the breadcrumbs.
pub const BREADCRUMB_HEAD: Field = Field::new("breadcrumb head", 56, 8);
/// Four cells of 64 bytes.
pub const STAGES: Field = Field::new("stages", 64, 4 * (CELL_HEADER_LEN + 64));
/// Two cells of 128 bytes.
pub const MESSAGES: Field = Field::new("messages", 448, 2 * (CELL_HEADER_LEN + 128));
/// Eight cells of 64 bytes.
pub const BREADCRUMBS: Field = Field::new("breadcrumbs", 768, 8 * (CELL_HEADER_LEN + 64));

/// All fields of a slot's area; offsets count from its start.
pub const SLOT_FIELDS: &[Field] = &[
    OPEN,
    ITEMS_OPENED,
    PROGRESS_DONE,
    PROGRESS_TOTAL,
    PROGRESS_CHECK,
    STAGE_HEAD,
    MESSAGE_HEAD,
    BREADCRUMB_HEAD,
    STAGES,
    MESSAGES,
    BREADCRUMBS,
];

/// [`CONTROL_MAGIC`].
pub const CONTROL_MAGIC_FIELD: Field = Field::new("magic", 0, 8);
/// [`LAYOUT_VERSION`].
pub const CONTROL_VERSION: Field = Field::new("layout version", 8, 8);
/// Not 0 while the job is paused.
pub const PAUSE: Field = Field::new("pause", 64, 8);
/// Not 0 once the open items are to stop.
pub const INTERRUPT: Field = Field::new("interrupt", 72, 8);

/// One word for each slot: the open item, as its slot's area has it, that alone is to stop; 0 for none.
pub const CANCEL: Field = Field::new("cancel", 128, 8 * SLOTS_MAX as usize);

/// All fields of the control page.
pub const CONTROL_FIELDS: &[Field] = &[CONTROL_MAGIC_FIELD, CONTROL_VERSION, PAUSE, INTERRUPT, CANCEL];

/// The highest ticket, from 1, of any text that this cell held; 0 for an empty cell.
pub const CELL_TICKET: Field = Field::new("ticket", 0, 8);
/// The slot's open item when the text was written.
pub const CELL_TAG: Field = Field::new("tag", 8, 8);
/// Bytes of text.
pub const CELL_LEN: Field = Field::new("length", 16, 8);
/// [`cell_check`] of the other three and of the text.
pub const CELL_CHECK: Field = Field::new("check", 24, 8);
/// Bytes of a cell before its text.
pub const CELL_HEADER_LEN: usize = 32;

/// All fields of a cell; the text follows, UTF-8, its last word padded with zeros.
pub const CELL_FIELDS: &[Field] = &[CELL_TICKET, CELL_TAG, CELL_LEN, CELL_CHECK];

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xa076_1d64_78bd_642f;
const FACTOR_TOTAL: u64 = 0xe703_7ed1_a0b4_28db;

/// Ties a progress to its item: a reader that sees words of two different reports, or of another item, sees a wrong check.
///
/// Both factors are odd, so a mixture of two reports that differ in one number only is always caught.
#[must_use]
pub const fn progress_check(open: u64, done: u64, total: u64) -> u64 {
    SEED ^ open ^ done.wrapping_mul(FACTOR) ^ total.wrapping_mul(FACTOR_TOTAL)
}

/// The check of a cell's header; [`mix`] goes on with each word of the text.
#[must_use]
pub const fn cell_check(ticket: u64, tag: u64, len: u64) -> u64 {
    mix(mix(mix(SEED, ticket), tag), len)
}

/// Folds one more word into a check.
#[must_use]
pub const fn mix(check: u64, word: u64) -> u64 {
    let product = (check ^ word) as u128 * FACTOR as u128;
    ((product >> 64) as u64 ^ product as u64).wrapping_add(SEED)
}

const _: () = assert!(PANIC_MESSAGE.at + PANIC_MESSAGE.len <= WORKER_AREA_LEN);
const _: () = assert!(PANIC_LOCATION.at + PANIC_LOCATION.len <= PANIC_MESSAGE.at);
const _: () = assert!(STAGES.at + STAGES.len <= MESSAGES.at && MESSAGES.at + MESSAGES.len <= BREADCRUMBS.at);
const _: () = assert!(BREADCRUMBS.at + BREADCRUMBS.len <= SLOT_AREA_LEN);
