"""What a plugin raises."""


class Reject(Exception):
    """Sends this event to the dead letters: it can never be processed.

    code is short and machine-readable, such as "bad_number"; text is for people:
    what was found and what was expected.
    """

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class Missing(Reject, KeyError):
    """Reads a field that the record does not have."""

    def __init__(self, name):
        super().__init__("no_field", f"field {name!r} is missing")

    __str__ = Exception.__str__


class Away(Exception):
    """Fails the unit: a server is away; the engine waits, without limit."""


class Fatal(Exception):
    """Fails the unit: going on would do harm; the engine pauses the pipeline."""


class ConfigError(Exception):
    """One problem of the configuration: path below with:, such as rules[2].factor."""

    def __init__(self, path, text):
        super().__init__(f"{path}: {text}" if path else text)
        self.path, self.text = path, text


class ConfigErrors(Exception):
    """Every problem of a configuration."""

    def __init__(self, problems):
        super().__init__("; ".join(map(str, problems)))
        self.problems = list(problems)
