"""The Hydra tree, composed into plain settings; an unknown key is an error that names the nearest known one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from windcast.data import sources
from windcast.data.farm import FarmData
from windcast.data.task import ForecastTask
from windcast.errors import ConfigError, unknown_name
from windcast.evaluation.backtest import Plan
from windcast.models.base import MODELS, model_class

GROUPS = ("data", "task", "model", "calibration")
SHARED = {"seed": "${seed}", "threads": "${threads}"}

# Pools by name: member -> weight and the keys in which it differs from its model's defaults.
POOLS: dict[str, dict[str, tuple[float, dict[str, Any]]]] = {
    "pool": {"mlp": (0.65, {}), "gbm": (0.35, {})},
    "gefcom": {
        "gbm": (0.5, {"rounds": 150, "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 30}),
        "forest": (0.5, {}),
    },
}


@dataclass(frozen=True)
class Settings:
    """A resolved configuration. `document` is all of it, as plain values, and what is kept with every result."""

    document: dict[str, Any]

    @property
    def model_name(self) -> str:
        return str(self.document["model_choice"])

    def farm(self) -> FarmData:
        options = dict(self.document["data"])
        return sources.load(
            options.pop("source"), {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        )

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
        models = {name: default_of(name) for name in self.document["backtest"]["against"]}
        models[self.model_name] = self.document["model"]
        if self.document["calibration"]["name"] != "none":
            models[f"{self.model_name}, calibrated"] = self.forecaster()
        return models

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


def settings(overrides: Sequence[str] = ()) -> Settings:
    """The tree with overrides such as `data=klim`, `model=gbm`, `model.num_leaves=31`.

    Raises ConfigError for an unknown group choice or key, naming the nearest known one, and for what Hydra cannot read.
    """
    _register()
    GlobalHydra.instance().clear()
    with initialize_config_module("windcast.configs", version_base="1.3"):
        chosen = [o for o in overrides if o.partition("=")[0] in GROUPS]
        for override in overrides:
            key, found, value = override.partition("=")
            if not found:
                raise ConfigError(f"'{override}' is not key=value. For example: data=klim model.num_leaves=31.")
            if key in GROUPS and value not in _choices(key):
                raise ConfigError(unknown_name(key, value, _choices(key)))
        base = _composed(chosen)
        known = _leaves(base)
        for override in overrides:
            key = override.partition("=")[0].lstrip("+~")
            if key not in GROUPS and key not in known and OmegaConf.select(base, key) is None:
                near = [k for k in known if k.rpartition(".")[0] == key.rpartition(".")[0]]
                raise ConfigError(unknown_name("key", key, near or known))
        config = _composed(list(overrides))
    document = OmegaConf.to_container(config, resolve=True)
    assert isinstance(document, dict)
    picked = [o.partition("=")[2] for o in overrides if o.startswith("model=")]
    default = "gefcom" if document["data"]["source"] == "gefcom2014" else "pool"
    document["model_choice"] = picked[-1] if picked else default
    return Settings({str(k): v for k, v in document.items()})


def default_of(name: str) -> dict[str, Any]:
    """A model's name and default keys."""
    return {"name": name, **asdict(model_class(name).Config())}


def _register() -> None:
    store = ConfigStore.instance()
    for name in MODELS:
        if name not in ("pool", "calibrated"):
            store.store(group="model", name=name, node=_node(name, {}))
    for pool, members in POOLS.items():
        nodes = {name: _node(name, changed) for name, (_, changed) in members.items()}
        weights = {name: weight for name, (weight, _) in members.items()}
        store.store(group="model", name=pool, node={"name": "pool", "members": nodes, "weights": weights})


def _node(name: str, changed: dict[str, Any]) -> dict[str, Any]:
    """A model's keys, its seed and threads tied to the top of the tree."""
    config = model_class(name).Config
    shared = {k: v for k, v in SHARED.items() if k in {f.name for f in fields(config)}}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in default_of(name).items()}
    return plain | shared | changed


def _choices(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return [str(choice) for choice in loader.get_group_options(group)]


def _composed(overrides: list[str]) -> DictConfig:
    try:
        return compose("config", overrides=overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"configuration: {str(error).splitlines()[0]}") from None


def _leaves(config: DictConfig, prefix: str = "") -> list[str]:
    names = []
    for key, value in config.items_ex(resolve=False):
        name = f"{prefix}{key!s}"
        names += _leaves(value, f"{name}.") if isinstance(value, DictConfig) else [name]
    return names


def _time(value: Any, key: str) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        raise ConfigError(f"{key} is '{value}'; give a UTC time such as 2015-07-01 or 2015-07-01T06:00.") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _hours(value: float, farm: FarmData) -> timedelta:
    return max(timedelta(hours=value), farm.resolution)


def _truncated(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
