"""The space that a sweep searches: a range for each of some configuration keys."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from windcast.errors import ConfigError, unknown_name

PARTS = ("low", "high", "log", "step", "choices")
# Others would change what is forecast, or on what it is scored, and trials could not be compared.
FREE = ("model.", "calibration.", "task.history", "task.weather_history", "task.weather_lookahead")
Scalar = bool | int | float | str | None


@dataclass(frozen=True)
class Range:
    """Where a key's value is looked for: `choices`, or numbers from low to high, both included.

    log: evenly in the logarithm. step: between neighbours, from low on. Whole numbers where low and high are.
    Raises ConfigError naming the key where no value could be drawn.
    """

    key: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            return
        where = f"the range of {self.key}"
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if name == "step" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{where}: {name} is {value!r}; give a number.")
        if not self.low < self.high:
            raise ConfigError(f"{where} goes from {self.low:g} to {self.high:g}. Give a low below the high.")
        if self.log and self.low <= 0:
            raise ConfigError(f"{where} is logarithmic and starts at {self.low:g}. Give a low above 0.")
        if self.log and self.step is not None:
            raise ConfigError(f"{where} is logarithmic and has a step. Leave one of them out.")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ConfigError(f"{where} has a step of {self.step:g}. Give one above 0 and within the range.")

    @property
    def whole(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    def grid(self) -> list[Any]:
        """Every value. Raises ConfigError where there is no end of them."""
        if self.choices:
            return [coded(choice) for choice in self.choices]
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            raise ConfigError(f"the range of {self.key} has no step, which a grid needs. Give a step or choices.")
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self.low + k * step for k in range(count)]

    def value(self, drawn: Scalar) -> Any:
        """What a drawn value stands for in the configuration."""
        return next(choice for choice in self.choices if same(coded(choice), drawn)) if self.choices else drawn

    def to_dict(self) -> dict[str, Any]:
        if self.choices:
            return {"choices": list(self.choices)}
        found: dict[str, Any] = {"low": self.low, "high": self.high}
        return found | ({"log": True} if self.log else {}) | ({} if self.step is None else {"step": self.step})


def coded(choice: Any) -> Scalar:
    """A choice as a study keeps it: a list or mapping as its JSON."""
    if choice is None or isinstance(choice, bool | int | float | str):
        return choice
    return json.dumps(choice, separators=(",", ":"))


def same(one: Scalar, other: Scalar) -> bool:
    return type(one) is type(other) and one == other


def read(given: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Range]:
    """Ranges by key, each of which is in the configuration `document`.

    Raises ConfigError for a key that it has not, naming the nearest, for one that a sweep may not change, and for a
    range that cannot be.
    """
    known = {key: value for key, value in leaves(document) if key.startswith(FREE) and not key.endswith(".name")}
    if not given:
        raise ConfigError("the search space is empty. Give a range, as in sweep.space.model.KEY={low:1,high:5}.")
    found = {}
    for key, entry in given.items():
        if key not in known:
            if key in dict(leaves(document)):
                raise ConfigError(
                    f"the search space names '{key}', but a sweep may change only model.*, calibration.* and "
                    "task.history, task.weather_history and task.weather_lookahead: else its trials were of "
                    f"different questions. Set it for all of them: {key}=VALUE."
                )
            raise ConfigError(unknown_name("key in the search space", key, known))
        found[key] = _range(key, entry, number=known[key])
    return found


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Full keys of single values and lists, with their values."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _range(key: str, entry: Any, *, number: Any) -> Range:
    """number: the key's value as configured; where it is a fraction, so are those of the range."""
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError(f"the range of {key} is {entry!r}. Give low and high, or choices.")
    for part in entry:
        if part not in PARTS:
            raise ConfigError(unknown_name(f"word in the range of {key}:", str(part), PARTS))
    if "choices" in entry:
        choices = entry["choices"]
        if len(entry) > 1 or not isinstance(choices, list) or not choices:
            raise ConfigError(f"the range of {key}: choices is a list of at least one value, and stands alone.")
        return Range(key, choices=tuple(choices))
    if "low" not in entry or "high" not in entry:
        raise ConfigError(f"the range of {key} lacks low or high. Give both, or choices.")
    if not isinstance(entry.get("log", False), bool):
        raise ConfigError(f"the range of {key}: log is {entry['log']!r}; choose true or false.")
    ends = {name: entry[name] for name in ("low", "high", "step") if entry.get(name) is not None}
    if isinstance(number, float):
        ends = {name: float(end) if type(end) is int else end for name, end in ends.items()}
    return Range(key, log=entry.get("log", False), **ends)
