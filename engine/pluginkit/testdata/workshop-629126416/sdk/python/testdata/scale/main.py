"""The twin of plugins/scale in Python, as far as its examples go: the same suite
runs on both.
"""

import math
import dataclasses
from typing import Any

import millrace


@dataclasses.dataclass
class Rule:
    from_: str = ""  # "from" is a word of Python's own
    to: str = ""
    factor: float = 1.0
    offset: float = 0.0


BUILTIN = {
    "F->C": Rule("F", "C", 5 / 9, -160 / 9),
    "Wh->kWh": Rule("Wh", "kWh", 1e-3),
}


@dataclasses.dataclass
class Config:
    field: str = "value"
    unit_field: str = "unit"
    rules: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    convert: list[str] = dataclasses.field(default_factory=list)
    unknown: str = "keep"

    def validate(self):
        self.table = {}
        if not self.rules and not self.convert:
            yield millrace.ConfigError("rules", "none given, and no convert or to either: there is nothing to scale")
        if self.unknown not in ("keep", "drop", "reject"):
            yield millrace.ConfigError("unknown", f"{self.unknown!r} is none of keep, drop, reject")
        for r in self.rules:
            self.table[r.get("from", "")] = Rule(**{"from_" if k == "from" else k: v for k, v in r.items()})
        for i, name in enumerate(self.convert):
            if name not in BUILTIN:
                yield millrace.ConfigError(f"convert[{i}]", f"no conversion {name!r}")
            else:
                self.table[BUILTIN[name].from_] = BUILTIN[name]


@millrace.map("scale", "1.0.0", Config)
def scale(event, config):
    unit = event.get(config.unit_field)
    rule = config.table.get(unit if isinstance(unit, str) else "")
    if rule is None:
        if config.unknown == "drop":
            event.drop()
        elif config.unknown == "reject":
            raise millrace.Reject("unknown_unit", f"no rule for unit {unit!r}")
        return
    if event[config.field] is not None:
        scaled = event.number(config.field) * rule.factor + rule.offset
        if not math.isfinite(scaled):
            raise millrace.Reject("out_of_range", f"field {config.field!r} scaled is no finite number")
        event[config.field] = float(scaled)
    if rule.to and rule.to != unit:
        event[config.unit_field] = rule.to


if __name__ == "__main__":
    millrace.serve(scale)
