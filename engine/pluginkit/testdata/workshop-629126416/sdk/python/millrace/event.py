"""The event that a plugin's function gets: a draft that starts as its input."""

from decimal import Decimal
from hashlib import sha256
from math import isfinite

from .errors import Missing, Reject
from .frame import HEADERS, MESSAGE_ID, REDELIVERED, ROOT, behind_value
from .values import MASK, TEXT, put_uvarint, put_varint, read, uvarint, write

_MAX_ID_MS = (1 << 48) - 1


def lineage(root, node_prefix, parent_tail, ordinal, ms):
    """Return the id of an output, as Go's event.DerivedID computes it.

    root and node_prefix carry their lengths before them.
    """
    digest = sha256(b"".join((root, node_prefix, parent_tail, ordinal.to_bytes(8, "big")))).digest()
    if not 0 <= ms <= _MAX_ID_MS:
        ms = 0
    return ms.to_bytes(6, "big") + digest[:10]


class Source:
    """Where an event's message came from."""

    __slots__ = ("node", "exchange", "routing_key", "queue", "message_id", "redelivered")

    def __init__(self, *parts):
        self.node, self.exchange, self.routing_key, self.queue, self.message_id, self.redelivered = parts


class Event:
    """One event with a record, and the draft of what becomes of it.

    Fields are read and set like those of a dict: event["value"] = 1.5. Reading a
    field that is not there rejects the event (code no_field), get() does not.
    The input never changes; an output that is not dropped is made of the draft
    when the function returns. An Event must not be kept beyond that.
    """

    _pieces = None  # the fields' bytes, once one has changed
    _dropped = False
    _count = 0  # outputs made so far

    def __init__(self, frame, places, time, refs, ats):
        # places: (start, end of the root id, time's place, time, ingested, (ingested,
        # root ms) of the event before, source, root ms' place, root ms, root seq,
        # headers, record), all but numbers places in the frame's bytes.
        self._frame, self._places = frame, places
        self._refs, self._ats = refs, ats  # of the fields: name, and where it begins
        self.time = time  # event time of the draft, ms since the Unix epoch; 0 unknown

    # What the draft holds.

    def __contains__(self, name):
        return self._index(name) >= 0

    def __getitem__(self, name):
        i = self._index(name)
        if i < 0:
            raise Missing(name)
        return self._value(i)

    def get(self, name, default=None):
        """Return the value of a field, or default if the record has none."""
        i = self._index(name)
        return default if i < 0 else self._value(i)

    def number(self, name):
        """Return the value of a field that must be a number, else reject the event.

        A missing field has the code no_field, any other value bad_number.
        """
        value = self[name]
        if type(value) is float or type(value) is int:
            return value
        if type(value) is Decimal and isfinite(number := float(value)):
            return number
        raise Reject("bad_number", f"field {name!r} is {_kind(value)}, want a number")

    def keys(self):
        """Return the names of the fields, in order."""
        table = self._frame.table
        return [table[ref] for ref in self._refs]

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self._refs)

    def record(self):
        """Return the fields as a dict, in order."""
        return {name: self._value(i) for i, name in enumerate(self.keys())}

    def __setitem__(self, name, value):
        ref = self._frame.intern(name)
        self._own()
        piece = put_uvarint(ref) + write(value)
        try:
            self._pieces[self._refs.index(ref)] = piece
        except ValueError:
            self._refs.append(ref)
            self._pieces.append(piece)

    def __delitem__(self, name):
        i = self._index(name)
        if i < 0:
            raise Missing(name)
        self._own()
        del self._refs[i], self._pieces[i]

    def drop(self):
        """End the event without an output: it was not wanted."""
        self._dropped = True

    def emit(self):
        """Make an output of the draft as it stands; the draft lives on.

        A function that has called it makes no further output by returning.
        """
        self._out.append(self._encoded())
        self._count += 1

    # What the event has from its message; it cannot be changed.

    @property
    def id(self):
        """The input's id, 32 hex digits."""
        return self._frame.data[self._places[0] + 1 : self._places[0] + 17].hex()

    @property
    def root_id(self):
        """The source message's identity."""
        size, p = uvarint(self._frame.data, self._places[0] + 17)
        return str(self._frame.data[p : p + size], *TEXT)

    @property
    def key(self):
        """The partitioning key."""
        return self._ref(self._places[1])[0]

    @property
    def ingested(self):
        """When the message was taken in, ms since the Unix epoch."""
        return _signed(self._places[4])

    @property
    def source(self):
        """Where the message came from."""
        parts, message_id, _ = self._origin()
        return Source(*parts, message_id, bool(self._flags() & REDELIVERED))

    @property
    def plugin(self):
        """name@version#hash8 of the plugin that made the event, "" if none did."""
        return self._ref(self._origin()[2])[0]

    @property
    def root_position(self):
        """(epoch, ms, seq) of the journal entry that the event descends from."""
        if not self._flags() & ROOT:
            return 0, 0, 0
        b = self._frame.data
        epoch, _ = uvarint(b, self._ref(self._origin()[2])[1])
        return epoch, self._places[8], uvarint(b, self._places[9])[0]

    @property
    def headers(self):
        """The message's headers, a list of (name, value) in order."""
        if not self._flags() & HEADERS:
            return []
        b, table = self._frame.data, self._frame.table
        count, p = uvarint(b, self._places[10])
        pairs = []
        for _ in range(count):
            name, p = self._ref(p)
            pairs.append((name, read(b, p, table)))
            p = behind_value(b, p, len(table))
        return pairs

    # How the draft becomes bytes.

    def _flags(self):
        return self._frame.data[self._places[0]]

    def _ref(self, p):
        ref, p = uvarint(self._frame.data, p)
        return self._frame.table[ref], p

    def _origin(self):
        """Return (node, exchange, routing key, queue), message id and what follows."""
        p, parts = self._places[6], []
        for _ in range(4):
            text, p = self._ref(p)
            parts.append(text)
        if not self._flags() & MESSAGE_ID:
            return parts, self.root_id, p
        size, p = uvarint(self._frame.data, p)
        return parts, str(self._frame.data[p : p + size], *TEXT), p + size

    def _index(self, name):
        ref = self._frame.place(name)
        if ref < 0:
            return -1
        try:
            return self._refs.index(ref)
        except ValueError:
            return -1

    def _value(self, i):
        if self._pieces is not None:
            piece = self._pieces[i]
            return read(piece, uvarint(piece, 0)[1], self._frame.table)
        b = self._frame.data
        p = self._ats[i]
        return read(b, p + 1 if b[p] < 128 else uvarint(b, p)[1], self._frame.table)

    def _own(self):
        """Cut the record into fields, before the first of them changes."""
        if self._pieces is None:
            b, ats = self._frame.data, self._ats
            self._pieces = [b[ats[i] : ats[i + 1]] for i in range(len(ats) - 1)]
            self._refs = self._refs.copy()

    def _encoded(self):
        """Return (id, time, record, number of fields) of an output."""
        b, start, time = self._frame.data, self._places[0], self.time
        root = b[start + 17 : self._places[1]]
        if root[0] > 127:  # a length may be written longer than it need be
            size, p = uvarint(root, 0)
            root = put_uvarint(size) + root[p:]
        made = lineage(root, self._node, b[start + 7 : start + 17], self._count, time)
        if self._pieces is None:
            return made, time, b[self._places[11] : self._ats[-1]], len(self._ats) - 1
        return made, time, put_uvarint(len(self._pieces)) + b"".join(self._pieces), len(self._pieces)

    def put(self, builder, output):
        """Append an output that emit made to a frame."""
        made, time, record, fields = output
        start, _, _, in_time, ingested, base, _, _, root_ms, _, headers_at, record_at = self._places
        b = self._frame.data
        flags = b[start]
        builder.fields += fields
        if flags & HEADERS:
            builder.headers += uvarint(b, headers_at)[0]
        if base == (builder.ingested, builder.root_ms) and time == in_time:
            builder.add(b"".join((b[start : start + 1], made, b[start + 17 : record_at], record)))
        else:
            builder.add(b"".join((b[start : start + 1], made, *self._rebased(builder, time), record)))
        builder.ingested = ingested
        if flags & ROOT:
            builder.root_ms = root_ms

    def _rebased(self, builder, time):
        """Return what lies between id and record, with its differences anew."""
        start, _, time_at, _, ingested, _, middle, root_at, root_ms, tail, _, record_at = self._places
        b = self._frame.data
        parts = [b[start + 17 : time_at], put_varint(_signed(time)), put_varint(_signed(ingested - builder.ingested)), b[middle:root_at]]
        if b[start] & ROOT:
            parts.append(put_varint(_signed(root_ms - builder.root_ms)))
        parts.append(b[tail:record_at])
        return parts


def _signed(number):
    """Return 64 bits as a signed number."""
    number &= MASK
    return number - (1 << 64) if number >> 63 else number


_KINDS = {type(None): "null", bool: "a bool", str: "a string", bytes: "bytes"}


def _kind(value):
    return _KINDS.get(type(value), "a " + type(value).__name__.lower())
