"""Lane sockets: the streams of a host that has them for us, without gRPC between.

schemas/plugin/README.md says what is on them.
"""

import logging
import os
import socket
import struct
import threading

CAPABILITY = "lane-sockets"
MAX_MESSAGE = 16 << 20  # bytes, both ways

_ENV = "MILLRACE_PLUGIN_LANES"
_SIZE = struct.Struct("<I")  # before each message
_BUFFER = 1 << 18  # of what is read; a chunk and more

_log = logging.getLogger("millrace")


def listen():
    """Return the socket over which the host hands out lanes; None if it does not."""
    number = os.environ.pop(_ENV, "")
    if not number or not hasattr(socket, "recv_fds"):  # as on Windows
        return None
    control = socket.socket(fileno=int(number))
    control.set_inheritable(False)
    return control


def serve(control, server):
    """Serve each lane in a thread of its own, until the host gives no more."""
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except ConnectionError:
            return
        if not data:
            return
        lane = socket.socket(fileno=descriptors[0])
        lane.set_inheritable(False)
        threading.Thread(target=_serve, args=(lane, server), daemon=True).start()


def _serve(lane, server):
    with lane, lane.makefile("rb", _BUFFER) as received:
        try:
            for answer in server.lane(_messages(received)):
                lane.sendall(_SIZE.pack(len(answer)) + answer)
        except ConnectionError:
            pass  # the host has given the stream up
        except Exception:
            _log.exception("a lane's stream failed")


def _messages(received):
    """Yield messages until the other end is closed."""
    while True:
        head = received.read(_SIZE.size)
        if len(head) < _SIZE.size:
            return
        (size,) = _SIZE.unpack(head)
        if size > MAX_MESSAGE:
            raise ValueError(f"a message of {size} bytes, at most {MAX_MESSAGE} are allowed")
        message = received.read(size)
        if len(message) < size:
            return  # the host has given up in the midst of it
        yield message
