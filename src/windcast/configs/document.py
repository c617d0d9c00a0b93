"""A whole configuration as one YAML file, for tools that keep parameters in a file, such as DVC.

It is what `windcast config` prints, less what follows from the rest: a model's seed and threads where they are the
shared ones. A group may stand there by the name of a choice: `model: gbm`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from windcast import configs
from windcast.configs import GROUPS, SHARED, Settings, settings
from windcast.errors import ConfigError
from windcast.models.base import MODELS

ORDER = ("seed", "threads", "tuned_until", "model_choice", "data", "task", "model", "calibration", "backtest")


def read(file: Path, overrides: Sequence[str] = ()) -> Settings:
    """The settings in a file, with overrides such as `data=klim` (that section alone) or `model.num_leaves=31` on top.

    Raises ConfigError naming file and key for what cannot be read, an unknown key, or a wrong or missing value.
    """
    given = configs.pairs(overrides)
    try:
        document = _loaded(file)
        document.setdefault("tracking", os.environ.get(configs.TRACKING, "auto"))
        named = {group: name for group in GROUPS if isinstance(name := document.get(group), str)}
        named |= {key: value for key, value in given.items() if key in GROUPS}
        document |= _chosen(named)
        for section in ("model", "calibration"):
            document[section] = _completed(document.get(section))
        model = document["model"]
        document.setdefault("model_choice", model.get("name") if isinstance(model, dict) else "")
        tree = OmegaConf.create(document)
        for key, value in given.items():
            if key not in GROUPS:
                configs.check_key(tree, key)
                OmegaConf.update(tree, key, _parsed(key, value))
        return configs.verified(configs.resolved(tree))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def to_yaml(chosen: Settings) -> str:
    """The YAML that `read` reads back as equal settings."""
    text: str = yaml.safe_dump(document_of(chosen), sort_keys=False, allow_unicode=True)
    return text


def document_of(chosen: Settings) -> dict[str, Any]:
    """The settings as plain values, without what follows from the rest."""
    document = {key: chosen.document[key] for key in ORDER}
    shared = {key: document[key] for key in SHARED}
    for section in ("model", "calibration"):
        document[section] = _shortened(document[section], shared)
    if document["model_choice"] == document["model"]["name"]:
        del document["model_choice"]
    if document["tuned_until"] is None:
        del document["tuned_until"]
    return document


def _loaded(file: Path) -> dict[str, Any]:
    again = "Write one: windcast config > params.yaml."
    try:
        loaded = OmegaConf.load(file)
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}). {again}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"is no valid YAML{line}. {again}") from None
    if not isinstance(loaded, DictConfig):
        raise ConfigError(f"holds no keys and values. {again}")
    document = OmegaConf.to_container(loaded, resolve=False)
    assert isinstance(document, dict)
    return {str(key): value for key, value in document.items()}


def _chosen(named: Mapping[str, str]) -> dict[str, Any]:
    """The sections that are given by the name of a choice, as the tree has them."""
    if not named:
        return {}
    found = settings([f"{group}={name}" for group, name in named.items()])
    composed = document_of(found) | {"tracking": found.tracking.shown()}
    chosen = {group: composed[group] for group in named}
    return chosen | ({"model_choice": named["model"]} if "model" in named else {})


def _completed(node: Any) -> Any:
    """A model's keys with its defaults where they are not given, and the shared ones by reference."""
    if not isinstance(node, dict) or node.get("name") not in MODELS:
        return node
    known = configs.node(str(node["name"]), {}, SHARED)
    if isinstance(node.get("members"), dict):
        node = node | {"members": {name: _completed(member) for name, member in node["members"].items()}}
    return {key: value for key, value in known.items() if key not in ("members", "model", "weights")} | node


def _shortened(node: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in node.items() if key not in shared or value != shared[key]}
    if "members" in short:
        short["members"] = {name: _shortened(member, shared) for name, member in short["members"].items()}
    return short


def _parsed(key: str, value: str) -> Any:
    try:
        override = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]}") from None
    if override.is_sweep_override():
        raise ConfigError(f"{key}={value} names several values. Give one.")
    return override.value()
