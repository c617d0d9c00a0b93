"""Linear pool: the average of the members' distribution functions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windcast.data.windows import Windows
from windcast.errors import ConfigError, unknown_name
from windcast.models import quantiles
from windcast.models.base import Array, Forecaster, build, load
from windcast.models.learned import Learned, Seen, Trees, by_lead_group


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
        self._share_features()

    def _predict(self, windows: Windows) -> Array:
        members = list(self.members.values())
        seen: dict[int, Seen] = {}
        for member in members:
            if isinstance(member, Learned) and id(member.features) not in seen:
                seen[id(member.features)] = Seen(windows, member.features, member.config.threads)
        forests = [member for member in members if isinstance(member, Trees)]
        if len(seen) == 1 and len(forests) == len(members):
            # pooled before an answer goes to all the issue times and leads that it is for
            (one,) = seen.values()
            return by_lead_group(one, lambda group, rows: self._pooled([f.of_rows(group, rows) for f in forests]))
        return self._pooled(
            [m.of_seen(seen[id(m.features)]) if isinstance(m, Learned) else m._predict(windows) for m in members]
        )

    def _pooled(self, values: list[Array]) -> Array:
        weights = np.array([self.config.weights.get(name, 1.0) for name in self.members])
        return quantiles.linear_pool(values, weights, np.array(self.task.levels))

    def _save(self, folder: Path) -> None:
        for name, member in self.members.items():
            member.save(folder / name)

    def _load(self, folder: Path) -> None:
        self.members = {name: load(folder / name) for name in self.config.members}
        self._share_features()

    def _share_features(self) -> None:
        """One object for all members whose features are the same, so that they are made once a forecast."""
        learned = [member for member in self.members.values() if isinstance(member, Learned)]
        for member in learned:
            member.features = next(m.features for m in learned if m.features.same_as(member.features))
