"""Tests of what Go's tests do not see; `go test ./plugins/sdk/python` runs them."""

import dataclasses
import decimal
import os
import random
import socket
import sys
import threading
import typing
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import millrace
from millrace import cert, config, crc32c, lanes, values, wire


class Checksum(unittest.TestCase):
    def test_known(self):
        # RFC 3720, B.4
        self.assertEqual(crc32c.checksum(bytes(32)), 0x8A9136AA)
        self.assertEqual(crc32c.checksum(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c.checksum(b""), 0)

    def test_folding_changes_nothing(self):
        chance = random.Random(7)
        for size in [*range(70, 180), 1000, 65536, 119_719, 119_720, 119_721, 300_000, *(chance.randrange(200_000) for _ in range(8))]:
            data = chance.randbytes(size)
            state = 0xFFFFFFFF
            for byte in data:
                state = state >> 8 ^ crc32c._TABLE[(state ^ byte) & 0xFF]
            self.assertEqual(crc32c.checksum(data), state ^ 0xFFFFFFFF, size)


class Certificate(unittest.TestCase):
    def test_curve(self):
        self.assertEqual(cert.multiply(1), cert.G)
        x, y = cert.multiply(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721)  # RFC 6979, A.2.5
        self.assertEqual(x, 0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6)
        self.assertEqual(y, 0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299)

    def test_serials_and_keys_differ(self):
        self.assertEqual(len({cert.self_signed()[2] for _ in range(4)}), 4)


class Numbers(unittest.TestCase):
    def test_both_ways(self):
        for number in (0, 1, -1, 63, 64, 127, 128, -(1 << 63), (1 << 63) - 1):
            raw = values.put_varint(number)
            self.assertEqual(values.varint(raw, 0), (number, len(raw)))
        for bad in (b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x01"):
            with self.assertRaises(values.FormatError):
                values.uvarint(bad, 0)

    def test_what_a_record_cannot_hold(self):
        for value in (1 << 63, decimal.Decimal("NaN"), [1], {}, object()):
            with self.assertRaises((ValueError, TypeError)):
                values.write(value)


class Messages(unittest.TestCase):
    def test_unknown_fields_are_passed_over(self):
        raw = wire.number(99, 5) + wire.number(1, 7) + b"\xfd\x06" + bytes(4) + wire.data(98, b"x") + wire.number(3, 1)
        chunk = wire.Chunk(raw)
        self.assertEqual((chunk.unit, chunk.last, chunk.frame), (7, True, b""))

    def test_malformed(self):
        for raw in (b"\x08", b"\x12\x05ab", b"\x0b", b"\x80"):
            with self.assertRaises(values.FormatError):
                list(wire.fields(raw))


class Lanes(unittest.TestCase):
    """The host's half is here, with what a host may send."""

    def setUp(self):
        self.control, theirs = socket.socketpair()
        self.addCleanup(self.control.close)
        os.environ["MILLRACE_PLUGIN_LANES"] = str(theirs.detach())
        threading.Thread(target=lanes.serve, args=(lanes.listen(), self), daemon=True).start()

    def lane(self, requests):
        for request in requests:
            yield request * 2

    def dial(self):
        ours, theirs = socket.socketpair()
        socket.send_fds(self.control, [b"\0"], [theirs.fileno()])
        theirs.close()
        self.addCleanup(ours.close)
        ours.settimeout(60)
        return ours

    def test_messages(self):
        for _ in range(2):
            lane = self.dial()
            lane.sendall(b"\x03\0\0\0abc\0\0\0\0\x01\0\0\0x")
            lane.shutdown(socket.SHUT_WR)
            self.assertEqual(lane.makefile("rb").read(), b"\x06\0\0\0abcabc\0\0\0\0\x02\0\0\0xx")

    def test_what_is_none(self):
        for raw in (b"\xff\xff\xff\xff", b"\x03\0\0", b"\x03\0\0\0ab"):
            lane = self.dial()
            lane.sendall(raw)
            lane.shutdown(socket.SHUT_WR)
            self.assertEqual(lane.recv(1), b"")

    def test_no_host(self):
        self.assertNotIn("MILLRACE_PLUGIN_LANES", os.environ)
        self.assertIsNone(lanes.listen())


@dataclasses.dataclass
class Rule:
    factor: float
    unit: typing.Optional[str] = None


@dataclasses.dataclass
class Config:
    rules: typing.List[Rule] = dataclasses.field(default_factory=list)
    names: typing.Dict[str, int] = dataclasses.field(default_factory=dict)
    free: typing.Any = None
    strict: bool = False

    def validate(self):
        if self.strict and not self.rules:
            yield millrace.ConfigError("rules", "none given")


class Configuration(unittest.TestCase):
    def test_good(self):
        c = config.load(b'{"rules": [{"factor": 2, "unit": "C"}, {"factor": 0.5}], "names": {"a": 1}, "free": [1]}', Config)
        self.assertEqual(c, Config([Rule(2.0, "C"), Rule(0.5)], {"a": 1}, [1]))
        self.assertEqual(config.load(b"null", Config), Config())
        self.assertEqual(config.load(b"", None), {})

    def test_everything_wrong_at_once(self):
        text = b'{"rules": [{"factor": "2"}, {"unit": 1, "factr": 1}], "names": {"a": 1.5}, "strict": 1}'
        with self.assertRaises(millrace.ConfigErrors) as caught:
            config.load(text, Config)
        self.assertEqual(
            [str(p) for p in caught.exception.problems],
            [
                "rules[0].factor: is a string, want a number",
                "rules[1].unit: is a number, want a string",
                "rules[1].factr: unknown field",
                "rules[1].factor: is missing",
                "names.a: is a number, want an integer",
                "strict: is a number, want a bool",
            ],
        )

    def test_it_checks_itself(self):
        for text, want in ((b'{"strict": true}', "rules: none given"), (b"[]", "is a list, want an object"), (b"{", "Expecting")):
            with self.assertRaisesRegex(millrace.ConfigErrors, want):
                config.load(text, Config)


class Draft(unittest.TestCase):
    def apply(self, function, record, **more):
        return millrace.map("test", "1.0.0")(function).apply(record, **more)

    def test_fields(self):
        def function(event, _):
            self.assertEqual((len(event), list(event), "a" in event, "x" in event), (3, ["a", "b", "c"], True, False))
            self.assertEqual((event["a"], event.get("x", 5), event.key, event.time), (1, 5, "k", 9))
            del event["b"]
            event["d"], event["a"] = "new", event.number("a") + 0.5
            self.assertEqual(event.record(), {"a": 1.5, "c": None, "d": "new"})

        self.assertEqual(self.apply(function, {"a": 1, "b": 2, "c": None}, key="k", time=9), [{"a": 1.5, "c": None, "d": "new"}])

    def test_kinds_survive(self):
        record = {
            "null": None, "bool": True, "int": -5, "float": 1.5, "text": "é", "bytes": b"\x00", "time": millrace.Time(7),
            "json": millrace.JSON("[1]"), "decimal": decimal.Decimal("1.50"), "raw": "\udcff",
        }  # fmt: skip

        def function(event, _):
            for name in event:
                event[name] = event[name]

        (out,) = self.apply(function, record)
        self.assertEqual(out, record)
        self.assertEqual([type(v) for v in out.values()], [type(v) for v in record.values()])

    def test_many_fields(self):
        record = {f"field {i}": i for i in range(300)}
        self.assertEqual(self.apply(lambda event, _: None, record), [record])

    def test_outcomes(self):
        def emit(event, config):
            for i in range(config["times"]):
                event["n"] = i
                event.emit()
            event.drop()

        self.assertEqual(self.apply(emit, {}, config={"times": 2}), [{"n": 0}, {"n": 1}])
        self.assertEqual(self.apply(emit, {}, config={"times": 0}), [])

    def test_rejects(self):
        for record, code in (({}, "no_field"), ({"v": "x"}, "bad_number"), ({"v": True}, "bad_number"), ({"v": millrace.Time(1)}, "bad_number")):
            with self.assertRaises(millrace.Reject) as caught:
                self.apply(lambda event, _: event.number("v"), record)
            self.assertEqual(caught.exception.code, code)
        self.assertEqual(self.apply(lambda event, _: event.number("v"), {"v": decimal.Decimal("2.5")}), [{"v": decimal.Decimal("2.5")}])


if __name__ == "__main__":
    unittest.main()
