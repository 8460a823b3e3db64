"""CRC-32C (Castagnoli), the checksum of a frame, without C code of our own.

A loop over bytes takes 5 ms for the 64 KiB of a chunk. The checksum is a
remainder of polynomials over GF(2), so most of a message can be folded away
first: x^r has the same remainder as a few low powers of x, so what lies r bits
before the end may be added that many bits from the end instead. Python's large
integers shift and add (xor) at the speed of memory; for the distances r below,
found by search, five to eleven powers are enough.
"""

# (r, exponents of x^r mod P): one in each octave, with few exponents.
_FOLDS = (
    (334, (0, 5, 6, 7, 11, 12, 13, 14, 15, 17, 25)),
    (593, (0, 7, 9, 11, 16, 18, 21, 25, 26, 29, 30)),
    (887, (0, 7, 10, 12, 13, 23, 25, 27, 29)),
    (1662, (0, 2, 4, 5, 6, 12, 13, 25, 29)),
    (2798, (0, 5, 8, 14, 18, 21, 22, 23, 25)),
    (4765, (0, 5, 8, 9, 14, 15, 18, 28, 30)),
    (7363, (0, 9, 16, 20, 21, 22, 25)),
    (13664, (0, 3, 4, 18, 22, 25, 29)),
    (21038, (0, 4, 7, 8, 17, 27, 31)),
    (41258, (0, 5, 7, 11, 12, 16, 18)),
    (73444, (0, 3, 20, 25, 27)),
    (118996, (0, 1, 13, 15, 16, 17, 30)),
    (203189, (0, 15, 21, 28, 31)),
    (302494, (0, 3, 18, 25, 31)),
    (529091, (0, 10, 12, 18, 22)),
)

# A message of n bits can be folded to r bits if n <= 2r - 31: no power of x in the
# sum then reaches beyond the first of the r bits.
_STEPS = [(r, 2 * r - 31, powers) for r, powers in _FOLDS]
_BLOCK = _STEPS[-1][1] // 8  # bytes that are folded at once


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def _fold(number, bits):
    """Return a shorter message with the same remainder, and its length in bits.

    Bit 0 of number is the highest power of x, as in the order of transmission.
    """
    while bits > _STEPS[0][1]:
        for r, limit, powers in _STEPS:
            if bits <= limit:
                break
        head = bits - r  # so many bits are moved
        moved = number & ((1 << head) - 1)
        number >>= head
        for power in powers:
            number ^= moved << (r - head - power)
        bits = r
    return number, bits


def checksum(data):
    """Return the CRC-32C of bytes."""
    state = 0xFFFFFFFF
    table = _TABLE
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        if len(block) > 80:
            number, bits = _fold(int.from_bytes(block, "little") ^ state, 8 * len(block))
            # Zeros before a message do not change its remainder.
            padding = -bits % 8
            block = (number << padding).to_bytes((bits + padding) // 8, "little")
            state = 0
        for byte in block:
            state = state >> 8 ^ table[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF
