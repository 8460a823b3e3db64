"""Decodes frames and encodes them anew, for the comparison with Go's codec.

Reads frames, each after its length (4 bytes, big-endian), from standard input. For
each it writes, with a length before it, a frame in which everything was read and
written again (the program echo, its field "do" being "rewrite"), a frame of the
untouched events, or nothing where the frame is malformed.
"""

import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from millrace.event import Event  # noqa: E402
from millrace.frame import Builder, decode  # noqa: E402
from millrace.plugin import Transform  # noqa: E402
from millrace.values import FormatError  # noqa: E402

spec = importlib.util.spec_from_file_location("echo", os.path.join(HERE, "echo", "main.py"))
echo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(echo)


def rewrite(event, _):
    echo.rewrite(event)


def encoded(data, function):
    try:
        frame = decode(data, Event)
    except FormatError:
        return b""
    builder = Builder(frame)
    for event, outputs in zip(frame.events, Transform("n", function, None).outcomes(frame, 0)):
        for output in outputs if isinstance(outputs, list) else ():
            event.put(builder, output)
    return builder.finish(frame.watermark)


def main():
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while size := source.read(4):
        data = source.read(int.from_bytes(size, "big"))
        for function in (lambda event, _: None, rewrite):
            out = encoded(data, function)
            sink.write(len(out).to_bytes(4, "big") + out)
    sink.flush()


main()
