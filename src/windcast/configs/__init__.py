"""The Hydra tree, composed into plain settings; an unknown key is an error that names the nearest known one."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from windcast.configs import checks
from windcast.data import sources
from windcast.data.farm import FarmData
from windcast.data.task import ForecastTask
from windcast.errors import ConfigError, unknown_name
from windcast.evaluation.backtest import Plan
from windcast.models.base import MODELS, model_class
from windcast.registry.tracking import NOWHERE, Destination

GROUPS = ("data", "task", "model", "calibration", "tracking")
TRACKING = "WINDCAST_TRACKING"  # environment: the choice of `tracking` where none is given
SHARED = {"seed": "${seed}", "threads": "${threads}"}
KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")

NOWCAST: dict[str, dict[str, Any]] = {
    "mlp": {"epochs": 15, "decay": 0.002, "noise": 0.1},
    "gbm": {
        "rounds": 100,
        "learning_rate": 0.1,
        "num_leaves": 31,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.5,
    },
}
# Pools by name: member -> weight and the keys in which it differs from its model's defaults.
POOLS: dict[str, dict[str, tuple[float, dict[str, Any]]]] = {
    # Days ahead, where the weather counts. Chosen on La Haute Borne, March to June 2015.
    "pool": {"gbm": (0.5, {}), "forest": (0.5, {})},
    # The next few steps, where recent power counts. Chosen on the validation period of Klim.
    "nowcast": {"mlp": (0.65, NOWCAST["mlp"]), "gbm": (0.35, NOWCAST["gbm"])},
    # The same with a patch transformer (extra `deep`). Chosen on the validation period of Klim.
    "nowcast_deep": {"mlp": (0.4, NOWCAST["mlp"]), "gbm": (0.2, NOWCAST["gbm"]), "patchtst": (0.4, {})},
    # The weather alone, with the neighbours'. Chosen on the trial tasks 1 to 3 of GEFCom2014.
    "weather": {
        "gbm": (
            0.4,
            {
                "knots": [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98],
                "rounds": 150,
                "learning_rate": 0.05,
                "num_leaves": 31,
                "min_data_in_leaf": 200,
                "feature_fraction": 0.2,
                "bagging_fraction": 0.6,
                "missing_share": 0.0,
            },
        ),
        "forest": (
            0.4,
            {
                "trees": 150,
                "num_leaves": 2000,
                "feature_fraction": 1.0,
                "bagging_fraction": 0.999,
                "max_rows": 40_000,
                "missing_share": 0.0,
            },
        ),
        "mlp": (0.2, {"hidden": [128, 128], "learning_rate": 0.002, "decay": 0.002, "noise": 0.1}),
    },
}


@dataclass(frozen=True)
class Settings:
    """A resolved configuration. `document` is all that a result depends on, as plain values, and is kept with it.

    tracking: where the record of what is done with it goes; nothing computed depends on it.

    Raises ConfigError naming the key where a value is missing, of the wrong type or impossible.
    """

    document: dict[str, Any]
    tracking: Destination = NOWHERE

    def __post_init__(self) -> None:
        object.__setattr__(self, "document", checks.checked(self.document))

    @property
    def model_name(self) -> str:
        return str(self.document["model_choice"])

    def farm(self) -> FarmData:
        return farm_of(self.document["data"])

    def task(self, farm: FarmData) -> ForecastTask:
        given = dict(self.document["task"])
        levels = given.pop("levels")
        if isinstance(levels, int):
            levels = [round((k + 1) / (levels + 1), 6) for k in range(levels)]
        return ForecastTask(resolution=farm.resolution, capacity_mw=farm.capacity_mw, levels=tuple(levels), **given)

    def forecaster(self) -> dict[str, Any]:
        """Configuration of the model with its calibration around it, for `models.base.build`."""
        model, around = self.document["model"], dict(self.document["calibration"])
        return model if around["name"] == "none" else {**around, "model": model}

    def contenders(self) -> dict[str, dict[str, Any]]:
        """The models that a backtest compares: the reference ones, the model, and it again calibrated."""
        models = {name: self._reference(name) for name in self.document["backtest"]["against"]}
        models[self.model_name] = self.document["model"]
        if self.document["calibration"]["name"] != "none":
            models[f"{self.model_name}, calibrated"] = self.forecaster()
        return models

    def _reference(self, name: str) -> dict[str, Any]:
        """A model as the tree has it, with the seed and threads of this configuration."""
        known = [*(m for m in MODELS if m != "calibrated"), *(p for p in POOLS if p not in MODELS)]
        if name not in known:
            raise ConfigError(unknown_name("model in backtest.against", name, known))
        return _choice(name, {key: self.document[key] for key in SHARED})

    def plan(self, farm: FarmData) -> Plan:
        given = self.document["backtest"]
        days = given["refit_every_days"]
        start = _time(given["start"], "backtest.start") or _truncated(farm.start + 0.75 * (farm.end - farm.start))
        return Plan(
            start=start,
            end=_time(given["end"], "backtest.end"),
            refit_every=None if days is None else timedelta(days=days),
            train_from=_time(given["train_from"], "backtest.train_from"),
            issue_every=_hours(given["issue_every_hours"], farm),
            train_every=_hours(given["train_every_hours"], farm),
            issue_offset=timedelta(hours=given["issue_offset_hours"]),
        )


def farm_of(data: Mapping[str, Any]) -> FarmData:
    """The farm that the `data` section of a configuration names. Raises ConfigError for an unknown or wrong key."""
    options = checks.data(data)
    source = options.pop("source")
    return sources.load(source, {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})


def settings(overrides: Sequence[str] = ()) -> Settings:
    """The tree with overrides such as `data=klim`, `model=gbm`, `model.num_leaves=31`.

    Raises ConfigError for an unknown group choice or key, naming the nearest known one, for a value of the wrong type
    or out of range, and for what Hydra cannot read.
    """
    given = pairs(overrides)
    if TRACKING in os.environ:
        given.setdefault("tracking", os.environ[TRACKING])
    _register()
    GlobalHydra.instance().clear()
    with initialize_config_module("windcast.configs", version_base="1.3"):
        for key, value in given.items():
            if key in GROUPS and value not in _choices(key):
                raise ConfigError(unknown_name(key, value, _choices(key)))
        groups = [f"{key}={value}" for key, value in given.items() if key in GROUPS]
        base, model = _composed(*groups), _model_choice(*groups)
        for key in given:
            if key not in GROUPS:
                check_key(base, key)
        config = _composed(*(f"{key}={value}" for key, value in given.items()))
    document = resolved(config)
    document["model_choice"] = model
    return verified(document)


def verified(document: dict[str, Any]) -> Settings:
    """The settings of a document, every contender and time of the backtest checked as well. Raises ConfigError."""
    tracking = checks.tracking(document.pop("tracking"))
    found = Settings(document, tracking)
    found.contenders()
    for key in ("start", "end", "train_from"):
        _time(found.document["backtest"][key], f"backtest.{key}")
    _time(found.document["tuned_until"], "tuned_until")
    return found


def pairs(overrides: Sequence[str]) -> dict[str, str]:
    """Key -> value, each key once. Raises ConfigError for what is not key=value."""
    given: dict[str, str] = {}
    for override in overrides:
        key, found, value = override.partition("=")
        if not found or not KEY.fullmatch(key):
            raise ConfigError(f"'{override}' is not key=value. For example: data=klim model.num_leaves=31.")
        if key in given:
            raise ConfigError(f"'{key}' is given twice: {key}={given[key]} and {override}. Keep one.")
        given[key] = value
    return given


def check_key(base: DictConfig, key: str) -> None:
    """Raises ConfigError if the tree has no value at `key`, naming the nearest of the keys beside it."""
    node, prefix = base, ""
    for part in key.split("."):
        known = [f"{prefix}{name!s}" for name in node] if isinstance(node, DictConfig) else []
        if f"{prefix}{part}" not in known:
            if not known:
                raise ConfigError(f"unknown key '{key}': {prefix.rstrip('.')} is a single value.")
            deeper = [leaf for leaf in _leaves(base) if leaf.endswith(f".{key}")]
            raise ConfigError(unknown_name("key", key, deeper or known))
        node, prefix = node._get_node(part), f"{prefix}{part}."  # type: ignore[assignment]
    if isinstance(node, DictConfig):
        inside = ", ".join(f"{prefix}{name!s}" for name in node)
        raise ConfigError(f"'{key}' is not a single value. Set its keys one by one: {inside}.")


def _leaves(config: DictConfig, prefix: str = "") -> list[str]:
    """Every key that holds a single value, in full."""
    names = []
    for key, value in config.items_ex(resolve=False):
        name = f"{prefix}{key!s}"
        names += _leaves(value, f"{name}.") if isinstance(value, DictConfig) else [name]
    return names


def default_of(name: str) -> dict[str, Any]:
    """A model's name and default keys."""
    return {"name": name, **asdict(model_class(name).Config())}


@cache
def _register() -> None:
    store = ConfigStore.instance()
    for name in (*MODELS, *POOLS):
        if name != "calibrated":
            store.store(group="model", name=name, node=_choice(name, SHARED))


def _choice(name: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    """What `model=name` stands for: a pool, or a model with its own defaults."""
    if name not in POOLS:
        return node(name, {}, shared)
    members = {member: node(member, changed, shared) for member, (_, changed) in POOLS[name].items()}
    return {"name": "pool", "members": members, "weights": {member: w for member, (w, _) in POOLS[name].items()}}


def node(name: str, changed: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """A model's keys; seed and threads, where it has them, are the shared ones."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in default_of(name).items()}
    return plain | {k: v for k, v in shared.items() if k in plain} | changed


def _choices(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return [str(choice) for choice in loader.get_group_options(group)]


@lru_cache(maxsize=32)
def _composed(*overrides: str) -> DictConfig:
    try:
        return compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]}") from None


@lru_cache(maxsize=32)
def _model_choice(*groups: str) -> str:
    return str(compose("config", overrides=list(groups), return_hydra_config=True).hydra.runtime.choices.model)


def resolved(config: DictConfig) -> dict[str, Any]:
    """Plain values, every reference followed. Raises ConfigError where one leads nowhere."""
    try:
        document = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]}") from None
    assert isinstance(document, dict)
    return {str(k): v for k, v in document.items()}


def _time(value: Any, key: str) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{key} is '{value}'; give a UTC time such as 2015-07-01 or 2015-07-01T06:00.") from None


def _hours(value: float, farm: FarmData) -> timedelta:
    return max(timedelta(hours=value), farm.resolution)


def _truncated(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
