"""The flight recorder of docs/spec/flight-recorder.md: what its host can read of a worker, also after SIGKILL."""

import mmap
import os
import sys

PHASE_STARTING, PHASE_READY, PHASE_STOPPING, PHASE_PANICKED = 1, 2, 3, 4

# Offsets in words of eight bytes: first those of the worker area, then those of a slot's area and of the control page.
MAGIC, VERSION, SLOTS, HEARTBEAT, PHASE = 0, 1, 2, 8, 9
PANIC_HEAD, PANIC_LOCATION_HEAD, BACKTRACE_HEAD, PANIC_LOCATION, PANIC_MESSAGE = 16, 17, 18, 24, 64
OPEN, ITEMS_OPENED, DONE, TOTAL, CHECK, STAGE_HEAD, MESSAGE_HEAD, BREADCRUMB_HEAD = range(8)
STAGES, MESSAGES, BREADCRUMBS = 8, 56, 96
PAUSE, INTERRUPT, CANCEL = 8, 9, 16
WORKER_WORDS, SLOT_WORDS, CELL_HEADER_WORDS = 512, 256, 4

RECORDER_MAGIC, CONTROL_MAGIC = (int.from_bytes(magic, "little") for magic in (b"COFDREC\0", b"COFDCTL\0"))
LAYOUT_VERSION = 1

SEED, FACTOR, FACTOR_TOTAL, MASK = 0x9E3779B97F4A7C15, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB, (1 << 64) - 1


def mix(check, word):
    product = (check ^ word) * FACTOR
    return ((product >> 64 ^ product) + SEED) & MASK


def cut(text, length):
    """So many bytes at most, cut between characters."""
    return text.encode(errors="replace")[:length].decode(errors="ignore").encode()


def words_of(path):
    """A file as words that are stored and loaded at once."""
    if sys.byteorder != "little":
        raise NotImplementedError("the recorder's words are little-endian")
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return memoryview(mmap.mmap(fd, 0)).cast("Q")
    finally:
        os.close(fd)


class Recorder:
    """One slot: a plain worker works on one item at a time."""

    def __init__(self, recorder, control, slots):
        self.words, self.control = words_of(recorder), words_of(control)
        if (self.words[MAGIC], self.words[VERSION], self.words[SLOTS]) != (RECORDER_MAGIC, LAYOUT_VERSION, slots):
            raise ValueError("not a recorder of a layout that this worker knows")
        if (self.control[0], self.control[1]) != (CONTROL_MAGIC, LAYOUT_VERSION):
            raise ValueError("not a control page of a layout that this worker knows")
        self.slot = self.words[WORKER_WORDS : WORKER_WORDS + SLOT_WORDS]
        self.backtrace = self.words[WORKER_WORDS + slots * SLOT_WORDS :]
        self.said = None  # the same once more, for the message that says how the open item failed

    def set_phase(self, phase):
        self.words[PHASE] = phase

    def beat(self):
        self.words[HEARTBEAT] = self.words[HEARTBEAT] + 1 & MASK

    def open(self, lease, offset):
        self.said = {"stage": "", "progress": None, "breadcrumbs": []}
        self.slot[ITEMS_OPENED] = self.slot[ITEMS_OPENED] + 1 & MASK
        self.slot[OPEN] = lease << 32 | offset + 1

    def close(self):
        self.slot[OPEN] = 0

    def progress(self, done, total):
        check = SEED ^ self.slot[OPEN] ^ done * FACTOR & MASK ^ total * FACTOR_TOTAL & MASK
        self.slot[DONE], self.slot[TOTAL], self.slot[CHECK] = done, total, check
        if self.said:
            self.said["progress"] = [done, total]

    def stage(self, text):
        self._write(self.slot, STAGE_HEAD, STAGES, 4, 64, self.slot[OPEN], text)
        if self.said:
            self.said["stage"] = cut(text, 64).decode()

    def message(self, text):
        self._write(self.slot, MESSAGE_HEAD, MESSAGES, 2, 128, self.slot[OPEN], text)

    def breadcrumb(self, text):
        self._write(self.slot, BREADCRUMB_HEAD, BREADCRUMBS, 8, 64, self.slot[OPEN], text)
        if self.said:
            self.said["breadcrumbs"] = [*self.said["breadcrumbs"][-7:], cut(text, 64).decode()]

    def panic(self, message, location, calls):
        """`calls` as Python prints them, outermost first."""
        tag = self.words[PANIC_HEAD]
        self._write(self.words, PANIC_LOCATION_HEAD, PANIC_LOCATION, 1, 256, tag, location)
        self._write(self.words, PANIC_HEAD, PANIC_MESSAGE, 1, 2048, tag, message)
        text = "\n".join(" ".join(call.split()) for call in reversed(calls))
        head = self.words[BACKTRACE_HEAD:]
        self._write_at(head, 0, self.backtrace, 1, 8192 - 8 * CELL_HEADER_WORDS, 0, text)

    def is_paused(self):
        return self.control[PAUSE] != 0

    def is_interrupted(self):
        cancelled = self.control[CANCEL]
        return self.control[INTERRUPT] != 0 or cancelled != 0 and cancelled == self.slot[OPEN]

    def is_held(self):
        """Whether no further item is to be opened for now."""
        return self.control[PAUSE] != 0 or self.control[INTERRUPT] != 0

    def _write(self, area, head, ring, cells, text_len, tag, text):
        self._write_at(area, head, area[ring:], cells, text_len, tag, text)

    def _write_at(self, heads, head, ring, cells, text_len, tag, text):
        data = cut(text, text_len)
        heads[head] = ticket = heads[head] + 1 & MASK
        at = ticket % cells * (CELL_HEADER_WORDS + text_len // 8)
        check = mix(mix(mix(SEED, ticket), tag), len(data))
        ring[at], ring[at + 1], ring[at + 2] = ticket, tag, len(data)
        for start in range(0, len(data), 8):
            word = int.from_bytes(data[start : start + 8], "little")
            ring[at + CELL_HEADER_WORDS + start // 8] = word
            check = mix(check, word)
        ring[at + 3] = check
