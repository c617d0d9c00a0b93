"""Gradient-boosted quantiles: LightGBM boosters of the pinball loss at a few levels, joined up in between.

A booster a level and lead group (Koenker & Bassett 1978 for the loss; Ke et al. 2017 for the trees).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windcast.data.windows import Windows
from windcast.errors import ConfigError
from windcast.models import quantiles, trees
from windcast.models.base import Array
from windcast.models.features import Features
from windcast.models.learned import Floats, Trees
from windcast.models.training import lead_groups, lesson, sample


@dataclass(frozen=True)
class GBMConfig:
    """knots: levels that get a booster. max_rows: rows a lead group learns from. missing_share: see training.lesson.

    threads: 0 for all cores.
    """

    knots: tuple[float, ...] = (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)
    rounds: int = 100
    learning_rate: float = 0.07
    num_leaves: int = 15
    min_data_in_leaf: int = 50
    feature_fraction: float = 0.3
    bagging_fraction: float = 0.7
    max_bin: int = 63
    max_rows: int = 60_000
    missing_share: float = 0.03
    seed: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        inside = all(0 < knot < 1 for knot in self.knots)
        if len(self.knots) < 2 or not inside or list(self.knots) != sorted(set(self.knots)):
            raise ConfigError("model.knots must be at least two distinct levels between 0 and 1, ascending.")


class GBM(Trees):
    name = "gbm"
    Config = GBMConfig
    boosters: list[Any]  # [group], each of all knots

    def _fit(self, windows: Windows) -> None:
        config = self.config
        shared = {"seed": config.seed, "threads": config.threads}
        self.features = Features().fit(windows, **shared)
        settings = {
            "objective": "quantile",
            "learning_rate": config.learning_rate,
            "num_leaves": config.num_leaves,
            "min_data_in_leaf": config.min_data_in_leaf,
            "feature_fraction": config.feature_fraction,
            "bagging_fraction": config.bagging_fraction,
            "bagging_freq": 1,
            "max_bin": config.max_bin,
        }
        self.boosters = []
        lessons = sample(windows, most=len(windows), missing_share=config.missing_share, seed=config.seed)
        for leads in lead_groups(self.task):
            rows = lesson(lessons, leads, self.features, most=config.max_rows, threads=config.threads)
            data = trees.dataset(rows.inputs, rows.target, settings, config.threads)
            knots = [settings | {"alpha": knot} for knot in config.knots]
            self.boosters.append(trees.join([trees.boost(data, s, rounds=config.rounds, **shared) for s in knots]))

    def of_rows(self, group: int, inputs: Floats) -> Array:
        knots, levels = np.array(self.config.knots), np.array(self.task.levels)
        at_knots = trees.predict(self.boosters[group], inputs, self.config.threads)
        return quantiles.between_levels(at_knots, knots, levels, capacity_mw=self.task.capacity_mw)

    def _save(self, folder: Path) -> None:
        self.features.save(folder)
        for group, booster in enumerate(self.boosters):
            trees.save(folder / f"group{group}.txt", booster)

    def _load(self, folder: Path) -> None:
        self.features = Features.load(folder)
        self.boosters = [trees.load(folder / f"group{g}.txt") for g in range(len(lead_groups(self.task)))]
