#!/usr/bin/env python3
"""Reads a store from docs/spec/checkpoint-format.md alone and lists what it holds, one line for each outcome that counts.

It shares no code with the crate, so an error in the spec, or a habit of the code that the spec does not tell, shows here:
`.ci/run` compares its listing of the golden stores with that of the crate. BLAKE3 is not in Python's standard library:
of a blob the length alone is checked.

    read-store.py STORE_DIRECTORY
"""

import pathlib
import struct
import sys


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()
FRAMES_START, FRAME_HEADER, COMMIT, SKIPPABLE = 8192, 30, 1, 128
KINDS = ["completed", "failed", "quarantined", "cancelled"]
OUTCOMES = dict(enumerate(KINDS))


class Corrupt(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Corrupt(what)


def crc(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC_TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


class Fields:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(self.at + count <= len(self.data), "a field beyond the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self):
        value = 0
        for index in range(10):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return value
        raise Corrupt("a varint of more than ten bytes")

    def bytes(self):
        return self.take(self.varint())

    def more(self):
        return self.at < len(self.data)


def read_store_file(path):
    data = path.read_bytes()
    version, incompat = struct.unpack_from("<II", data, 8)
    need(len(data) == 36 and data[:8] == b"CFDMSTO1" and version in (1, 2) and incompat == 0, "STORE")
    need(struct.unpack_from("<I", data, 32)[0] == crc(data[:32]), "the checksum of STORE")
    return data[16:32], {1: "jobs", 2: "jobs-2"}[version]


def best_slot(data, magic, room):
    found = []
    for at in (0, room):
        slot = data[at : at + room]
        if len(slot) < 28 or slot[:8] != magic:
            continue
        version, length, generation, checksum = struct.unpack_from("<IIQI", slot, 8)
        payload = slot[28 : 28 + length]
        if len(payload) == length and crc(slot[:24] + payload) == checksum and version in (1, 2):
            found.append((generation, payload))
    need(found, "no intact slot")
    return max(found)[1]


def read_head(path):
    data = path.read_bytes()
    payload = best_slot(data, b"CFDMHED1", 4096)
    need(struct.unpack_from("<I", payload, 8)[0] == 0, "flags of HEAD that a reader must know")
    epoch, seq, durable_end = struct.unpack_from("<QQQ", payload, 44)
    offset, length, checksum = struct.unpack_from("<QII", payload, 116)
    description = data[offset : offset + length]
    need(crc(description) == checksum, "the description")
    head = {"store": payload[12:28], "job": payload[28:44], "epoch": epoch, "seq": seq, "durable_end": durable_end}
    head["snapshot"] = struct.unpack_from("<Q", payload, 76)[0]
    head["state"] = {1: "running", 2: "interrupted", 3: "finished"}[payload[132]]
    head["name"] = Fields(description).bytes()
    return head


def segment_header(data):
    for copy, offset in enumerate((0, 4096)):
        version = struct.unpack_from("<H", data, offset + 8)[0]
        length = {1: 116, 2: 148}.get(version, 148)
        header = data[offset : offset + length]
        if len(header) == length and crc(header[:-4]) == struct.unpack("<I", header[-4:])[0]:
            need(header[:8] == b"CFDMSEG1" and struct.unpack_from("<H", header, 10)[0] == copy, "a segment's header")
            need(version in (1, 2), "a segment's version")
            need(struct.unpack_from("<I", header, 20)[0] == 0, "flags of a segment that a reader must know")
            names = ("seq", "epoch", "salt", "first_lsn", "prev_seq", "prev_end", "prev_chain", "absorbs")
            fields = dict(zip(names, struct.unpack_from("<QQQQQQII", header, 56)))
            ends = ("own_end", "dropped", "sealed_end", "sealed_chain", "own_chain")
            fields |= dict(zip(ends, struct.unpack_from("<QQQII", header, 112) if version == 2 else [0] * 5))
            return fields | {"store": header[24:40], "job": header[40:56], "raw_salt": header[72:80]}
    return None


class Segment:
    def __init__(self, data, header):
        self.data, self.header = data, header
        self.sync = struct.pack("<I", crc(header["raw_salt"]) | 1)
        self.seed = struct.pack("<I", crc(header["raw_salt"] + struct.pack("<QQ", header["epoch"], header["seq"])))

    def frame_header(self, at):
        raw = self.data[at : at + FRAME_HEADER]
        if len(raw) < FRAME_HEADER or raw[:4] != self.sync:
            return None
        length, lsn, count, undurable, kind, flags, checksum = struct.unpack_from("<IQIIBBI", raw, 4)
        if crc(self.seed + struct.pack("<Q", at) + raw[:26]) != checksum or length > 67108864:
            return None
        return {"len": length, "lsn": lsn, "count": count, "durable": at - undurable, "kind": kind, "flags": flags, "crc": checksum}

    def frames(self):
        """Intact frames from the beginning: where each ends, its header, its body, the running checksum behind it."""
        at, chain = FRAMES_START, 0
        while (header := self.frame_header(at)) is not None:
            body_end = at + FRAME_HEADER + header["len"]
            body, trailer = self.data[at + FRAME_HEADER : body_end], self.data[body_end : body_end + 4]
            body_crc = struct.pack("<I", crc(struct.pack("<I", header["crc"]) + body))
            if trailer != body_crc:
                return
            chain = crc(struct.pack("<II", chain, header["crc"]) + body_crc)
            at = body_end + 4
            yield at, header, body, chain

    def claims_behind(self, end):
        at = self.data.find(self.sync, end)
        while at >= 0:
            if (header := self.frame_header(at)) is not None:
                yield header["durable"]
            at = self.data.find(self.sync, at + 1)


def identity(fields, has_fingerprint):
    value = fields.varint()
    key = fields.take(value >> 1) if value & 1 else value >> 1
    return key, fields.take(16) if has_fingerprint else None


def records(body):
    """Outcomes of a frame: key, fingerprint, kind, attempts, what came out."""
    fields = Fields(body)
    while fields.more():
        tag = fields.take(1)[0]
        kind, has_fingerprint = tag & 63, bool(tag & 128)
        if tag & 64:
            fields.varint()
        if kind == 1:
            first, count, attempts = fields.varint(), fields.varint(), fields.varint()
            entries = Fields(fields.bytes())
            for ordinal in range(first, first + count):
                yield ordinal, None, "completed", attempts, entries.bytes().hex()
            need(not entries.more(), "more outputs than items")
        elif kind == 2:
            key, fingerprint = identity(fields, has_fingerprint)
            attempts = fields.varint()
            yield key, fingerprint, "completed", attempts, fields.bytes().hex()
        elif kind == 3:
            key, fingerprint = identity(fields, has_fingerprint)
            attempts, length = fields.varint(), fields.varint()
            yield key, fingerprint, "completed", attempts, f"blob:{length}:{fields.take(32).hex()}"
        elif kind == 4:
            key, fingerprint = identity(fields, has_fingerprint)
            outcome, attempts = OUTCOMES[fields.take(1)[0]], fields.varint()
            evidence, first = Fields(fields.bytes()), ""
            while evidence.more():
                evidence_tag, value = evidence.take(1)[0], evidence.bytes()
                if evidence_tag == 1:
                    first = value.hex()
            yield key, fingerprint, outcome, attempts, first
        elif kind == 5:
            identity(fields, False)
            for _ in range(4):
                fields.varint()
        elif kind == 6:
            for _ in range(3):
                fields.varint()
            for _ in range(fields.varint()):
                if not isinstance(identity(fields, False)[0], bytes):
                    fields.varint()
        elif kind == 12:
            rest = Fields(fields.bytes())
            key, fingerprint = identity(rest, has_fingerprint)
            attempts = rest.varint()
            names = [f"blob:{rest.varint()}:{rest.take(32).hex()}" for _ in range(rest.varint())]
            is_blob = rest.take(1)[0]
            names.append(f"blob:{rest.varint()}:{rest.take(32).hex()}" if is_blob else rest.take(len(rest.data) - rest.at).hex())
            yield key, fingerprint, "completed", attempts, "+".join(names)
        elif kind == 11:
            yield from [None] * Fields(fields.bytes()).varint()
        else:
            fields.bytes()


def journal_order(segments, head):
    committed = {
        seq: segment
        for seq, segment in segments.items()
        if any(header["flags"] & COMMIT for _, header, _, _ in segment.frames())
    }
    order, last = [], 0
    while following := [s for s in sorted(committed) if committed[s].header["prev_seq"] == last]:
        last = following[-1]
        absorbed_from = last - committed[last].header["absorbs"]
        need(all(seq >= absorbed_from for seq in following), "a fork")
        order.append(committed[last])
    covered = {s for seg in order for s in range(seg.header["seq"] - seg.header["absorbs"], seg.header["seq"] + 1)}
    need(set(committed) <= covered and last >= head["seq"], "a segment is missing")
    return order


def outcomes(order, head):
    lsn = 1
    for index, segment in enumerate(order):
        following = order[index + 1].header if index + 1 < len(order) else None
        need(segment.header["first_lsn"] == lsn, "a segment that does not begin with the next lsn")
        end, chain, claimed = FRAMES_START, 0, 0
        for end, header, body, chain in segment.frames():
            need(header["lsn"] == lsn, "lsns out of sequence")
            claimed = max(claimed, header["durable"])
            need(header["kind"] in (1, 2) or header["flags"] & SKIPPABLE, "a frame of an unknown type")
            found = list(records(body)) if header["kind"] == 1 else []
            need(len(found) == header["count"], "a frame's count")
            yield from ((lsn + n, outcome) for n, outcome in enumerate(found) if outcome is not None)
            lsn += len(found)
            if following and end == (segment.header["own_end"] or following["prev_end"]):
                break
        if segment.header["own_end"]:
            need(following and (end, chain) == (segment.header["own_end"], segment.header["own_chain"]), "a compacted segment's end")
            end, chain = segment.header["sealed_end"], segment.header["sealed_chain"]
        if following:
            need((end, chain) == (following["prev_end"], following["prev_chain"]), "a segment's end")
        else:
            head_claim = head["durable_end"] if head["seq"] == segment.header["seq"] else 0
            need(max([head_claim, claimed, *segment.claims_behind(end)]) <= end, "a durable frame is damaged")


def roaring32(fields):
    """The numbers of one 32-bit Roaring bitmap in the portable format."""
    cookie = struct.unpack("<I", fields.take(4))[0]
    if cookie & 0xFFFF == 12347:
        size = (cookie >> 16) + 1
        flags = fields.take((size + 7) // 8)
        is_run = [flags[i // 8] >> i % 8 & 1 for i in range(size)]
    else:
        need(cookie == 12346, "a bitmap's cookie")
        size = struct.unpack("<I", fields.take(4))[0]
        is_run = [0] * size
    descriptions = [struct.unpack("<HH", fields.take(4)) for _ in range(size)]
    if cookie == 12346 or size >= 4:
        fields.take(4 * size)
    for (high, last), run in zip(descriptions, is_run):
        if run:
            for _ in range(struct.unpack("<H", fields.take(2))[0]):
                start, length = struct.unpack("<HH", fields.take(4))
                yield from (high << 16 | low for low in range(start, start + length + 1))
        elif last + 1 > 4096:
            bits = int.from_bytes(fields.take(8192), "little")
            yield from (high << 16 | low for low in range(65536) if bits >> low & 1)
        else:
            yield from (high << 16 | low for low in struct.unpack(f"<{last + 1}H", fields.take(2 * (last + 1))))


def roaring64(data):
    fields = Fields(data)
    for _ in range(struct.unpack("<Q", fields.take(8))[0]):
        high = struct.unpack("<I", fields.take(4))[0]
        yield from (high << 32 | low for low in roaring32(fields))
    need(not fields.more(), "bytes behind a bitmap")


def check_snapshot(path, head, order, history):
    """A snapshot says what the outcomes up to its lsn come to. (Its XXH3 is not in Python's standard library.)"""
    data = path.read_bytes()
    footer = data[-172:-16]
    need(footer[:8] == b"CFDMSNP1" and struct.unpack_from("<II", footer, 8) == (1, 0), "a snapshot's footer")
    need((footer[16:32], footer[32:48]) == (head["store"], head["job"]), "a snapshot of another job")
    lsn, seq, salt, end, next_lsn, chain = struct.unpack_from("<QQQQQI", footer, 48)
    counts = struct.unpack_from("<QQQQ", footer, 92)
    ordinals_len, keys, others_len = struct.unpack_from("<QQQ", footer, 132)
    need(path.name == f"snap-{lsn:016x}" and next_lsn <= lsn + 1, "a snapshot's lsn")
    need(len(data) == ordinals_len + 24 * keys + others_len + 172, "a snapshot's length")
    segment = next(s for s in order if s.header["seq"] == seq)
    places = [(FRAMES_START, 0, segment.header["first_lsn"])]
    places += [(at, chain, header["lsn"] + header["count"]) for at, header, _, chain in segment.frames()]
    need(segment.header["salt"] == salt and (end, chain, next_lsn) in places, "a snapshot's place")
    latest = {key: (at, KINDS.index(kind), print_) for at, (key, print_, kind, _, _) in history if at <= lsn}
    need(set(roaring64(data[:ordinals_len])) == {key for key in latest if isinstance(key, int)}, "a snapshot's ordinals")
    entries = [struct.unpack_from("<QQQ", data, ordinals_len + 24 * n) for n in range(keys)]
    hashes = [(high, low >> 40) for high, low, _ in entries]
    need(hashes == sorted(set(hashes)), "the order of keys")
    found = sorted((low >> 4 & (1 << 36) - 1, low & 3, print_ != 0) for _, low, print_ in entries)
    need(found == sorted((at, kind, print_ is not None) for key, (at, kind, print_) in latest.items() if isinstance(key, bytes)), "a snapshot's keys")
    need(list(counts) == [sum(kind == n for _, kind, _ in latest.values()) for n in range(4)], "a snapshot's counts")
    fields = Fields(data[ordinals_len + 24 * keys : -172])
    while fields.more():
        kind = fields.take(1)[0]
        need(1 <= kind <= 4, "an entry of an unknown kind")
        if kind <= 2 and fields.varint() & 1:
            fields.take(11)
        for _ in range({1: 4, 4: 1}.get(kind, 0)):
            fields.varint()
        fields.take(8 if kind == 2 else 0)
        for _ in range({2: 1, 3: 2, 4: 1}.get(kind, 0)):
            fields.bytes()


def list_job(directory, store):
    head = read_head(directory / "HEAD")
    need(head["store"] == store, "a job of another store")
    segments = {}
    for path in directory.glob("seg-*"):
        data = path.read_bytes()
        header = segment_header(data)
        if header is not None:
            need((header["store"], header["job"]) == (store, head["job"]) and path.name == f"seg-{header['seq']:016x}", "a foreign segment")
            segments[header["seq"]] = Segment(data, header)
    order = journal_order(segments, head)
    history, latest = list(outcomes(order, head)), {}
    for path in directory.glob("snap-*"):
        check_snapshot(path, head, order, history)
    need(not head["snapshot"] or (directory / f"snap-{head['snapshot']:016x}").exists(), "the snapshot that HEAD names")
    for lsn, (key, fingerprint, kind, attempts, what) in history:
        for part in what.split("+"):
            if not part.startswith("blob:"):
                continue
            _, length, name = part.split(":")
            need((directory / "blobs" / name).stat().st_size == int(length), "a blob's length")
        latest[key] = (lsn, fingerprint, kind, attempts, what)
    print("job", head["name"].hex(), head["state"], len(latest))
    for key, (lsn, fingerprint, kind, attempts, what) in sorted(latest.items(), key=lambda item: item[1][0]):
        shown = "key:" + key.hex() if isinstance(key, bytes) else f"ordinal:{key}"
        print(lsn, shown, fingerprint.hex() if fingerprint else "-", kind, attempts, what or "-")


def main():
    root = pathlib.Path(sys.argv[1])
    store, jobs_directory = read_store_file(root / "STORE")
    jobs = [path for path in (root / jobs_directory).iterdir() if not path.name.startswith(".tmp-")]
    for directory in sorted(jobs):
        list_job(directory, store)


if __name__ == "__main__":
    main()
