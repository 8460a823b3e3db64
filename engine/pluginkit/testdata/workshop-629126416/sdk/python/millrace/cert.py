"""A self-signed certificate for one process, with the standard library alone.

go-plugin's mutual TLS asks the plugin for a certificate of its own. Python can use
certificates but not make them, and neither python3-cryptography nor openssl need be
there. So this makes a key on the curve P-256 and signs once, before the socket
exists; the key is used by gRPC's TLS from then on and ends with the process. The
arithmetic is not of constant time: nobody can time the one signature.
"""

import base64
import hashlib
import secrets
import time

# P-256 (SEC 2, secp256r1): y^2 = x^3 - 3x + b over the field of P, order N.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def _double(x, y, z):
    """Double a point in Jacobian coordinates."""
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * (x - z * z) * (x + z * z) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(x1, y1, z1, x2, y2):
    """Add a point in affine coordinates, which is another one, to a Jacobian."""
    zz = z1 * z1 % P
    h = (x2 * zz - x1) % P
    r = (y2 * zz * z1 - y1) % P
    hh = h * h % P
    hhh, v = h * hh % P, x1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * hhh) % P, z1 * h % P


def multiply(k, point=G):
    """Return k times a point; k is in 1..N-1."""
    x, y, z = *point, 1
    for bit in bin(k)[3:]:
        x, y, z = _double(x, y, z)
        if bit == "1":
            x, y, z = _add(x, y, z, *point)
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse**3 % P


def sign(key, message):
    """Return the ECDSA signature (r, s) with SHA-256."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        k = secrets.randbelow(N - 1) + 1
        r = multiply(k)[0] % N
        s = pow(k, -1, N) * (digest + r * key) % N
        if r and s:
            return r, s


# DER (X.690), as much as a certificate needs.


def _der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(length))) + length + body


def _integer(value):
    return _der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(text):
    first, second, *rest = map(int, text.split("."))
    out = bytearray((40 * first + second,))
    for number in rest:
        septets = [number & 127]
        while number := number >> 7:
            septets.append(number & 127 | 128)
        out += bytes(reversed(septets))
    return _der(6, bytes(out))


def _time(seconds):
    return _der(0x18, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


def _extension(oid, value, critical=False):
    return _der(0x30, _oid(oid), b"\x01\x01\xff" if critical else b"", _der(4, value))


_ECDSA_SHA256 = _der(0x30, _oid("1.2.840.10045.4.3.2"))
_P256 = _oid("1.2.840.10045.3.1.7")
_YEARS = 30 * 365 * 24 * 3600  # as long as go-plugin's own


def _to_be_signed(public):
    name = _der(0x30, _der(0x31, _der(0x30, _oid("2.5.4.3"), _der(0x0C, b"localhost"))))
    now = time.time()
    extensions = _der(
        0x30,
        _extension("2.5.29.15", _der(3, b"\x02\x84"), critical=True),  # signs data and certificates
        _extension("2.5.29.37", _der(0x30, _oid("1.3.6.1.5.5.7.3.1"), _oid("1.3.6.1.5.5.7.3.2"))),
        _extension("2.5.29.19", _der(0x30, b"\x01\x01\xff"), critical=True),  # it is its own authority
        _extension("2.5.29.17", _der(0x30, _der(0x82, b"localhost"))),  # the name that the host asks for
    )
    key = _der(0x30, _der(0x30, _oid("1.2.840.10045.2.1"), _P256), _der(3, b"\x00", public))
    validity = _der(0x30, _time(now - 30), _time(now + _YEARS))
    serial = _integer(secrets.randbits(127) + 1)
    return _der(0x30, _der(0xA0, _integer(2)), serial, _ECDSA_SHA256, name, validity, name, key, _der(0xA3, extensions))


def _pem(label, der):
    body = base64.encodebytes(der).decode().replace("\n", "")
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def self_signed():
    """Return (key PEM, certificate PEM, certificate DER) for the name localhost."""
    key = secrets.randbelow(N - 1) + 1
    x, y = multiply(key)
    public = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    signed = _to_be_signed(public)
    signature = _der(0x30, *map(_integer, sign(key, signed)))
    certificate = _der(0x30, signed, _ECDSA_SHA256, _der(3, b"\x00", signature))
    private = _der(0x30, _integer(1), _der(4, key.to_bytes(32, "big")), _der(0xA0, _P256), _der(0xA1, _der(3, b"\x00", public)))
    return _pem("EC PRIVATE KEY", private), _pem("CERTIFICATE", certificate), certificate
