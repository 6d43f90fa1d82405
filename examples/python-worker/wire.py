"""Greeting, frames and entries of docs/spec/wire-protocol.md, with the `json` codec."""

import json
import os
import socket
import struct
import threading

HELLO_MAGIC, WELCOME_MAGIC, FRAME_MAGIC = b"CFDHELLO", b"CFDWELCM", b"CDFM"
PROTOCOL, FRAME_VERSION, JSON_CODEC = 1, 1, 2
MESSAGE_CEILING, PAYLOAD_CEILING = 16 << 20, 1 << 30


class HostLost(BaseException):
    """The host is gone; nobody waits for this worker's results."""


class Violation(Exception):
    """The host sent what the protocol does not allow."""


def _crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC_TABLE = tuple(_crc_table())


def crc32c(*parts):
    """CRC-32C of the parts one after the other."""
    crc, table = 0xFFFFFFFF, _CRC_TABLE
    for part in parts:
        for byte in part:
            crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def push_entry(out, data):
    """Appends a length in LEB128 and the bytes."""
    length = len(data)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    out += data


def entries(payload, count):
    """The `count` entries that make up the payload."""
    at, found = 0, []
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(payload) or shift > 28:
                raise Violation("a malformed entry")
            byte = payload[at]
            length, shift, at = length | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:
                break
        if length > len(payload) - at:
            raise Violation("an entry longer than its payload")
        found.append(payload[at : at + length])
        at += length
    if at != len(payload):
        raise Violation("bytes behind the last entry")
    return found


class Channel:
    """Frames over the socket that was this process's standard input."""

    def __init__(self):
        fd = os.dup(0)  # close-on-exec, as all of Python's
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self.socket = socket.socket(fileno=fd)
        self.sending = threading.Lock()

    def receive_exactly(self, length):
        data = bytearray(length)
        view, got = memoryview(data), 0
        while got < length:
            n = self.socket.recv_into(view[got:])
            if n == 0:
                raise EOFError("the host is gone")
            got += n
        return bytes(data)

    def shake_hands(self, token):
        head = struct.pack("<8sHHHHI32s16s", HELLO_MAGIC, PROTOCOL, PROTOCOL, 1 << JSON_CODEC, 0, os.getpid(), b"", token)
        self.socket.sendall(head + struct.pack("<I", crc32c(head)))
        answer = self.receive_exactly(28)
        magic, rejection, codec, protocol, _, _, message_max, payload_max, crc = struct.unpack("<8sBBHHHIII", answer)
        if magic != WELCOME_MAGIC or crc != crc32c(answer[:24]):
            raise Violation("not a welcome")
        if rejection:
            raise Violation(f"the host turned this worker away: rejection {rejection}")
        if (codec, protocol) != (JSON_CODEC, PROTOCOL):
            raise Violation("the host chose what was not offered")
        self.message_max, self.payload_max = min(message_max, MESSAGE_CEILING), min(payload_max, PAYLOAD_CEILING)

    def receive(self):
        """The next frame: its kind, message and payload."""
        header = self.receive_exactly(24)
        magic, version, kind, flags, message_len, payload_len, body_crc, crc = struct.unpack("<4sBBHIIII", header)
        if magic != FRAME_MAGIC or crc != crc32c(header[:20]):
            raise Violation("not a frame")
        if version != FRAME_VERSION or flags != 0:
            raise Violation("a frame of an unknown version")
        if message_len > self.message_max or payload_len > self.payload_max:
            raise Violation("a frame that is too large")
        message, payload = self.receive_exactly(message_len), self.receive_exactly(payload_len)
        if crc32c(message, payload) != body_crc:
            raise Violation("a damaged frame")
        try:
            return kind, json.loads(message), payload
        except ValueError as error:
            raise Violation(f"a message that is no JSON: {error}") from None

    def send(self, kind, message, payload=b""):
        """Sends one frame; the caller holds `sending`."""
        body = json.dumps(message, separators=(",", ":")).encode()
        if len(body) > self.message_max or len(payload) > self.payload_max:
            raise Violation(f"a frame of {len(body)} and {len(payload)} bytes is too large to be sent")
        head = struct.pack("<4sBBHIII", FRAME_MAGIC, FRAME_VERSION, kind, 0, len(body), len(payload), crc32c(body, payload))
        try:
            self.socket.sendall(b"".join((head, struct.pack("<I", crc32c(head)), body, payload)))
        except OSError as error:
            raise HostLost(str(error)) from None
