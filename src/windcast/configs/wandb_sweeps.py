"""A W&B sweep (docs.wandb.ai, "sweep configuration") as a search space; what of it cannot be honoured is said."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from windcast.configs.sweep_space import coded
from windcast.errors import ConfigError, unknown_name

METHODS = {"bayes": "tpe", "random": "random", "grid": "grid"}
EVEN = ("uniform", "int_uniform", "q_uniform")
EXPONENTS = ("log_uniform", "q_log_uniform")  # of e
VALUES = ("log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values")
UNUSED = ("max_iter", "s", "eta", "strict")
LISTED = ("categorical", "categorical_w_probabilities")
DISTRIBUTIONS = (*EVEN, *EXPONENTS, *VALUES, *LISTED, "constant")
TOP = (
    "program",
    "entity",
    "project",
    "name",
    "description",
    "method",
    "metric",
    "parameters",
    "early_terminate",
    "command",
    "run_cap",
)


@dataclass(frozen=True)
class WandbSweep:
    """search: what it says of space, sampler, pruner, warmup and trials. fixed: keys with one value, as overrides."""

    search: dict[str, Any]
    fixed: dict[str, str]
    notes: list[str]


def read(file: Path) -> WandbSweep:
    """Raises ConfigError where the file cannot be read, is no sweep, or asks for what windcast has no likeness of."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read ({str(error).splitlines()[0]}).") from None
    if not isinstance(document, Mapping) or not isinstance(document.get("parameters"), Mapping):
        raise ConfigError(f"{file}: is not a W&B sweep. It needs `method` and `parameters`.")
    for key in document:
        if key not in TOP:
            raise ConfigError(f"{file}: {unknown_name('key', str(key), TOP)}")
    notes: list[str] = []
    search: dict[str, Any] = {"sampler": _sampler(file, document), **_pruning(document, notes)}
    if document.get("run_cap") is not None:
        search["trials"] = document["run_cap"]
    _metric(document, notes)
    if document.get("program") or document.get("command"):
        notes.append("program and command are not run: windcast trains its own model.")
    space, fixed = {}, {}
    for key, entry in _parameters(document["parameters"]):
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{file}: parameter {key} is {entry!r}. Give min and max, values, or value.")
        if "value" in entry:
            fixed[key] = _text(entry["value"])
        else:
            space[key] = _range(f"{file}: parameter {key}", entry, notes, key)
    return WandbSweep({**search, "space": space}, fixed, notes)


def _sampler(file: Path, document: Mapping[str, Any]) -> str:
    method = str(document.get("method"))
    if method not in METHODS:
        raise ConfigError(f"{file}: {unknown_name('method', method, METHODS)}")
    return METHODS[method]


def _metric(document: Mapping[str, Any], notes: list[str]) -> None:
    metric = document.get("metric")
    if isinstance(metric, Mapping) and metric.get("name"):
        goal = metric.get("goal", "minimize")
        notes.append(f"metric: {metric['name']} ({goal}) is not known here; the CRPS on validation is made small.")
        if metric.get("target") is not None:
            notes.append("metric: its target does not end the sweep.")


def _pruning(document: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    stop = document.get("early_terminate")
    if not isinstance(stop, Mapping):
        return {"pruner": "none"}
    if stop.get("type") != "hyperband":
        notes.append(f"early_terminate: {stop.get('type')} is not known; the median of the other trials decides.")
        return {"pruner": "median"}
    notes.extend(
        f"early_terminate: {key} is not used; hyperband finds it from the epochs." for key in stop if key in UNUSED
    )
    return {"pruner": "hyperband", "warmup": int(stop.get("min_iter", 1))}


def _parameters(node: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Full keys and entries; a key without a dot is one of the model."""
    for name, entry in node.items():
        key = f"{prefix}{name}"
        if isinstance(entry, Mapping) and isinstance(entry.get("parameters"), Mapping):
            yield from _parameters(entry["parameters"], f"{key}.")
        else:
            yield (key if "." in key else f"model.{key}"), entry


def _range(where: str, entry: Mapping[str, Any], notes: list[str], key: str) -> dict[str, Any]:
    kind = entry.get("distribution")
    if kind is not None and kind not in DISTRIBUTIONS:
        raise ConfigError(
            f"{where}: {unknown_name('distribution', str(kind), DISTRIBUTIONS)} Of another, give the range it covers."
        )
    if "values" in entry:
        if "probabilities" in entry or kind == "categorical_w_probabilities":
            notes.append(f"{key}: the probabilities are not used; every value is as likely at first.")
        return {"choices": list(entry["values"])}
    if entry.get("min") is None or entry.get("max") is None:
        raise ConfigError(f"{where} lacks min and max, values, or value.")
    low, high, step = (_number(where, entry.get(word)) for word in ("min", "max", "q"))
    if kind in EXPONENTS:
        low, high = math.exp(low), math.exp(high)
    log = kind in (*EXPONENTS, *VALUES)
    whole = all(float(end).is_integer() for end in (low, high, *(() if step is None else (step,))))
    if kind == "int_uniform" or (step is not None and whole):
        low, high = int(low), int(high)
    elif kind is not None:
        low, high = float(low), float(high)
    if kind == "inv_log_uniform_values":
        notes.append(f"{key}: drawn evenly in its logarithm, not in that of its inverse.")
    if log and step is not None:
        notes.append(f"{key}: q is not used where the range is logarithmic.")
    if log or step is None or kind == "int_uniform":
        return {"low": low, "high": high, **({"log": True} if log else {})}
    return {"low": low, "high": high, "step": int(step) if whole else float(step)}


def _number(where: str, value: Any) -> Any:
    """YAML takes 1e-4, which lacks a point, for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(value, bool | str | list | Mapping):
        raise ConfigError(f"{where}: {value!r} is not a number.")
    return value


def _text(value: Any) -> str:
    """A value as an override."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(coded(value))
