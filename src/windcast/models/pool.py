"""Linear pool: the average of the members' distribution functions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windcast.data.windows import Windows
from windcast.errors import ConfigError, unknown_name
from windcast.models import quantiles
from windcast.models.base import Array, Forecaster, build, load


@dataclass(frozen=True)
class PoolConfig:
    """members: a name of one's choice -> a model's own configuration. weights: by that name, equal where not given."""

    members: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"gbm": {"name": "gbm"}, "forest": {"name": "forest"}}
    )
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.members:
            raise ConfigError("model.members is empty; a pool needs at least one member.")
        for name in self.members:
            if not name.isidentifier():  # it becomes a folder of the bundle
                raise ConfigError(f"pool member '{name}': use letters, digits and underscores, as in gbm_2.")
        for name, weight in self.weights.items():
            if name not in self.members:
                raise ConfigError(unknown_name("pool member in model.weights", name, self.members))
            if not 0 <= weight < float("inf"):
                raise ConfigError(f"model.weights.{name} is {weight}; a weight is a number of at least 0.")
        if not sum(self.weights.get(name, 1.0) for name in self.members) > 0:
            raise ConfigError("model.weights are all 0; at least one member must count.")


class Pool(Forecaster):
    name = "pool"
    Config = PoolConfig
    members: dict[str, Forecaster]

    def _fit(self, windows: Windows) -> None:
        self.members = {name: build(config).fit(windows) for name, config in self.config.members.items()}

    def _predict(self, windows: Windows) -> Array:
        values = [member._predict(windows) for member in self.members.values()]
        weights = np.array([self.config.weights.get(name, 1.0) for name in self.members])
        return quantiles.linear_pool(values, weights, np.array(self.task.levels))

    def _save(self, folder: Path) -> None:
        for name, member in self.members.items():
            member.save(folder / name)

    def _load(self, folder: Path) -> None:
        self.members = {name: load(folder / name) for name in self.config.members}
