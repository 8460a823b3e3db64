"""The typed values of records and headers, and their bytes in a frame.

On the Python side they are None, bool, int, float, str, bytes, Decimal, Time and
JSON. FORMAT.md has the byte table.
"""

import decimal
import struct

from .errors import Reject


class FormatError(ValueError):
    """Bytes that are no frame of version 1."""


class Time(int):
    """A time in ms since the Unix epoch, UTC."""

    __slots__ = ()


class JSON(str):
    """A nested object or array, kept as its JSON text."""

    __slots__ = ()


NULL, BOOL, INT, FLOAT, DECIMAL, STRING, BYTES, TIME, NESTED = range(9)
TABLE = 128  # bit of a kind byte: the text is in the string table

_DOUBLE = struct.Struct("<d")
MASK = 0xFFFFFFFFFFFFFFFF

# Bytes that are no UTF-8 come back as they were.
TEXT = ("utf-8", "surrogateescape")


def uvarint(b, p):
    """Return the number at b[p:] and the place behind it."""
    number = b[p]
    if number < 128:
        return number, p + 1
    number &= 127
    shift = 7
    while shift < 63:
        p += 1
        byte = b[p]
        if byte < 128:
            return number | byte << shift, p + 1
        number |= (byte & 127) << shift
        shift += 7
    if b[p + 1] > 1:
        raise FormatError("a number does not fit in 64 bits")
    return number | b[p + 1] << 63, p + 2


def varint(b, p):
    """Return the signed (zigzag) number at b[p:] and the place behind it."""
    number, p = uvarint(b, p)
    return (number >> 1) ^ -(number & 1), p


def put_uvarint(number):
    """Return the bytes of a number of at most 64 bits."""
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_SMALL = [bytes((n,)) for n in range(128)]


def put_varint(number):
    """Return the bytes of a signed number of 64 bits."""
    return put_uvarint((number << 1 ^ number >> 63) & MASK)


def put_text(raw):
    """Return bytes with their length before them."""
    return put_uvarint(len(raw)) + raw


def read(b, p, table):
    """Return the value at b[p:], which has been checked before."""
    kind = b[p]
    p += 1
    if kind == FLOAT:
        return _DOUBLE.unpack_from(b, p)[0]
    if kind == NULL:
        return None
    if kind == INT:
        return varint(b, p)[0]
    if kind == TIME:
        return Time(varint(b, p)[0])
    if kind == BOOL:
        return b[p] == 1
    number, p = uvarint(b, p)
    if kind & TABLE:
        text = table[number]
        kind &= ~TABLE
        if kind == STRING:
            return text
        return _of_text(kind, text.encode(*TEXT))
    return _of_text(kind, b[p : p + number])


def _of_text(kind, raw):
    if kind == BYTES:
        return bytes(raw)
    text = str(raw, *TEXT)
    if kind == STRING:
        return text
    if kind == NESTED:
        return JSON(text)
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise Reject("bad_number", f"{text[:100]!r} is no decimal number") from None


def write(value):
    """Return a value's bytes; texts are not put into the string table."""
    kind = type(value)
    if kind is float:
        return b"\x03" + _DOUBLE.pack(value)
    if kind is str:
        return b"\x05" + put_text(value.encode(*TEXT))
    if kind is int:
        return b"\x02" + put_varint(_int64(value))
    if value is None:
        return b"\x00"
    if kind is bool:
        return b"\x01\x01" if value else b"\x01\x00"
    return _write_other(value)


def _write_other(value):
    if isinstance(value, Time):
        return b"\x07" + put_varint(_int64(value))
    if isinstance(value, JSON):
        return b"\x08" + put_text(value.encode(*TEXT))
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no decimal that a record can hold")
        plain = -40 <= value.as_tuple().exponent <= 0  # 1E-9 is a number too, but nobody wrote it
        return b"\x04" + put_text((format(value, "f") if plain else str(value)).encode())
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"\x06" + put_text(bytes(value))
    for kind in (float, str, int):  # subclasses, such as those of an enumeration
        if isinstance(value, kind):
            return write(kind(value))
    raise TypeError(f"a record cannot hold a {type(value).__name__}; nested values are millrace.JSON(text)")


def _int64(value):
    if -1 << 63 <= value < 1 << 63:
        return value
    raise ValueError(f"{value} does not fit in 64 bits; use decimal.Decimal")
