"""The messages of schemas/plugin/v1/plugin.proto, written and read by hand.

Five small messages need neither generated code nor the protobuf runtime, whose
import costs more than everything else here. Unknown fields are passed over, as
the contract between neighbouring versions asks.
"""

from .values import FormatError, put_text, put_uvarint, uvarint

UNSURE, AWAY, REJECTED, FATAL = range(4)  # enum Class

VARINT, LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}


def fields(b):
    """Yield (number, value) of each field: an int, or bytes."""
    p, end = 0, len(b)
    while p < end:
        try:
            tag, p = uvarint(b, p)
            kind = tag & 7
            if kind == VARINT:
                value, p = uvarint(b, p)
            elif kind == LENGTH:
                size, p = uvarint(b, p)
                value = b[p : p + size]
                p += size
            else:
                value = None
                p += _FIXED[kind]
        except (IndexError, KeyError):
            raise FormatError("a malformed message") from None
        if p > end:
            raise FormatError("a message that ends in the middle")
        yield tag >> 3, value


def number(field, value):
    """Return a field of a number; none if it is 0."""
    return put_uvarint(field << 3) + put_uvarint(value) if value else b""


def data(field, value):
    """Return a field of bytes or a message; none if it is empty."""
    return put_uvarint(field << 3 | LENGTH) + put_text(value) if value else b""


def text(field, value):
    """Return a field of a text, which loses what is no Unicode."""
    return data(field, value.encode("utf-8", "replace"))


class Chunk:
    """A ProcessRequest: a part of one unit."""

    __slots__ = ("unit", "frame", "last", "lane")

    def __init__(self, message):
        self.unit = self.lane = 0
        self.frame, self.last = b"", False
        for field, value in fields(message):
            if field == 1:
                self.unit = value
            elif field == 2:
                self.frame = value
            elif field == 3:
                self.last = bool(value)
            elif field == 4:
                self.lane = value


def answer(unit, frame=b"", outputs=None, more=False, rejects=(), last=False, error=b""):
    """Return a ProcessResponse. outputs None: each event has one output."""
    parts = [number(1, unit), data(2, frame)]
    if outputs is not None:
        parts.append(data(3, b"".join(map(put_uvarint, outputs))))
    parts.append(number(4, int(more)))
    parts.extend(data(5, reject) for reject in rejects)
    parts.append(number(6, int(last)))
    parts.append(data(9, error))
    return b"".join(parts)


def reject(event, code, why):
    """Return a Reject of a whole event."""
    return b"".join((number(1, event), b"\x10\x01", text(3, code), text(4, why)))  # record -1 is zigzag 1


def error(kind, why, event=-1):
    """Return an Error; event is the index of the guilty one in the unit."""
    # An error of class 0 without a text must not look like no error at all.
    return b"".join((number(1, kind), text(2, why or "the plugin gives no reason"), number(3, 2 * (event + 1))))


def described(name, version, capabilities=()):
    """Return a DescribeResponse."""
    return text(1, name) + text(2, version) + b"".join(text(6, c) for c in capabilities) + text(9, "python/1")


def configured(problems):
    """Return a ConfigureResponse."""
    return b"".join(data(1, text(1, p.path) + text(2, p.text)) or b"\x0a\x00" for p in problems)
