//! What a recorder says. Every byte is the worker's and may be a lie: nothing here trusts a length, a text or a count.

use super::layout::{self, Field};
use super::text;
use cofferdam_pipeline_core::{LeaseId, Observation, OpenItem};

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The worker has not mapped the file yet.
    Unborn,
    /// `Processor::start` runs.
    Starting,
    /// It takes leases.
    Ready,
    /// It was asked to leave.
    Stopping,
    /// A panic ends it.
    Panicked,
    /// A number that no worker of ours writes.
    Unknown(u64),
}

impl Phase {
    /// As stored.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Unborn => 0,
            Self::Starting => 1,
            Self::Ready => 2,
            Self::Stopping => 3,
            Self::Panicked => 4,
            Self::Unknown(n) => n,
        }
    }

    pub(crate) fn from_number(n: u64) -> Self {
        match n {
            0 => Self::Unborn,
            1 => Self::Starting,
            2 => Self::Ready,
            3 => Self::Stopping,
            4 => Self::Panicked,
            n => Self::Unknown(n),
        }
    }
}

/// A panic as the worker's hook saw it, control characters neutralised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanicRecord {
    /// The message, cut to 2 KiB.
    pub message: String,
    /// `file:line:column`, empty when unknown.
    pub location: String,
}

/// A fatal signal as the worker's handler saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalRecord {
    /// Its number.
    pub number: i32,
    /// Its `si_code`.
    pub code: i32,
    /// The address that faulted.
    pub address: u64,
    /// The stack pointer at the fault.
    pub stack_pointer: u64,
}

/// The addresses of the stack of the processor's thread.
pub type StackRange = std::ops::Range<u64>;

/// How far beyond a stack's end an access is still taken for its overflow: a large frame jumps over the guard page.
const BEYOND_STACK_BYTES: u64 = 1 << 20;

/// How far inside its lowest address: some systems count the guard pages in.
const GUARD_BYTES_MAX: u64 = 16 << 10;

/// How far from the stack pointer the access is that overflows a stack whose bounds are unknown.
const NEAR_STACK_POINTER_BYTES: u64 = 64 << 10;

impl SignalRecord {
    /// Whether the thread ran out of stack: it touched memory beyond the end of the stack that it was on. An access just beyond
    /// the *beginning* of a stack is no overflow.
    #[must_use]
    pub fn is_stack_overflow(&self, stack: Option<&StackRange>) -> bool {
        let Self { code, address, stack_pointer, .. } = *self;
        if code <= 0 || stack_pointer == 0 {
            return false; // sent by somebody, or nothing is known
        }
        let beyond = |stack: &StackRange| {
            stack.start.saturating_sub(BEYOND_STACK_BYTES)..stack.start.saturating_add(GUARD_BYTES_MAX)
        };
        match stack.filter(|stack| (beyond(stack).start..stack.end).contains(&stack_pointer)) {
            Some(stack) => beyond(stack).contains(&address),
            None => address <= stack_pointer && stack_pointer - address <= NEAR_STACK_POINTER_BYTES,
        }
    }
}

/// One look at a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// How far the worker has come.
    pub phase: Phase,
    /// Rises while the worker's ticker lives.
    pub heartbeat: u64,
    /// The first fatal signal.
    pub signal: Option<SignalRecord>,
    /// The stack of the processor's thread, where it is known.
    pub stack: Option<StackRange>,
    /// The last panic anywhere in the worker; it ended the worker only if `phase` or the exit code says so.
    pub panic: Option<PanicRecord>,
    /// Rises with each item that is opened.
    pub items_opened: u64,
    /// Items inside `process`.
    pub open: Vec<OpenItem>,
    /// What was said while no item was open: the stage of `Processor::start`.
    pub start_stage: String,
}

/// The bytes are not a recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecorderError {
    /// Shorter than its parts: somebody cut it.
    #[error("the flight recorder has {len} bytes instead of {expected}")]
    Short {
        /// Bytes there are.
        len: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// The magic number is gone: somebody wrote over it.
    #[error("not a flight recorder")]
    Magic,
    /// Another version's layout.
    #[error("flight recorder of layout {0}")]
    Version(u64),
}

impl Recording {
    /// Reads the bytes of a recorder file that the host created with `slots` slots, as far as a sampler reads it:
    /// [`layout::backtrace_at`].
    ///
    /// # Errors
    /// When the worker cut or overwrote it: then every unsettled item of its leases may have been open.
    pub fn parse(bytes: &[u8], slots: u32) -> Result<Self, RecorderError> {
        let expected = layout::backtrace_at(slots);
        if bytes.len() < expected {
            return Err(RecorderError::Short { len: bytes.len(), expected });
        }
        let (worker, areas) = bytes[..expected].split_at(layout::WORKER_AREA_LEN);
        if word(worker, layout::MAGIC) != layout::RECORDER_MAGIC {
            return Err(RecorderError::Magic);
        }
        if word(worker, layout::VERSION) != layout::LAYOUT_VERSION {
            return Err(RecorderError::Version(word(worker, layout::VERSION)));
        }
        let areas = || areas.chunks_exact(layout::SLOT_AREA_LEN);
        Ok(Self {
            phase: Phase::from_number(word(worker, layout::PHASE)),
            heartbeat: word(worker, layout::HEARTBEAT),
            signal: signal(worker),
            stack: stack(worker),
            panic: panic(worker),
            items_opened: areas().fold(0, |sum, area| sum.wrapping_add(word(area, layout::ITEMS_OPENED))),
            open: areas().zip(0..).filter_map(|(area, slot)| open_item(area, slot)).collect(),
            start_stage: areas().next().and_then(|area| newest_stage(area, 0)).unwrap_or_default(),
        })
    }

    /// The part that a sampler shows.
    #[must_use]
    pub fn into_observation(self, resident_bytes: Option<u64>) -> Observation {
        Observation {
            heartbeat: self.heartbeat,
            items_opened: self.items_opened,
            open: self.open,
            resident_bytes,
        }
    }
}

/// The word of an open item, as [`layout::OPEN`] holds it.
#[must_use]
pub fn open_word(lease: LeaseId, offset: u32) -> u64 {
    u64::from(lease.0) << 32 | (u64::from(offset) + 1)
}

fn word(area: &[u8], field: Field) -> u64 {
    text::word(area, field.at)
}

fn signal(worker: &[u8]) -> Option<SignalRecord> {
    let number = i32::try_from(word(worker, layout::SIGNAL_NUMBER)).ok().filter(|n| *n > 0)?;
    Some(SignalRecord {
        number,
        code: word(worker, layout::SIGNAL_CODE) as i32,
        address: word(worker, layout::SIGNAL_ADDRESS),
        stack_pointer: word(worker, layout::SIGNAL_STACK_POINTER),
    })
}

fn stack(worker: &[u8]) -> Option<StackRange> {
    let (low, high) = (word(worker, layout::STACK_LOW), word(worker, layout::STACK_HIGH));
    (0 < low && low < high).then_some(low..high)
}

/// The backtrace in the bytes of its area.
pub(crate) fn backtrace(area: &[u8]) -> String {
    text::cells(area, layout::BACKTRACE, 1)
        .next()
        .map(|cell| text::clean_lines(cell.text))
        .unwrap_or_default()
}

fn panic(worker: &[u8]) -> Option<PanicRecord> {
    let message = text::cells(worker, layout::PANIC_MESSAGE, 1).next()?;
    let location = text::cells(worker, layout::PANIC_LOCATION, 1).find(|cell| cell.tag == message.tag);
    Some(PanicRecord {
        message: text::clean_lines(message.text),
        location: location.map(|cell| text::clean(cell.text)).unwrap_or_default(),
    })
}

/// The item that a slot's area has open.
pub(crate) fn open_item(area: &[u8], slot: u32) -> Option<OpenItem> {
    let open = word(area, layout::OPEN);
    let offset = (open as u32).checked_sub(1)?;
    let (done, total) = (word(area, layout::PROGRESS_DONE), word(area, layout::PROGRESS_TOTAL));
    let whole = word(area, layout::PROGRESS_CHECK) == layout::progress_check(open, done, total);
    let mut crumbs: Vec<_> =
        text::cells(area, layout::BREADCRUMBS, 8).filter(|cell| cell.tag == open).collect();
    crumbs.sort_unstable_by_key(|cell| cell.ticket);
    Some(OpenItem {
        slot,
        lease: LeaseId((open >> 32) as u32),
        offset,
        stage: newest_stage(area, open).unwrap_or_default(),
        progress: whole.then_some((done, total)),
        message: newest(area, layout::MESSAGES, 2, open).unwrap_or_default(),
        breadcrumbs: crumbs.into_iter().map(|cell| text::clean(cell.text)).collect(),
    })
}

fn newest_stage(area: &[u8], open: u64) -> Option<String> {
    newest(area, layout::STAGES, 4, open)
}

fn newest(area: &[u8], ring: Field, cells: usize, open: u64) -> Option<String> {
    text::cells(area, ring, cells)
        .filter(|cell| cell.tag == open)
        .max_by_key(|cell| cell.ticket)
        .map(|cell| text::clean(cell.text))
}
