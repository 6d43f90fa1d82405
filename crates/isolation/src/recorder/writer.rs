//! The worker's side: every store is one atomic store into memory, without a system call or a look at a clock.

use super::layout::{self, Field};
use super::words::Words;
use super::{PanicRecord, Phase, Recording, SignalRecord, StackRange, text};
use cofferdam_pipeline_core::{Instrument, Interrupted, LeaseId, OpenItem};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::time::Duration;

/// How long a paused `check` sleeps before it looks again. The words come by a plain write, which wakes nobody.
const PAUSE_POLL: Duration = Duration::from_millis(10);

const PANIC_MESSAGE_LEN_MAX: usize = layout::PANIC_MESSAGE.len - layout::CELL_HEADER_LEN;

const SLOT_WORDS: usize = layout::SLOT_AREA_LEN / 8;

/// A worker's recorder and control page.
#[derive(Debug)]
pub(crate) struct Recorder {
    words: Words,
    control: Words,
    slots: u32,
    panicking: AtomicBool,
}

impl Recorder {
    /// Maps the two files that the host created.
    pub(crate) fn open(recorder: &Path, control: &Path, slots: u32) -> io::Result<Arc<Self>> {
        let recorder = File::options().read(true).write(true).open(recorder)?;
        let words = Words::map(&recorder, layout::recorder_len(slots), true)?;
        let control = Words::map(&File::open(control)?, layout::CONTROL_LEN, false)?;
        let ours = [
            (load(&words, layout::MAGIC), layout::RECORDER_MAGIC),
            (load(&words, layout::VERSION), layout::LAYOUT_VERSION),
            (load(&words, layout::SLOTS), u64::from(slots)),
            (load(&control, layout::CONTROL_MAGIC_FIELD), layout::CONTROL_MAGIC),
            (load(&control, layout::CONTROL_VERSION), layout::LAYOUT_VERSION),
        ];
        if ours.iter().any(|(found, expected)| found != expected) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a recorder of this version"));
        }
        Ok(Arc::new(Self { words, control, slots, panicking: AtomicBool::new(false) }))
    }

    /// The same in memory, for a worker that is a thread of its host.
    pub(crate) fn in_memory(slots: u32) -> Arc<Self> {
        let words = Words::heap(layout::recorder_len(slots));
        store(&words, layout::MAGIC, layout::RECORDER_MAGIC);
        store(&words, layout::VERSION, layout::LAYOUT_VERSION);
        store(&words, layout::SLOTS, u64::from(slots));
        let control = Words::heap(layout::CONTROL_LEN);
        Arc::new(Self { words, control, slots, panicking: AtomicBool::new(false) })
    }

    /// The area of one concurrency slot.
    pub(crate) fn slot(self: &Arc<Self>, slot: u32) -> SlotRecorder {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        SlotRecorder {
            start: (layout::WORKER_AREA_LEN + slot as usize * layout::SLOT_AREA_LEN) / 8,
            recorder: self.clone(),
            slot,
        }
    }

    /// Tells how far the worker is.
    pub(crate) fn set_phase(&self, phase: Phase) {
        store(&self.words, layout::PHASE, phase.number());
    }

    /// How far the worker is.
    pub(crate) fn phase(&self) -> Phase {
        Phase::from_number(load(&self.words, layout::PHASE))
    }

    /// Shows that the worker's ticker lives; only that thread calls it.
    pub(crate) fn beat(&self) {
        store(&self.words, layout::HEARTBEAT, load(&self.words, layout::HEARTBEAT).wrapping_add(1));
    }

    /// Keeps a panic; of two at the same moment, the first.
    pub(crate) fn record_panic(&self, message: &str, location: &str) {
        if self.panicking.swap(true, Ordering::Acquire) {
            return;
        }
        let words = &self.words;
        let head = &words[layout::PANIC_HEAD.word()];
        let tag = head.load(Ordering::Relaxed);
        let location_head = &words[layout::PANIC_LOCATION_HEAD.word()];
        text::write::<1>(location_head, part(words, layout::PANIC_LOCATION), tag, location);
        text::write::<1>(head, part(words, layout::PANIC_MESSAGE), tag, message);
        self.panicking.store(false, Ordering::Release);
    }

    /// Keeps the calls that led to the panic that ends this worker.
    pub(crate) fn record_backtrace(&self, backtrace: &str) {
        let area = &self.words[layout::backtrace_at(self.slots) / 8..];
        text::write::<1>(
            &self.words[layout::BACKTRACE_HEAD.word()],
            part(area, layout::BACKTRACE),
            0,
            backtrace,
        );
    }

    /// Keeps a fatal signal, the first one; called in signal handlers, so nothing here may take a lock or memory.
    #[allow(dead_code, reason = "where an exception shows in the exit code nothing is caught")]
    pub(crate) fn record_signal(&self, signal: SignalRecord) {
        let words = &self.words;
        if load(words, layout::SIGNAL_NUMBER) != 0 {
            return;
        }
        store(words, layout::SIGNAL_CODE, signal.code as u64);
        store(words, layout::SIGNAL_ADDRESS, signal.address);
        store(words, layout::SIGNAL_STACK_POINTER, signal.stack_pointer);
        compiler_fence(Ordering::SeqCst);
        store(words, layout::SIGNAL_NUMBER, signal.number as u64);
    }

    /// Tells where the stack of the processor's thread is.
    pub(crate) fn set_stack(&self, stack: &StackRange) {
        store(&self.words, layout::STACK_LOW, stack.start);
        store(&self.words, layout::STACK_HIGH, stack.end);
    }

    /// What the hook kept of the panic with this message; without a location when the user's code replaced the hook.
    pub(crate) fn panic_of(&self, message: &str) -> PanicRecord {
        let message =
            text::clean_lines(&message.as_bytes()[..message.floor_char_boundary(PANIC_MESSAGE_LEN_MAX)]);
        let seen = self.look().panic.filter(|panic| panic.message == message);
        seen.unwrap_or(PanicRecord { message, location: String::new() })
    }

    /// Pauses or resumes `check`; only in memory, since a child's control page is written by its host.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.set_control(layout::PAUSE, u64::from(paused));
    }

    /// Makes `check` fail from now on; only in memory.
    pub(crate) fn interrupt(&self) {
        self.set_control(layout::INTERRUPT, 1);
    }

    /// Makes `check` fail for this item alone; only in memory.
    pub(crate) fn cancel(&self, slot: u32, lease: LeaseId, offset: u32) {
        match &self.control {
            Words::Heap(words) => {
                let word = super::open_word(lease, offset);
                words[layout::CANCEL.word() + slot as usize].store(word.to_le(), Ordering::Relaxed);
            }
            Words::Mapped(_) => unreachable!("the control page of a child belongs to its host"),
        }
    }

    fn set_control(&self, field: Field, value: u64) {
        match &self.control {
            Words::Heap(words) => store(words, field, value),
            Words::Mapped(_) => unreachable!("the control page of a child belongs to its host"),
        }
    }

    /// What a reader would see now.
    pub(crate) fn look(&self) -> Recording {
        let bytes: Vec<u8> = self.words[..layout::backtrace_at(self.slots) / 8]
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect();
        Recording::parse(&bytes, self.slots).expect("a recorder in memory keeps its header")
    }
}

/// Where one concurrency slot of a worker writes.
#[derive(Clone, Debug)]
pub(crate) struct SlotRecorder {
    recorder: Arc<Recorder>,
    slot: u32,
    start: usize,
}

impl SlotRecorder {
    /// Notes that an item enters `process`. Only the slot's own thread calls it.
    #[inline]
    pub(crate) fn open(&self, lease: LeaseId, offset: u32) {
        let area = self.area();
        let opened = area[layout::ITEMS_OPENED.word()].load(Ordering::Relaxed);
        area[layout::ITEMS_OPENED.word()]
            .store(u64::from_le(opened).wrapping_add(1).to_le(), Ordering::Relaxed);
        area[layout::OPEN.word()].store(super::open_word(lease, offset).to_le(), Ordering::Relaxed);
        // The processor's code, perhaps inlined here, must not be moved before the store: it may be its last.
        compiler_fence(Ordering::SeqCst);
    }

    /// Notes that no item is inside `process`.
    #[inline]
    pub(crate) fn close(&self) {
        compiler_fence(Ordering::SeqCst);
        self.area()[layout::OPEN.word()].store(0, Ordering::Relaxed);
    }

    /// [`SlotRecorder::close`], with what the item said of itself: after that, nobody can read it here any more.
    ///
    /// # Panics
    /// When no item is open.
    pub(crate) fn close_failed(&self) -> OpenItem {
        let bytes: Vec<u8> =
            self.area().iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        self.close();
        let item = super::reader::open_item(&bytes, self.slot).expect("only an open item can fail");
        OpenItem { message: String::new(), ..item }
    }

    /// Whether no further item is to be opened for now.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        let control = &self.recorder.control;
        load(control, layout::PAUSE) != 0 || load(control, layout::INTERRUPT) != 0
    }

    /// Whether the open item is to go no further: it is cancelled, or its worker is to stop at once.
    pub(crate) fn is_to_end(&self) -> bool {
        load(&self.recorder.control, layout::INTERRUPT) != 0 || self.is_cancelled()
    }

    /// Whether the open item, and not only its worker, is to stop.
    fn is_cancelled(&self) -> bool {
        let cancelled =
            self.recorder.control[layout::CANCEL.word() + self.slot as usize].load(Ordering::Relaxed);
        cancelled != 0 && u64::from_le(cancelled) == self.open_now()
    }

    #[inline]
    fn area(&self) -> &[AtomicU64; SLOT_WORDS] {
        self.recorder.words[self.start..].first_chunk().expect("the file holds every slot's area")
    }

    /// The position of the open item, if it is one of this lease.
    pub(crate) fn open_offset(&self, lease: LeaseId) -> Option<u32> {
        self.open_item().filter(|(open, _)| *open == lease).map(|(_, offset)| offset)
    }

    /// The lease and position of the open item.
    pub(crate) fn open_item(&self) -> Option<(LeaseId, u32)> {
        let open = self.open_now();
        (open as u32).checked_sub(1).map(|offset| (LeaseId((open >> 32) as u32), offset))
    }

    fn open_now(&self) -> u64 {
        u64::from_le(self.area()[layout::OPEN.word()].load(Ordering::Relaxed))
    }

    #[inline]
    fn write<const CELLS: usize>(&self, head: Field, ring: Field, text: &str) {
        let area = self.area();
        text::write::<CELLS>(&area[head.word()], part(area, ring), self.open_now(), text);
    }
}

impl Instrument for SlotRecorder {
    fn progress(&self, done: u64, total: u64) {
        let area = self.area();
        let check = layout::progress_check(self.open_now(), done, total);
        area[layout::PROGRESS_DONE.word()].store(done.to_le(), Ordering::Relaxed);
        area[layout::PROGRESS_TOTAL.word()].store(total.to_le(), Ordering::Relaxed);
        area[layout::PROGRESS_CHECK.word()].store(check.to_le(), Ordering::Relaxed);
    }

    fn stage(&self, name: &str) {
        self.write::<4>(layout::STAGE_HEAD, layout::STAGES, name);
    }

    fn message(&self, text: &str) {
        self.write::<2>(layout::MESSAGE_HEAD, layout::MESSAGES, text);
    }

    fn breadcrumb(&self, text: &str) {
        self.write::<8>(layout::BREADCRUMB_HEAD, layout::BREADCRUMBS, text);
    }

    fn check(&self) -> Result<(), Interrupted> {
        let control = &self.recorder.control;
        loop {
            if load(control, layout::INTERRUPT) != 0 || self.is_cancelled() {
                return Err(Interrupted);
            }
            if load(control, layout::PAUSE) == 0 {
                return Ok(());
            }
            crate::clock::pause(PAUSE_POLL);
        }
    }
}

fn load(words: &[AtomicU64], field: Field) -> u64 {
    u64::from_le(words[field.word()].load(Ordering::Relaxed))
}

fn store(words: &[AtomicU64], field: Field, value: u64) {
    words[field.word()].store(value.to_le(), Ordering::Relaxed);
}

fn part(words: &[AtomicU64], field: Field) -> &[AtomicU64] {
    &words[field.word()..field.word() + field.len / 8]
}
