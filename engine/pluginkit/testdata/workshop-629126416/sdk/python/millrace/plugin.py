"""A plugin: a function over one event, with its name and version."""

from . import config as _config
from . import wire
from .errors import Away, Fatal, Reject
from .event import Event
from .frame import MESSAGE_ID, RECORD, Builder, Frame, decode
from .values import TEXT, put_text, put_uvarint, put_varint, write

PART_BYTES = 1 << 20  # where an answer is cut into messages
MAX_BYTES = (16 << 20) - (64 << 10)  # of a frame in a message
NO_RECORD = Reject("no_record", "the event carries a raw payload; decode it before this node")


class UnitError(Exception):
    """Fails a whole unit; it is sent as the answer."""

    def __init__(self, kind, text, event=-1):
        super().__init__(text)
        self.kind, self.text, self.event = kind, text, event


class Plugin:
    """A function over events, ready to be served or, in a test, applied."""

    def __init__(self, name, version, config, function):
        self.name, self.version, self.config, self.function = name, version, config, function

    def __call__(self, event, config):
        return self.function(event, config)

    def open(self, node, text=b""):
        """Return the transform of a node configured by JSON; raises ConfigErrors."""
        return Transform(node, self.function, _config.load(text, self.config))

    def apply(self, record, config=None, key="", time=0):
        """Return the records that one record becomes: for tests, without an engine.

        A Reject is raised as it is.
        """
        import json

        transform = self.open("test", json.dumps(config or {}).encode())
        frame = decode(_frame_of(record, key, time), Event)
        (outcome,) = transform.outcomes(frame, 0)
        if isinstance(outcome, Reject):
            raise outcome
        builder = Builder(frame)
        for output in outcome:
            frame.events[0].put(builder, output)
        return [e.record() for e in decode(builder.finish(), Event).events]


def _frame_of(record, key, time):
    """Return a frame with one event, as a decode node would make it."""
    table = list(dict.fromkeys(["", key, *record]))
    refs = {name: put_uvarint(i) for i, name in enumerate(table)}
    frame = Frame(b"", 0, table, bytearray().join(put_text(name.encode(*TEXT)) for name in table))
    builder = Builder(frame)
    builder.fields = len(record)
    head = [bytes((RECORD | MESSAGE_ID,)), bytes(16), put_text(b"m-1"), refs[key], put_varint(time), put_varint(0)]
    source = [refs[""] * 4, put_text(b""), refs[""], refs[""]]  # no message id, plugin, content type
    fields = [refs[name] + write(value) for name, value in record.items()]
    builder.add(b"".join((*head, *source, put_uvarint(len(record)), *fields)))
    return builder.finish()


class Transform:
    """A configured plugin. Lanes may call it at the same time."""

    def __init__(self, node, function, config):
        self.node = put_text(node.encode())
        self.function, self.config = function, config

    def outcomes(self, frame, first):
        """Return, for each event, its outputs or a Reject.

        first is the index in the unit of the frame's first event. Any exception but
        Reject fails the unit, as a UnitError.
        """
        function, config, node = self.function, self.config, self.node
        made = []
        for event in frame.events:
            if event._refs is None:
                made.append(NO_RECORD)
                continue
            event._node, event._out = node, []
            try:
                function(event, config)
                if not event._dropped and not event._count:
                    event.emit()
                made.append(event._out)
            except Reject as reject:
                made.append(reject)
            except Exception as e:
                raise _failed(e, first + len(made)) from e
        return made

    def answers(self, chunk, first):
        """Yield the messages that answer a chunk, and return how many events it has."""
        if not chunk.frame:
            yield wire.answer(chunk.unit, last=chunk.last)
            return 0
        frame = decode(chunk.frame, Event)
        outcomes = self.outcomes(frame, first)
        builder, counts, rejects, uniform = Builder(frame), [], [], True
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome, Reject):
                rejects.append(wire.reject(first + i, outcome.code, outcome.text))
                outcome = ()
            count = 0
            for output in outcome:
                if builder.size >= PART_BYTES:
                    yield wire.answer(chunk.unit, _sealed(builder), [*counts, count], more=True, rejects=rejects)
                    builder.clear()
                    counts, rejects, uniform, count = [], [], False, 0
                frame.events[i].put(builder, output)
                count += 1
            uniform = uniform and count == 1
            counts.append(count)
        frame.events.clear()  # they refer to the frame: else the cycles would pile up
        yield wire.answer(chunk.unit, _sealed(builder), None if uniform else counts, rejects=rejects, last=chunk.last)
        return len(outcomes)


def _sealed(builder):
    if not builder.events:
        return b""
    frame = builder.finish()
    if len(frame) > MAX_BYTES:
        raise UnitError(wire.REJECTED, f"an answer of {len(frame)} bytes does not fit in a message of {16 << 20} bytes")
    return frame


def _failed(e, event):
    kind = wire.AWAY if isinstance(e, (Away, ConnectionError)) else wire.FATAL if isinstance(e, Fatal) else wire.UNSURE
    return UnitError(kind, f"event {event}: {type(e).__name__}: {e}", event)
