"""What a plugin's author writes against, in Python.

    import millrace

    @millrace.map("times", "1.0.0")
    def times(event, config):
        event["value"] = event.number("value") * config["factor"]

    if __name__ == "__main__":
        millrace.serve(times)

The function is called for each event that carries a record: it reads and sets
fields, calls event.drop() or event.emit(), or raises Reject, which sends the
event to the dead letters. Any other exception fails the unit, which comes again.
It is called for several lanes at once. `engine plugin build` packs the folder
with this package into one file, which needs Python 3.9 and Debian's
python3-grpcio where it runs.
"""

import sys

from .errors import Away, ConfigError, ConfigErrors, Fatal, Missing, Reject
from .event import Event
from .plugin import Plugin
from .values import JSON, Time

__all__ = ["JSON", "Away", "ConfigError", "ConfigErrors", "Event", "Fatal", "Missing", "Plugin", "Reject", "Time", "map", "serve"]


def map(name, version, config=None):
    """Make a plugin of a function of (event, config).

    name is that of the plugin's folder, version a semantic version without a leading
    v. config is a class whose annotated fields the node's with: is read into, see
    config.load; without it the function gets a dict.
    """
    return lambda function: Plugin(name, version, config, function)


def serve(plugin):
    """Run plugin for the engine that started this process; does not return.

    With the argument "describe" it prints its name and version instead.
    """
    if sys.argv[1:] == ["describe"]:
        import json

        print(json.dumps({"name": plugin.name, "version": plugin.version}))
        return
    try:
        from .server import serve as run
    except ImportError as e:
        sys.exit(f"{e}: the Python that runs this plugin, {sys.executable}, needs grpcio (Debian: python3-grpcio)")
    run(plugin)
