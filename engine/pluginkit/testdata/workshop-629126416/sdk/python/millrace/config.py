"""A node's with: block as an object of a plugin's own class."""

import json

from .errors import ConfigError, ConfigErrors


def load(text, cls):
    """Return the configuration as a cls, or as a dict if cls is None.

    cls is a dataclass, or is made one. Its annotations (bool, int, float, str, list[T], dict[str, T],
    T | None, other dataclasses, typing.Any) say what may stand there, its defaults what
    may be left out. Its method validate(), if it has one, returns or yields further
    ConfigErrors. Everything that is wrong is raised at once, as ConfigErrors.
    """
    try:
        given = json.loads(text or b"{}")
    except ValueError as e:
        raise ConfigErrors([ConfigError("", str(e))]) from None
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise ConfigErrors([ConfigError("", f"is {_name(given)}, want an object")])
    if cls is None:
        return given
    import dataclasses

    if not dataclasses.is_dataclass(cls):
        cls = dataclasses.dataclass(cls)
    problems = []
    made = _object(given, cls, "", problems)
    if not problems and hasattr(made, "validate"):
        problems.extend(made.validate() or ())
    if problems:
        raise ConfigErrors(problems)
    return made


def _object(given, cls, path, problems):
    import dataclasses
    import typing

    kinds = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls) if f.init}
    before, values = len(problems), {}
    for name, value in given.items():
        if name in known:
            values[name] = _value(value, kinds[name], _join(path, name), problems)
        else:
            problems.append(ConfigError(_join(path, name), "unknown field"))
    for name, f in known.items():
        if name not in given and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            problems.append(ConfigError(_join(path, name), "is missing"))
    return cls(**values) if len(problems) == before else None


def _value(given, kind, path, problems):
    import dataclasses
    import typing

    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return given
    if type(None) in args:  # T | None
        rest = [a for a in args if a is not type(None)]
        return None if given is None else _value(given, rest[0], path, problems)
    if dataclasses.is_dataclass(kind) and isinstance(given, dict):
        return _object(given, kind, path, problems)
    if origin is list and isinstance(given, list):
        return [_value(v, args[0], f"{path}[{i}]", problems) for i, v in enumerate(given)]
    if origin is dict and isinstance(given, dict):
        return {k: _value(v, args[1], _join(path, k), problems) for k, v in given.items()}
    if kind is float and type(given) is int:
        return float(given)
    if isinstance(kind, type) and type(given) is kind:
        return given
    problems.append(ConfigError(path, f"is {_name(given)}, want {_wanted(kind, origin)}"))
    return None


def _join(path, name):
    return f"{path}.{name}" if path else name


_NAMES = {type(None): "null", bool: "a bool", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


def _name(value):
    return _NAMES[type(value)]


def _wanted(kind, origin):
    kind = origin or kind
    if kind is int:
        return "an integer"
    return _NAMES.get(kind, "an object")
