"""A Cofferdam worker in Python, with the standard library alone.

    from cofferdam_worker import serve

    class Words:
        NAME, VERSION = "words", 1          # as the host's Processor has them
        def start(self, config, cx): ...    # once; loads models
        def process(self, item, cx): ...    # for each item: its output
        def stop(self): ...                 # optional

    serve(Words)

Items, outputs and the config are what `json` makes of them: the host's job must use `Codec::Json`. The specs are
docs/spec/other-languages.md, wire-protocol.md, worker-protocol.md and flight-recorder.md.

A `Failure` that `process` raises, and any other `Exception` (as invalid input, with its traceback), fails the item and nothing else. What
says that the program itself is broken ends the worker as a panic does: `Panic`, `AssertionError`, `MemoryError`, `SystemError`,
and whatever is no `Exception`.
"""

import collections
import ctypes
import faulthandler
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import zlib

from flight_recorder import PHASE_PANICKED, PHASE_READY, PHASE_STARTING, PHASE_STOPPING, Recorder
from output_files import ItemFiles, OutputLost
from wire import Channel, HostLost, Violation, entries, push_entry

ROLE_VAR, HOST_PID_VAR, TOKEN_VAR = "COFFERDAM_WORKER", "COFFERDAM_HOST_PID", "COFFERDAM_TOKEN"
WAIT_VAR = "COFFERDAM_WAIT"
START, ASSIGN, TAKE_BACK, STOP, ASSIGN_STAGED, TAKE_FILE = range(0x01, 0x07)
READY, REPLIES, FAILED, RETURNED, START_FAILED, STOPPED, SAVE_STATE, WANT_FILE, COMPLETED = range(0x81, 0x8A)
EXIT_STOPPED, EXIT_PANIC, EXIT_START_FAILED, EXIT_HOST_LOST = 0, 101, 102, 103

LEASES_WAITING_MAX = 128
FAILURE_MESSAGE_MAX = 8192
SAVED_STATE_MAX = 1 << 20
GIVE_MAX_S = 60
BATCH_BYTES = 64 << 10
PAUSE_POLL_S = 0.01
STATE_EVERY_S = 0.1


class Failure(Exception):
    """The item failed. Kinds: 1 transient, 2 rate-limited, 3 offline, 4 invalid input, 5 fatal."""

    def __init__(self, message, kind=4, retry_after_ms=0):
        super().__init__(message)
        self.kind, self.retry_after_ms = kind, retry_after_ms


class Interrupted(Failure):
    """`cx.check()`: the worker, or the open item alone, is to stop. Let it pass through."""

    def __init__(self):
        super().__init__("interrupted", kind=6)


class Panic(BaseException):
    """The worker is broken and must be replaced; the open item is charged with a crash."""


BROKEN = (Panic, AssertionError, MemoryError, SystemError)


class StartContext:
    """What `start` may ask and say."""

    def __init__(self, worker, start):
        self._recorder = worker.recorder
        self.slot = start["slot"]

    def stage(self, name):
        self._recorder.stage(name)

    def progress(self, done, total=0):
        self._recorder.progress(done, total)


class Context:
    """What `process` may ask and say about its item."""

    def __init__(self, worker, lease, offset, saved_state):
        self._worker, self._lease, self._offset = worker, lease, offset
        self.attempt, self.slot, self.saved_state = lease.attempt, worker.start["slot"], saved_state

    def stage(self, name):
        self._worker.recorder.stage(name)

    def progress(self, done, total=0):
        self._worker.recorder.progress(done, total)

    def message(self, text):
        self._worker.recorder.message(text)

    def breadcrumb(self, text):
        self._worker.recorder.breadcrumb(text)

    def check(self):
        """Raises `Interrupted` when the item is to stop; blocks while the job is paused."""
        while True:
            if self._worker.recorder.is_interrupted():
                raise Interrupted()
            if not self._worker.recorder.is_paused():
                return
            time.sleep(PAUSE_POLL_S)

    def save_state(self, state):
        """Keeps up to 1 MiB of bytes for whoever tries this item next; replaces what was saved before."""
        if len(state) > SAVED_STATE_MAX:
            raise ValueError(f"a state of {len(state)} bytes, the limit is {SAVED_STATE_MAX}")
        self._worker.save(self._lease.id, self._offset, bytes(state))

    def scratch_dir(self):
        """A directory of this attempt's own, removed when it ends; the host removes it if the worker dies."""
        place = bytes(self._worker.start["scratch"])
        if not place:
            raise Failure("the host has no place for scratch directories", kind=1)
        place = os.fsdecode(place)
        self._worker.scratch = os.path.join(place, f"{self._lease.id}-{self._offset}")
        for directory in (os.path.dirname(place), place, self._worker.scratch):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        return self._worker.scratch

    def output_writer(self):
        """A file for what is too large to be returned: an `OutputWriter`. Its errors make the item one that is tried again."""
        return self._worker.files_of(self._lease.id, self._offset).begin()


class Staged:
    """An item in a file of the host's: too large for a frame."""

    def __init__(self, message):
        self.path, self.length, self.crc = os.fsdecode(bytes(message["path"])), message["len"], message["crc32"]

    def read(self):
        try:
            with open(self.path, "rb") as file:
                data = file.read(self.length + 1)
        except OSError as error:
            raise Failure(f"the file with the item cannot be read: {error}", kind=1) from None
        if len(data) != self.length or zlib.crc32(data) != self.crc:
            raise Failure("the file with the item is not as its host wrote it", kind=1)
        return data


class Lease:
    def __init__(self, message, payload, staged=None):
        has_state = bool(message["has_state"])
        parts = entries(payload, message["count"] * (staged is None) + has_state)
        self.id, self.attempt = message["lease"], message["attempt"]
        self.state = parts.pop(0) if has_state else None
        self.items = parts if staged is None else [staged]
        self.end = len(self.items)
        self.claimed = 0


class Worker:
    """Three threads: this one processes, one reads from the host, one ticks."""

    def __init__(self, channel, start, config, processor):
        self.channel, self.start, self.config, self.processor = channel, start, config, processor
        self.recorder = Recorder(bytes(start["recorder"]), bytes(start["control"]), start["slots"])
        self.work = threading.Condition()
        self.leases, self.in_hand, self.stopping = collections.deque(), None, False
        self.batch, self.batch_of, self.batch_count = bytearray(), None, 0  # under `channel.sending`
        self.scratch, self.files = None, None  # of the open item
        self.given, self.file_given = {}, threading.Condition()  # answers of the host to who waits for a file
        self.state, self.state_sent = None, -STATE_EVERY_S  # under `channel.sending`

    # --- the thread that reads ---

    def read(self):
        try:
            while True:
                self.take(*self.channel.receive())
        except (EOFError, OSError):
            os._exit(EXIT_HOST_LOST)
        except BaseException as error:
            print(f"cofferdam worker: {error!r}", file=sys.stderr, flush=True)
            os._exit(EXIT_HOST_LOST)

    def take(self, kind, message, payload):
        if kind in (ASSIGN, ASSIGN_STAGED):
            is_staged = kind == ASSIGN_STAGED
            lease = Lease({"count": 1, **message}, payload, Staged(message) if is_staged else None)
            with self.work:
                if len(self.leases) >= LEASES_WAITING_MAX:
                    raise Violation("too many leases wait")
                self.leases.append(lease)
                self.work.notify()
        elif kind == TAKE_BACK:
            with self.work:
                start_from = self.take_back(message["lease"])
            with self.channel.sending:
                self.flush()
                self.channel.send(RETURNED, {"lease": message["lease"], "from": start_from})
        elif kind == TAKE_FILE:
            with self.file_given:
                wanted = (message["lease"], message["offset"], message["number"])
                if self.given.get(wanted, message) is not None:
                    raise Violation("a file that was not asked for")
                self.given[wanted] = message
                self.file_given.notify_all()
        elif kind == STOP:
            with self.work:
                self.stopping = True
                self.recorder.set_phase(PHASE_STOPPING)
                self.work.notify()
        else:
            raise Violation(f"a message of unknown kind {kind:#04x}")

    def take_back(self, lease_id):
        """The first item that will not be processed; beyond every lease's end when the lease is finished."""
        if self.in_hand and self.in_hand.id == lease_id:
            self.in_hand.end = min(self.in_hand.end, self.in_hand.claimed)
            return self.in_hand.end
        for lease in self.leases:
            if lease.id == lease_id:
                self.leases.remove(lease)
                return 0
        return 0xFFFFFFFF

    # --- the thread that ticks ---

    def tick(self):
        """Beats the heart, and sends what is finished while the processor is busy elsewhere."""
        period = max(1, min(self.start["reply_flush_ms"], self.start["heartbeat_ms"])) / 1000
        try:
            while True:
                time.sleep(period)
                self.recorder.beat()
                if self.channel.sending.acquire(blocking=False):
                    try:
                        self.flush()
                        self.send_state(False)
                    finally:
                        self.channel.sending.release()
        except BaseException:
            os._exit(EXIT_HOST_LOST)

    def flush(self):
        if self.batch_count:
            lease, offset = self.batch_of
            batch, count, self.batch, self.batch_count = self.batch, self.batch_count, bytearray(), 0
            self.channel.send(REPLIES, {"lease": lease, "slot": 0, "offset": offset, "count": count}, batch)

    def save(self, lease, offset, state):
        with self.channel.sending:
            self.state = (lease, offset, state)
            self.send_state(False)

    def send_state(self, is_last):
        now = time.monotonic()
        if self.state and (is_last or now - self.state_sent >= STATE_EVERY_S):
            self.flush()
            (lease, offset, state), self.state, self.state_sent = self.state, None, now
            self.channel.send(SAVE_STATE, {"lease": lease, "offset": offset}, state)

    # --- threads that write outputs ---

    def files_of(self, lease, offset):
        if not self.start["files_above"]:
            raise OutputLost("the host has no place for outputs")
        if self.files is None:
            self.files = ItemFiles(lambda number: self.want_file(lease, offset, number))
        return self.files

    def want_file(self, lease, offset, number):
        """The path of an empty file."""
        wanted = (lease, offset, number)
        with self.file_given:
            self.given[wanted] = None
        with self.channel.sending:
            self.channel.send(WANT_FILE, {"lease": lease, "offset": offset, "number": number})
        with self.file_given:
            if not self.file_given.wait_for(lambda: self.given[wanted], GIVE_MAX_S):
                raise OutputLost("the host gave no file")
            answer = self.given.pop(wanted)
        if not answer["path"]:
            raise OutputLost(f"the output cannot be written: {answer['refusal']}")
        return os.fsdecode(bytes(answer["path"]))

    # --- the thread that processes ---

    def run(self):
        """From `start` to the exit code."""
        self.recorder.set_phase(PHASE_STARTING)
        processor = self.processor()
        try:
            processor.start(self.config, StartContext(self, self.start))
        except BROKEN:
            raise
        except Exception as error:
            with self.channel.sending:
                self.channel.send(START_FAILED, failure_message(error))
            return EXIT_START_FAILED
        self.recorder.set_phase(PHASE_READY)
        with self.channel.sending:
            self.channel.send(READY, {})
        while lease := self.next_lease():
            self.work_off(processor, lease)
        if hasattr(processor, "stop"):
            processor.stop()
        with self.channel.sending:
            self.flush()
            self.channel.send(STOPPED, {})
        return EXIT_STOPPED

    def next_lease(self):
        with self.work:
            self.in_hand = None
            while not (self.stopping or self.leases):
                self.work.wait()
            if not self.stopping:
                self.in_hand = self.leases.popleft()
            return self.in_hand

    def claim(self, lease):
        """The next item's offset, after the end of a pause; from then on nobody can take it back."""
        while True:
            with self.work:
                if self.stopping or lease.claimed >= lease.end:
                    return None
                if not self.recorder.is_held():
                    lease.claimed += 1
                    return lease.claimed - 1
            time.sleep(PAUSE_POLL_S)

    def work_off(self, processor, lease):
        while (offset := self.claim(lease)) is not None:
            self.recorder.open(lease.id, offset)
            failure = None
            try:
                output, whole = self.attempt(processor, lease, offset)
            except BROKEN:
                raise
            except Exception as error:
                failure = error
            if self.scratch:
                shutil.rmtree(self.scratch, ignore_errors=True)
                self.scratch = None
            files, self.files = self.files.end() if self.files else [], None
            # The item is closed before its result can leave: whoever dies behind the reply dies with nothing open.
            said = self.recorder.said
            self.recorder.close()
            if failure:
                self.fail({"lease": lease.id, "slot": 0, "offset": offset, **failure_message(failure), **said})
            elif whole or files:
                self.settle_with_files(lease, offset, output, whole, files)
            else:
                self.settle(lease, offset, output)
        with self.channel.sending:
            self.flush()

    def attempt(self, processor, lease, offset):
        """The encoded output of one item, and the file that it has become if it is large."""
        item = lease.items[offset]
        item = json.loads(item.read() if isinstance(item, Staged) else item)
        result = processor.process(item, Context(self, lease, offset, lease.state))
        output = json.dumps(result, separators=(",", ":"), ensure_ascii=False).encode()
        limit = self.channel.payload_max - 5
        if 0 < self.start["files_above"] < len(output) or (self.start["files_above"] and len(output) > limit):
            try:
                return output, self.files_of(lease.id, offset).write_output(output)
            except OutputLost:
                if len(output) > limit:
                    raise
        if len(output) > limit:
            raise Failure(f"the output has {len(output)} bytes, the limit is {limit}")
        return output, None

    def settle(self, lease, offset, output):
        with self.channel.sending:
            self.state = None
            if len(self.batch) + len(output) >= BATCH_BYTES:
                self.flush()
            if not self.batch_count:
                self.batch_of = (lease.id, offset)
            push_entry(self.batch, output)
            self.batch_count += 1
            if len(self.batch) >= BATCH_BYTES:
                self.flush()

    def settle_with_files(self, lease, offset, output, whole, files):
        payload = bytearray()
        if not whole:
            push_entry(payload, output)
        message = {"lease": lease.id, "slot": 0, "offset": offset, "output": whole, "files": files}
        with self.channel.sending:
            self.state = None
            self.flush()
            self.channel.send(COMPLETED, message, payload)

    def fail(self, message):
        with self.channel.sending:
            self.flush()
            self.send_state(True)
            self.channel.send(FAILED, message)


def failure_message(error):
    """What a failure says: of one that the processor did not make itself, the traceback, of which the end counts."""
    if isinstance(error, OutputLost):
        error = Failure(str(error), kind=1)
    if isinstance(error, Failure):
        kind, retry_after_ms, text = error.kind, error.retry_after_ms, str(error)
        data = text.encode(errors="replace")[:FAILURE_MESSAGE_MAX]
    else:
        kind, retry_after_ms, text = 4, 0, "".join(traceback.format_exception(error)).rstrip()
        data = text.encode(errors="replace")[-FAILURE_MESSAGE_MAX:]
    return {"kind": kind, "retry_after_ms": retry_after_ms, "message": data.decode(errors="ignore")}


def die_with(host_pid):
    """Linux: the kernel ends this process with its parent, also where native code never returns to Python."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != host_pid:
        os._exit(EXIT_HOST_LOST)  # it died before we could ask


def begin(processors):
    """The handshake and `Start`."""
    token = bytes.fromhex(os.environ.pop(TOKEN_VAR, "00" * 16))
    host_pid = int(os.environ.pop(HOST_PID_VAR, "0"))
    del os.environ[ROLE_VAR]
    die_with(host_pid)
    if os.environ.pop(WAIT_VAR, None):
        os.kill(os.getpid(), signal.SIGSTOP)  # until a debugger lets it go on
    channel = Channel()
    channel.shake_hands(token)
    kind, start, config = channel.receive()
    if kind != START:
        raise Violation("the first message is not Start")
    known = {(processor.NAME, processor.VERSION): processor for processor in processors}
    processor = known.get((start["processor"], start["version"]))
    if processor is None:
        why = f"this worker has {sorted(known)}, the host wants version {start['version']} of `{start['processor']}`"
        channel.send(START_FAILED, {"kind": 5, "retry_after_ms": 0, "message": why})
        os._exit(EXIT_START_FAILED)
    return Worker(channel, start, json.loads(config), processor)


def serve(*processors):
    """Is a worker that can run these processors, to the end of the process."""
    if ROLE_VAR not in os.environ:
        sys.exit("This program is a Cofferdam worker: a host starts it, nobody else can.")
    faulthandler.enable()  # a fault of native code leaves its Python traceback on stderr, which the host keeps
    try:
        worker = begin(processors)
    except Exception as error:
        print(f"cofferdam worker: {error!r}", file=sys.stderr, flush=True)
        os._exit(EXIT_HOST_LOST)
    threading.Thread(target=worker.read, daemon=True).start()
    threading.Thread(target=worker.tick, daemon=True).start()
    code = EXIT_PANIC
    try:
        code = worker.run()
    except HostLost:
        code = EXIT_HOST_LOST
    except BaseException as error:
        panic(worker, error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def panic(worker, error):
    """Leaves what ended the worker in the recorder, and sends what was finished before."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error) if isinstance(error, Panic) else f"{type(error).__name__}: {error}"
    worker.recorder.panic(message, f"{frame.filename}:{frame.lineno}:1", traceback.format_tb(error.__traceback__))
    worker.recorder.set_phase(PHASE_PANICKED)
    traceback.print_exception(error)
    with worker.channel.sending:
        worker.flush()
