"""Every key and value of a resolved configuration, checked before anything is computed."""

import inspect
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from windcast.data.sources import SOURCES
from windcast.data.task import ForecastTask
from windcast.errors import ConfigError, unknown_name
from windcast.models.base import MODELS, build, model_class
from windcast.registry.tracking import Destination, sending

BACKTEST: dict[str, Any] = {
    "start": str | int | None,
    "end": str | int | None,
    "refit_every_days": float | None,
    "train_from": str | int | None,
    "issue_every_hours": float,
    "issue_offset_hours": float,
    "train_every_hours": float,
    "against": tuple[str, ...],
}
TASK: dict[str, Any] = {
    "horizon": int,
    "history": int,
    "weather_history": int,
    "weather_lookahead": int,
    "levels": int | tuple[float, ...],
}
TRACKING: dict[str, dict[str, Any]] = {
    "auto": {"folder": str, "uri": str | None, "experiment": str},
    "mlflow": {"folder": str, "uri": str | None, "experiment": str},
    "wandb": {"folder": str, "project": str, "mode": str},
    "none": {},
}
MODES = ("offline", "online")
TOP: dict[str, Any] = {"seed": int, "threads": int, "model_choice": str, "tuned_until": str | None}
LATER = {"tuned_until": None}  # keys that records of earlier versions do not have
SECTIONS = ("task", "model", "calibration", "backtest", "data")
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
MOST_SEED = 2**31 - 1  # LightGBM's


def checked(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same document, every value of the type that is due (60000.0 becomes 60000 where a count is due).

    Raises ConfigError naming the key for a missing or unknown key, a wrong type or an impossible value.
    """
    document = LATER | dict(document)
    for name in (*SECTIONS, *TOP):
        if name not in document:
            raise ConfigError(f"the configuration has no '{name}'. Compose it again, or restore the record.")
    for name in SECTIONS:
        if not isinstance(document[name], Mapping):
            raise ConfigError(f"{name} is {document[name]!r}; it holds keys and values.")
    out = {name: _value(document[name], TOP[name], name) if name in TOP else document[name] for name in document}
    for name in document:
        if name not in (*SECTIONS, *TOP):
            raise ConfigError(unknown_name("key", name, (*SECTIONS, *TOP)))
    out["task"] = _task(document["task"])
    out["model"] = _model(document["model"], "model")
    out["calibration"] = _calibration(document["calibration"])
    out["backtest"] = _backtest(document["backtest"])
    out["data"] = data(document["data"])
    _count(out, ("seed", "threads"), "")
    return out


def tracking(given: Mapping[str, Any]) -> Destination:
    """Where records go. Raises ConfigError for a wrong key or value, and for a backend that is not installed."""
    name = given.get("name")
    if name not in TRACKING:
        raise ConfigError(unknown_name("tracking.name", str(name), TRACKING))
    out = _section(given, {"name": str} | TRACKING[name], "tracking")
    del out["name"]
    if out.get("mode", "offline") not in MODES:
        raise ConfigError(unknown_name("tracking.mode", out["mode"], MODES))
    if name == "auto":
        name = "mlflow" if sending.installed("mlflow") else "none"
    elif name != "none":
        sending.require(name)
    return Destination(backend=name, **out | {key: Path(out[key]).expanduser() for key in ("folder",) if key in out})


def data(given: Mapping[str, Any]) -> dict[str, Any]:
    """The section of the data source."""
    if "source" not in given:
        raise ConfigError("data.source is not given. Choose the data with, for example, data=la_haute_borne.")
    source = given["source"]
    if source not in SOURCES:
        raise ConfigError(unknown_name("data source", str(source), SOURCES))
    out = _section(given, {"source": str} | _options_of(source), "data", complete=False)
    _count(out, ("seed",), "data.")
    return out


@lru_cache
def _options_of(source: str) -> dict[str, Any]:
    load = import_module(f"windcast.data.sources.{source}").load
    hints = get_type_hints(load)
    return {name: hints[name] for name in inspect.signature(load).parameters}


def _task(given: Any) -> dict[str, Any]:
    out = _section(given, TASK, "task")
    levels = out["levels"]
    if isinstance(levels, int) and levels < 1:
        raise ConfigError(f"task.levels is {levels}; give at least one level.")
    ForecastTask(
        resolution=timedelta(hours=1),
        capacity_mw=1.0,
        **{**out, "levels": (0.5,) if isinstance(levels, int) else tuple(levels)},
    )
    return out


def _backtest(given: Any) -> dict[str, Any]:
    out = _section(given, BACKTEST, "backtest")
    for key in ("issue_every_hours", "train_every_hours", "refit_every_days"):
        if out[key] is not None and not 0 < out[key] < 1e5:
            raise ConfigError(f"backtest.{key} is {out[key]:g}; it must be positive, and below 100000.")
    if not abs(out["issue_offset_hours"]) <= 24:
        raise ConfigError(f"backtest.issue_offset_hours is {out['issue_offset_hours']:g}; give at most 24.")
    if len(set(out["against"])) < len(out["against"]):
        raise ConfigError(f"backtest.against names a model twice: {', '.join(out['against'])}.")
    return out


def _calibration(given: Any) -> dict[str, Any]:
    name = given.get("name")
    if name == "none":
        return _section(given, {"name": str}, "calibration")
    if name != "calibrated":
        raise ConfigError(f"calibration.name is '{name}'; choose calibration=adaptive or calibration=none.")
    return _model(given, "calibration")


def _model(given: Any, where: str) -> dict[str, Any]:
    """A model's keys, and those of the members of a pool, checked by the model itself as well."""
    name = given.get("name") if isinstance(given, Mapping) else None
    if name not in MODELS:
        raise ConfigError(unknown_name(f"model in {where}.name", str(name), MODELS))
    config = model_class(name).Config
    hints = get_type_hints(config)
    out = _section(given, {"name": str} | {f.name: hints[f.name] for f in fields(config)}, where, complete=False)
    if "members" in out:
        out["members"] = {k: _model(member, f"{where}.members.{k}") for k, member in out["members"].items()}
    _count(out, ("seed", "threads"), f"{where}.")
    build(out)
    return out


def _section(given: Any, hints: Mapping[str, Any], where: str, *, complete: bool = True) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; it holds keys and values.")
    for key in given:
        if key not in hints:
            raise ConfigError(unknown_name("key", f"{where}.{key}", [f"{where}.{k}" for k in hints]))
    for key in hints if complete else ():
        if key not in given:
            raise ConfigError(f"{where}.{key} is missing.")
    return {key: _value(value, hints[key], f"{where}.{key}") for key, value in given.items()}


def _count(section: Mapping[str, Any], keys: Sequence[str], prefix: str) -> None:
    for key in keys:
        if key in section and not 0 <= section[key] <= MOST_SEED:
            raise ConfigError(f"{prefix}{key} is {section[key]}; it must be from 0 to {MOST_SEED}.")


def _value(value: Any, hint: Any, key: str) -> Any:
    """The value as its type is written in the code; ConfigError if it is of another."""
    for choice in _choices(hint):
        fits, found = _as(value, choice, key)
        if fits:
            return found
    due = " or ".join(dict.fromkeys(_name(choice) for choice in _choices(hint)))
    raise ConfigError(f"{key} is {_shown(value)}; it must be {due}.")


def _as(value: Any, choice: Any, key: str) -> tuple[bool, Any]:
    kind = get_origin(choice) or choice
    if kind is Any:
        return True, value
    if kind is int and isinstance(value, float) and value.is_integer():
        return True, int(value)
    if kind in (int, float):
        number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        return number and math.isfinite(value), value
    if kind in (tuple, Sequence):
        inner = (get_args(choice) or (Any,))[0]
        listed = isinstance(value, list | tuple)
        return listed, [_value(v, inner, f"{key}[{k}]") for k, v in enumerate(value)] if listed else value
    if kind in (dict, Mapping):
        inner = (get_args(choice) or (Any, Any))[1]
        held = isinstance(value, Mapping)
        return held, {k: _value(v, inner, f"{key}.{k}") for k, v in value.items()} if held else value
    return isinstance(value, kind), value


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _name(choice: Any) -> str:
    kind = get_origin(choice) or choice
    if kind in (tuple, Sequence):
        return "a list such as [a,b]"
    if kind in (dict, Mapping):
        return "keys and values"
    return NAMES.get(kind, NAMES[str])


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)
