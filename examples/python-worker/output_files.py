"""Large outputs (docs/spec/worker-protocol.md): an item writes files that its host has made, and names them in its output."""

import io
import os
import threading
import zlib

OUTPUT_FILES_MAX = 16
BUFFER = 128 << 10


class OutputLost(OSError):
    """The host has no place for an output, or its disk gave way: the item is not at fault, and is tried again."""


class OutputWriter(io.RawIOBase):
    """One file of an item's output. It counts once `finish` has returned; closed or dropped before, it is forgotten.

    with cx.output_writer() as writer:
        writer.write(b"...")
        file = writer.finish()      # {"index": 0, "len": 3}: the host's `OutputFile`, for the output
    """

    def __init__(self, item):
        super().__init__()
        self._item, self._file, self._buffer, self._len, self._crc = item, None, bytearray(), 0, 0
        self._number, path = item.take()
        try:
            self._file = open(path, "r+b", buffering=0)  # it is there: the host has made it
        except OSError as error:
            raise OutputLost(f"the output cannot be written: {error}") from error

    def writable(self):
        return True

    def write(self, data):
        data = memoryview(data).cast("B")
        if len(self._buffer) + len(data) > BUFFER:
            self.flush()
        if len(data) >= BUFFER:
            self._put(data)
        else:
            self._buffer += data
        return len(data)

    def flush(self):
        if self._file and self._buffer:
            buffer, self._buffer = self._buffer, bytearray()
            self._put(memoryview(buffer))

    def _put(self, data):
        if self._file is None:
            raise ValueError("this output is finished, closed or has failed")
        self._crc, self._len = zlib.crc32(data, self._crc), self._len + len(data)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._file.close()
            self._file = None
            raise OutputLost(f"the output cannot be written: {error}") from error

    def finish(self):
        """Ends the file: what is returned names it."""
        self.flush()
        return self._item.finish(self._end())

    def _end(self):
        self._put(memoryview(b""))
        self._file.close()
        self._file = None
        return {"number": self._number, "len": self._len, "crc32": self._crc}

    def close(self):
        if not self.closed and self._file:
            self._buffer.clear()
            self._file.truncate(0)  # the disk has its room back at once
            self._file.close()
            self._file = None
        super().close()


class ItemFiles:
    """The files of one open item. `ask(number)` gets an empty file's path from the host."""

    def __init__(self, ask):
        self._ask, self._lock = ask, threading.Lock()
        self._asked, self._finished, self._ended = 0, [], False

    def take(self):
        with self._lock:
            number = self._asked
            self._asked += 1
        return number, self._ask(number)

    def begin(self):
        if len(self._finished) >= OUTPUT_FILES_MAX:
            raise ValueError(f"an item has at most {OUTPUT_FILES_MAX} output files")
        return OutputWriter(self)

    def finish(self, written):
        with self._lock:
            if self._ended:
                raise ValueError("the item of this output has ended")
            if len(self._finished) >= OUTPUT_FILES_MAX:
                raise ValueError(f"an item has at most {OUTPUT_FILES_MAX} output files")
            self._finished.append(written)
            return {"index": len(self._finished) - 1, "len": written["len"]}

    def write_output(self, data):
        """The item's output itself."""
        writer = OutputWriter(self)
        writer.write(data)
        writer.flush()
        return writer._end()

    def end(self):
        """What was finished; what is still being written is written for nothing."""
        with self._lock:
            self._ended = True
            return self._finished
