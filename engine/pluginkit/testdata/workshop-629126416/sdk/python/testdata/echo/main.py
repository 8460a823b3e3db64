"""Does what field do says, and otherwise hands events on as they are: what the
host's tests want of a plugin in Python.
"""

import logging
import os
import threading

import millrace


@millrace.map("echo", "1.0.0")
def echo(event, config):
    do = event.get("do")
    if do is not None:
        DO[do](event)


def crash(_):
    os._exit(3)


def hang(_):
    threading.Event().wait()


def fail(_):
    raise RuntimeError("told to")


def away(_):
    raise millrace.Away("server is away")


def fatal(_):
    raise millrace.Fatal("told to")


def reject(event):
    raise millrace.Reject("told_to", f"value {event['value']}")


def drop(event):
    event.drop()


def three(event):
    for i in range(3):
        event["part"] = i
        event.emit()


def large(event):
    event["fill"] = "x" * event["size"]


def many(event):
    event["fill"] = "x" * 1024
    for _ in range(event["size"]):
        event.emit()


def rewrite(event):
    """Read all there is and write it again."""
    for name in event.keys():
        event[name] = event[name]
    event["input"] = event.id
    event["root id"] = event.root_id
    event["key"] = event.key
    event["ingested"] = event.ingested
    event["plugin"] = event.plugin
    event["position"] = "{}.{}-{}".format(*event.root_position)
    source = event.source
    event["source"] = "|".join((source.node, source.exchange, source.routing_key, source.queue, source.message_id, str(source.redelivered)))
    for i, (name, value) in enumerate(event.headers):
        event[f"header {i} {name}"] = value
    event.time += 1


def log(event):
    logging.warning("a word")
    print("printed")
    event["environment"] = "\n".join(f"{name}={value}" for name, value in os.environ.items())


DO = {f.__name__: f for f in (crash, hang, fail, away, fatal, reject, drop, three, large, many, rewrite, log)}

if __name__ == "__main__":
    millrace.serve(echo)
