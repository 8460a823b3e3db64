"""The far side of the plugin hop: go-plugin's handshake and the gRPC service."""

import base64
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

from . import cert, lanes, wire
from .errors import ConfigError, ConfigErrors
from .plugin import UnitError

# schemas/plugin/v1/handshake.go
COOKIE = ("MILLRACE_PLUGIN", "7c7e5d1f-millrace-plugin")
PROTOCOL = 1

_SERVICE = "millrace.plugin.v1.Plugin"
_MOST_STREAMS = 1024  # lanes that one process can serve
_STACK = 1 << 20  # bytes of a thread's stack; the usual 8 MiB count against the memory cap

_GARBAGE = 50_000  # objects; a chunk has thousands, and they are in no cycles

_log = logging.getLogger("millrace")


def serve(plugin):
    """Serve plugin for the engine that started this process; does not return."""
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        sys.exit(f"This is the plugin {plugin.name}@{plugin.version} of a Millrace engine, which starts it by itself.")
    sys.stdout.flush()
    handshake = os.dup(1)
    os.dup2(2, 1)  # what is printed goes into the host's log
    sys.stdout.reconfigure(line_buffering=True)
    _log_as_json()
    _call_process(plugin.name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host decides when it ends
    threading.stack_size(_STACK)
    threading.Thread(target=_end_with_host, daemon=True).start()
    gc.freeze()  # what is there now stays
    gc.set_threshold(_GARBAGE)
    ours, control = Server(plugin), lanes.listen()
    if control is not None:
        ours.capabilities.append(lanes.CAPABILITY)
        threading.Thread(target=lanes.serve, args=(control, ours), daemon=True).start()
    with futures.ThreadPoolExecutor(_MOST_STREAMS) as pool:
        server = grpc.server(
            pool,
            handlers=(Handlers(ours),),
            options=(("grpc.max_receive_message_length", lanes.MAX_MESSAGE), ("grpc.max_send_message_length", lanes.MAX_MESSAGE)),
        )
        path, certificate = _listen(server)
        server.start()
        line = f"1|{PROTOCOL}|unix|{path}|grpc|{certificate}\n"
        os.write(handshake, line.encode())
        os.close(handshake)
        server.wait_for_termination()


def _listen(server):
    """Open a socket of its own and return its path and the certificate to tell."""
    folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR", "/tmp")
    path = os.path.join(folder, f"plugin-{os.getpid()}-{os.urandom(4).hex()}")
    host = os.environ.get("PLUGIN_CLIENT_CERT", "")
    if not host:
        server.add_insecure_port("unix:" + path)
        return path, ""
    key, own, der = cert.self_signed()
    credentials = grpc.ssl_server_credentials([(key, own)], root_certificates=host.encode(), require_client_auth=True)
    server.add_secure_port("unix:" + path, credentials)
    return path, base64.b64encode(der).decode().rstrip("=")


def _end_with_host():
    """End the process when the host's end of the pipe closes, however it dies."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def _call_process(name):
    try:
        with open("/proc/self/comm", "w") as f:  # for ps and top
            f.write(name)
    except OSError:
        pass


class _JSONLines(logging.Formatter):
    """Log records as the host reads them."""

    def format(self, record):
        line = {"level": record.levelname.replace("CRITICAL", "ERROR").replace("WARNING", "WARN"), "msg": record.getMessage()}
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_as_json():
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class Handlers(grpc.GenericRpcHandler):
    """Finds the method of a call; messages stay bytes."""

    def __init__(self, server):
        unary = grpc.unary_unary_rpc_method_handler
        self._methods = {
            f"/{_SERVICE}/Describe": unary(server.describe),
            f"/{_SERVICE}/Configure": unary(server.configure),
            f"/{_SERVICE}/Process": grpc.stream_stream_rpc_method_handler(server.process),
            f"/{_SERVICE}/Health": unary(server.health),
            f"/{_SERVICE}/Drain": unary(server.drain),
            "/plugin.GRPCController/Shutdown": unary(_shutdown),
        }

    def service(self, details):
        return self._methods.get(details.method)


def _shutdown(_, context):
    context.add_callback(lambda: os._exit(0))  # when the answer is out
    return b""


class NotConfigured(Exception):
    """A stream that came before Configure."""


class Server:
    """Answers the calls of schemas/plugin/v1 with one plugin."""

    def __init__(self, plugin):
        self._plugin = plugin
        self.capabilities = []  # said when it describes itself
        self._changed = threading.Condition()
        self._transform = None  # until it is configured
        self._lanes = {}  # lane -> lock: one call at a time
        self._busy = self._units = self._last_unit = 0

    def describe(self, _, context):
        return wire.described(self._plugin.name, self._plugin.version, self.capabilities)

    def configure(self, message, context):
        parts = dict(wire.fields(message))
        with self._changed:
            if self._transform is not None:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "configured twice")
            try:
                self._transform = self._plugin.open(str(parts.get(1, b""), "utf-8"), parts.get(2, b""))
            except ConfigErrors as e:
                return wire.configured(e.problems)
            except Exception as e:
                _log.exception("the configuration raised")
                return wire.configured([ConfigError("", f"{type(e).__name__}: {e}")])
        return b""

    def health(self, _, context):
        with self._changed:
            return wire.number(1, self._units) + wire.number(2, self._last_unit) + wire.number(3, self._busy)

    def drain(self, _, context):
        """Wait for the units in hand."""
        with self._changed:
            while self._busy and context.is_active():
                self._changed.wait(0.1)
            return wire.number(1, self._units)

    def process(self, requests, context):
        """Serve one lane of a host that speaks gRPC alone."""
        try:
            yield from self.lane(requests)
        except NotConfigured as e:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(e))

    def lane(self, requests):
        """Yield the answers to one lane's requests, until the host sends no more."""
        stream = None
        try:
            for message in requests:
                chunk = wire.Chunk(message)
                if stream is None:
                    stream = Stream(self, *self._opened(chunk.lane))
                yield from stream.chunk(chunk)
        finally:
            if stream is not None:
                stream.release()

    def _opened(self, lane):
        with self._changed:
            if self._transform is None:
                raise NotConfigured("not configured")
            return self._transform, self._lanes.setdefault(lane, threading.Lock())

    def taken(self, by):
        """Count a unit in hand, or one that is not any more."""
        with self._changed:
            self._busy += by
            self._changed.notify_all()

    def done(self):
        """Count a unit that was answered."""
        with self._changed:
            self._units += 1
            self._last_unit = int(time.time() * 1000)


class Stream:
    """One lane's stream: the units that the host sends, one after another."""

    def __init__(self, server, transform, lock):
        self._server, self._transform, self._lock = server, transform, lock
        self._unit = self._events = 0
        self._failed = self._in_hand = False

    def chunk(self, chunk):
        """Yield the answer to a chunk."""
        if chunk.unit != self._unit:
            self._unit, self._events, self._failed = chunk.unit, 0, False
            self._take()
        if self._failed:
            return  # rest of a unit that has had its answer
        # A stream that the host gave up may still be here when its successor begins.
        try:
            with self._lock:
                answers, count = self._collect(chunk)
        except UnitError as e:
            answers = [self._fail(e)]
        else:
            self._events += count
            if chunk.last:
                self._server.done()
        yield from answers
        if chunk.last or self._failed:
            self.release()

    def _collect(self, chunk):
        answers, steps = [], self._transform.answers(chunk, self._events)
        while True:
            try:
                answers.append(next(steps))
            except StopIteration as end:
                return answers, end.value

    def _fail(self, e):
        self._failed = True
        if e.__cause__ is not None:
            _log.error("the transform raised", exc_info=e.__cause__)
        return wire.answer(self._unit, last=True, error=wire.error(e.kind, e.text, e.event))

    def _take(self):
        if not self._in_hand:
            self._in_hand = True
            self._server.taken(1)

    def release(self):
        """Say that the unit is not in hand any more."""
        if self._in_hand:
            self._in_hand = False
            self._server.taken(-1)
