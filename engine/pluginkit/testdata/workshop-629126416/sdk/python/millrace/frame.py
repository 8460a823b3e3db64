"""Frames: the one binary form of events (FORMAT.md has the byte table).

Decoding walks over every byte once, checks all that can be checked, and notes
where the parts of each event lie; values are read only when somebody asks for
them. Encoding copies what has not changed. So an event that passes through costs
a few microseconds, though nothing here is compiled.
"""

from .crc32c import checksum
from .values import MASK, TABLE, TEXT, TIME, FormatError, put_text, put_uvarint, put_varint, uvarint, varint

REDELIVERED, PAYLOAD, RECORD, ROOT, MESSAGE_ID, HEADERS = 1, 2, 4, 8, 16, 32
_HEAD = b"MF\x01\x00"


class Frame:
    """A decoded frame: its events and the string table that they refer to."""

    __slots__ = ("data", "watermark", "table", "events", "_strings", "_places")

    def __init__(self, data, watermark, table, strings):
        self.data, self.watermark, self.table = data, watermark, table
        self._strings = strings  # bytes of the table
        self._places = None
        self.events = []

    def place(self, name):
        """Return the index of a string in the table, -1 if it is not there."""
        places = self._places
        if places is None:
            # Of equal strings the first counts; walk has replaced the others.
            places = self._places = {text: i for i, text in reversed(list(enumerate(self.table)))}
        return places.get(name, -1)

    def intern(self, name):
        """Return the index of a string, which is put into the table if it is new."""
        at = self.place(name)
        if at < 0:
            at = self._places[name] = len(self.table)
            self.table.append(name)
            self._strings += put_text(name.encode(*TEXT))
        return at


def decode(data, event):
    """Return the Frame of bytes. event makes an event of its parts, see walk."""
    if len(data) < 8 or data[:2] != b"MF":
        raise FormatError("no frame")
    if data[2] != 1:
        raise FormatError(f"frame version {data[2]}, this SDK reads 1")
    if data[3] != 0:
        raise FormatError("frames are not compressed on the way to a plugin")
    if checksum(data[8:]) != int.from_bytes(data[4:8], "little"):
        raise FormatError("the frame's checksum differs")
    try:
        return _body(data, event)
    except IndexError:
        raise FormatError("the frame ends in the middle") from None


def _body(data, event):
    watermark, p = varint(data, 8)
    count, p = uvarint(data, p)
    fields, p = uvarint(data, p)
    headers, p = uvarint(data, p)
    strings, p = uvarint(data, p)
    start, table = p, []
    for _ in range(strings):
        size, p = uvarint(data, p)
        if p + size > len(data):
            raise FormatError("the frame's string table ends in the middle")
        table.append(str(data[p : p + size], *TEXT))
        p += size
    frame = Frame(data, watermark, table, bytearray(data[start:p]))
    end, used = walk(frame, p, count, event)
    if end != len(data) or used != (fields, headers):
        raise FormatError("the frame has bytes or counts left over")
    return frame


def walk(frame, p, count, event):
    """Make the events of a frame and return the end and (fields, headers).

    event is called with the frame and with places in its bytes, see Event. The loop
    is long and repeats itself: a call costs as much as a whole field.
    """
    b, append = frame.data, frame.events.append
    strings = len(frame.table)
    first = None
    if len(set(frame.table)) < strings:
        first = [frame.place(text) for text in frame.table]
    ingested = root_ms = all_fields = all_headers = 0
    origin = b"\xff"  # the last event's source, which the next one mostly has too
    for _ in range(count):
        start = p
        flags = b[p]
        if flags > 63:
            raise FormatError("unknown flags")
        size = b[p + 17]  # behind flags and id
        p += 18
        if size > 127:
            size, p = uvarint(b, p - 1)
        p += size
        root_end = p
        p = _refs(b, p, 1, strings)  # key
        time_at = p
        time, p = varint(b, p)
        base = ingested, root_ms
        delta = b[p]
        if delta < 128:
            p += 1
            ingested += (delta >> 1) ^ -(delta & 1)
        else:
            delta, p = varint(b, p)
            ingested += delta
        middle = p
        if b.startswith(origin, p):
            p += len(origin)
        else:
            p = _refs(b, p, 4, strings)  # node, exchange, routing key, queue
            origin = b[middle:p]
        if flags & MESSAGE_ID:
            size, p = uvarint(b, p)
            if b[p : p + size] == b[root_end - size : root_end] and uvarint(b, start + 17)[0] == size:
                raise FormatError("a message id that equals the root id")
            p += size
        p = _refs(b, p, 1, strings)  # plugin
        root_at = tail = p
        if flags & ROOT:
            epoch, root_at = uvarint(b, p)
            delta, tail = varint(b, root_at)
            root_ms = (root_ms + delta) & MASK
            seq, p = uvarint(b, tail)
            if not (epoch or root_ms or seq):
                raise FormatError("a root position of zero")
        headers_at = p
        if flags & HEADERS:
            size, p = uvarint(b, p)
            all_headers += size
            for _ in range(size):
                p = behind_value(b, _refs(b, p, 1, strings), strings)
        p = _refs(b, p, 1, strings)  # content type
        if flags & PAYLOAD:
            size, p = uvarint(b, p)
            p += size
        record, refs, ats = p, None, None
        if flags & RECORD:
            size, p = uvarint(b, p)
            all_fields += size
            refs, ats = [], []
            for _ in range(size):
                ats.append(p)
                ref = b[p]
                p += 1
                if ref > 127:
                    ref, p = uvarint(b, p - 1)
                if ref >= strings:
                    raise FormatError("a string that is not in the table")
                refs.append(ref)
                kind = b[p]
                if kind == 3:  # float
                    p += 9
                elif kind == 133:  # string in the table
                    ref = b[p + 1]
                    p += 2
                    if ref > 127:
                        ref, p = uvarint(b, p - 1)
                    if ref >= strings:
                        raise FormatError("a string that is not in the table")
                else:
                    p = behind_value(b, p, strings)
            ats.append(p)
            if first is not None:
                refs = [first[ref] for ref in refs]
        append(event(frame, (start, root_end, time_at, time, ingested, base, middle, root_at, root_ms, tail, headers_at, record), time, refs, ats))
    return p, (all_fields, all_headers)


def _refs(b, p, count, strings):
    """Return the place behind so many references to the string table."""
    for _ in range(count):
        ref = b[p]
        p += 1
        if ref > 127:
            ref, p = uvarint(b, p - 1)
        if ref >= strings:
            raise FormatError("a string that is not in the table")
    return p


def behind_value(b, p, strings):
    """Return the place behind a value."""
    kind = b[p]
    p += 1
    if kind == 3:
        return p + 8
    if kind == 0:
        return p
    if kind == 1:
        if b[p] > 1:
            raise FormatError("a bool that is neither 0 nor 1")
        return p + 1
    number = b[p]
    p += 1
    if number > 127:
        number, p = uvarint(b, p - 1)
    if kind == 2 or kind == TIME:
        return p
    if kind < 9:
        return p + number
    if kind & TABLE and 4 <= kind - TABLE <= 8 and kind - TABLE != TIME:
        if number >= strings:
            raise FormatError("a string that is not in the table")
        return p
    raise FormatError(f"unknown kind of value {kind}")


class Builder:
    """Gathers the encoded events of one frame.

    The frame takes over the string table of the one that its events came in.
    """

    __slots__ = ("source", "events", "size", "fields", "headers", "ingested", "root_ms")

    def __init__(self, source):
        self.source = source
        self.clear()

    def clear(self):
        """Begin the next frame."""
        self.events = []
        self.size = self.fields = self.headers = self.ingested = self.root_ms = 0

    def add(self, raw):
        """Append an event's bytes."""
        self.events.append(raw)
        self.size += len(raw)

    def finish(self, watermark=0):
        """Return the frame's bytes."""
        body = b"".join(
            (
                put_varint(watermark),
                put_uvarint(len(self.events)),
                put_uvarint(self.fields),
                put_uvarint(self.headers),
                put_uvarint(len(self.source.table)),
                self.source._strings,
                *self.events,
            )
        )
        return _HEAD + checksum(body).to_bytes(4, "little") + body
