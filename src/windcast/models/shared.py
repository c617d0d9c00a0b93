"""A neural network over single hours that several farms share: days ahead, from the weather around each hour.

One trunk learns from all farms; each keeps its own power curve, biases and head, and forecasts alone. Recent power is
not looked at. Trained with PyTorch (extra `deep`), it forecasts with ONNX Runtime alone.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from windcast.data.windows import Windows
from windcast.errors import BundleError, ConfigError, TaskError
from windcast.models import quantiles
from windcast.models.base import Array, Forecaster
from windcast.models.deep import session, shared_inputs
from windcast.models.deep.session import GRAPH, WEIGHTS
from windcast.models.deep.shared_inputs import Sight
from windcast.models.training import nothing_known

CURVES = "training.json"


@dataclass(frozen=True)
class SharedConfig:
    """reach: hours of weather before and after the target. scale: share of capacity that one unit of output moves it.

    seeds: networks whose distributions are averaged. batch: hours, each with all farms. tune_epochs, tune_rate: where
    training goes on from an earlier fit. max_rows: issue times and leads to learn from. profile: tells where the time
    goes. Chosen on the trial tasks 1 to 3 of GEFCom2014.
    """

    reach: int = 10
    hidden: tuple[int, ...] = (192, 192)
    dropout: float = 0.2
    scale: float = 0.2
    seeds: int = 3
    epochs: int = 15
    batch: int = 64
    learning_rate: float = 0.002
    decay: float = 0.01
    tune_epochs: int = 3
    tune_rate: float = 0.001
    max_rows: int = 40_000
    missing_share: float = 0.04
    device: str = "auto"
    profile: bool = False
    seed: int = 6
    threads: int = 0

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise ConfigError(f"model.device is '{self.device}'; choose auto or cpu.")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError("model.hidden must name at least one layer, of at least 1 unit.")
        for key in ("seeds", "epochs", "batch", "tune_epochs", "max_rows"):
            if getattr(self, key) < 1:
                raise ConfigError(f"model.{key} is {getattr(self, key)}; it must be at least 1.")
        for key in ("dropout", "missing_share"):
            if not 0 <= getattr(self, key) < 1:
                raise ConfigError(f"model.{key} is {getattr(self, key):g}; choose a share from 0 to below 1.")
        for key in ("scale", "learning_rate", "tune_rate"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"model.{key} is {getattr(self, key):g}; it must be greater than 0.")
        for key in ("reach", "decay"):
            if getattr(self, key) < 0:
                raise ConfigError(f"model.{key} is {getattr(self, key):g}; it must not be negative.")


class Shared(Forecaster):
    """One farm's part of a shared network. curves: by seed, the training loss of every epoch, shares of capacity."""

    name = "shared"
    Config = SharedConfig
    sight: Sight
    curves: list[list[list[float | None]]]
    profile: str
    graph: bytes
    weights: bytes
    session: Any

    def _fit(self, windows: Windows) -> None:
        _learn([self], [windows], None)

    @classmethod
    def fit_farms(
        cls, windows: Sequence[Windows], config: SharedConfig | None = None, before: "Sequence[Shared] | None" = None
    ) -> list[Self]:
        """One network for several farms, as a forecaster a farm that needs none of the others.

        windows: of each farm, at the same issue times and for the same task but for capacity; a neighbour's wind has
        the same name in all of them. before: the forecasters of an earlier fit of the same farms in the same order,
        from which training goes on with the inputs scaled as they were; their configuration, if none is given.
        Raises TaskError where the farms, or the earlier fit, do not go together or a farm has no known target.
        """
        if config is None:
            config = before[0].config if before else SharedConfig()
        _check_together(windows)
        forecasters = [cls(config) for _ in windows]
        for number, (forecaster, its) in enumerate(zip(forecasters, windows, strict=True)):
            try:
                forecaster._note(its)
            except TaskError as error:
                raise TaskError(f"farm {number + 1}: {error}") from None
        if before is not None:
            _check_before(forecasters, before)
        _learn(forecasters, list(windows), before)
        return forecasters

    def _predict(self, windows: Windows) -> Array:
        """An issue time at a time: so its bits depend on no other, and the network's activations stay in the cache."""
        hours, base = self.sight.inputs(windows)
        found = np.empty((self.config.seeds, *base.shape, len(self.task.levels)), np.float32)
        for row in range(len(base)):
            found[:, row] = self.session.run(None, {"hours": hours[row], "base": base[row]})[0]
        found = np.sort(np.clip(found, 0, 1), axis=-1)
        if len(found) > 1:
            shares = quantiles.linear_pool(list(found), np.ones(len(found)), np.array(self.task.levels))
        else:
            shares = found[0]
        return shares * np.float32(self.task.capacity_mw)

    def _open(self) -> None:
        """Raises ConfigError without ONNX Runtime, ValueError where the graph cannot be run or is for another task."""
        self.session = session.opened(self.graph, model=self.name)
        due = [self.config.seeds, self.task.horizon, len(self.task.levels)]
        found = self.session.get_outputs()[0].shape
        if found != due:
            raise ValueError(f"{GRAPH} forecasts {found} seeds, steps and levels, its task has {due}")

    def _save(self, folder: Path) -> None:
        self.sight.save(folder)
        (folder / GRAPH).write_bytes(self.graph)
        (folder / WEIGHTS).write_bytes(self.weights)
        (folder / CURVES).write_text(json.dumps({"curves": self.curves, "profile": self.profile}, indent=1))

    def _load(self, folder: Path) -> None:
        self.sight = Sight.load(folder)
        self.graph, self.weights = (folder / GRAPH).read_bytes(), (folder / WEIGHTS).read_bytes()
        session.check_weights(self.weights)
        told = json.loads((folder / CURVES).read_text())
        self.curves, self.profile = told["curves"], told["profile"]
        try:
            self._open()
        except ConfigError as error:
            raise BundleError(f"{folder}: {error}") from None


def _learn(forecasters: Sequence[Shared], farms: list[Windows], before: Sequence[Shared] | None) -> None:
    """Teaches one network and gives each forecaster its part of it."""
    try:
        from windcast.models.deep import shared_training, steps
    except ImportError as error:
        raise ConfigError(
            f"model shared is trained with PyTorch, and {error.name} is missing. "
            "Install it with: pip install 'windcast[deep]'"
        ) from None
    config, task = forecasters[0].config, forecasters[0].task
    sights = Sight.fit(farms, config.reach) if before is None else [one.sight for one in before]
    most = max(1, config.max_rows // task.horizon)
    farms = shared_inputs.practised(farms, most=most, missing_share=config.missing_share, seed=config.seed)
    target = np.stack([shared_inputs.target(windows).ravel() for windows in farms], axis=1)
    known = np.isfinite(target).any(axis=1)
    if not known.any():
        raise TaskError(nothing_known(np.arange(1, task.horizon + 1)))
    made = [sight.inputs(windows) for sight, windows in zip(sights, farms, strict=True)]
    hours = np.stack([hours.reshape(-1, hours.shape[-1])[known] for hours, _ in made], axis=1)
    base = np.stack([base.ravel()[known] for _, base in made], axis=1)
    lesson = steps.Lesson({"hours": hours, "base": base}, target[known])
    weights = None if before is None else [one.weights for one in before]
    parts = shared_training.teach(lesson, task, config, weights)
    for forecaster, sight, part in zip(forecasters, sights, parts, strict=True):
        forecaster.sight, forecaster.graph, forecaster.weights = sight, part.graph, part.weights
        forecaster.curves, forecaster.profile = part.curves, part.profile
        forecaster._open()


def _check_together(farms: Sequence[Windows]) -> None:
    if not farms:
        raise TaskError("no farm to learn from. Give the windows of at least one.")
    first = farms[0]
    for number, windows in enumerate(farms[1:], start=2):
        if replace(windows.task, capacity_mw=first.task.capacity_mw) != first.task:
            raise TaskError(
                f"farm {number} has another task than the first. Farms that share a network need the same horizon, "
                "resolution, history, weather and levels; only capacity may differ."
            )
        if not np.array_equal(windows.issue_times, first.issue_times):
            raise TaskError(
                f"farm {number} has {len(windows)} issue times, the first {len(first)}, or they lie elsewhere. "
                "Farms that share a network learn at the same issue times."
            )


def _check_before(forecasters: Sequence[Shared], before: Sequence[Shared]) -> None:
    if len(before) != len(forecasters):
        raise TaskError(f"the earlier fit has {len(before)} farms, this one {len(forecasters)}. Give all in order.")
    for number, (now, then) in enumerate(zip(forecasters, before, strict=True), start=1):
        then._check_fitted()
        if (then.task, then.variables) != (now.task, now.variables):
            raise TaskError(f"farm {number} was fitted earlier for another task or weather. Start without `before`.")
        shape = ("reach", "hidden", "seeds", "scale")
        different = [key for key in shape if getattr(then.config, key) != getattr(now.config, key)]
        if different:
            raise TaskError(f"the earlier fit of farm {number} has another model.{different[0]}. Keep it.")
        if then.sight.places != before[0].sight.places or then.curves != before[0].curves:
            raise TaskError(f"the earlier fit of farm {number} is not of the network that the first farm's is of.")
