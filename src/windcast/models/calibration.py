"""Online adaptive conformal calibration around any forecaster.

Each lead and level keeps the inner level that has lately covered as often as it should: after every arriving truth y,
    g ← g + rate × (level − 1{y ≤ Q_inner(g)})
(adaptive conformal inference, Gibbs & Candès 2021, arXiv:2106.00170), so coverage is right in the long run as
far as the inner quantiles reach, with their ends (see quantiles.with_ends). Truth comes from the windows' own past power, thus never before it was known.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.errors import ConfigError
from windcast.models import arrays, quantiles
from windcast.models.base import Array, Forecaster, build, load
from windcast.models.forecast import Forecast, Rung

Floats = NDArray[np.float64]

LEAST_HOLDOUT = 200  # issue times; with fewer the level map starts where nothing is changed


@dataclass(frozen=True)
class CalibratedConfig:
    """model: the inner model's own configuration. rate: step of each update, in levels.

    holdout: share of the training span, at its end, on which the level map is warmed up before the inner model is
    fitted again on everything; 0 starts with the identity map.
    """

    model: dict[str, Any] = field(default_factory=lambda: {"name": "gbm"})
    rate: float = 0.002
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 0.5:
            raise ConfigError(f"calibration.rate is {self.rate}; choose 0 (fixed map) to 0.5.")
        if not 0 <= self.holdout < 0.9:
            raise ConfigError(f"calibration.holdout is {self.holdout}; choose a share from 0 to 0.9.")


@dataclass
class LevelMap:
    """The calibrator's memory.

    inner [H, Q]: the inner model's level that stands for each of the task's levels.
    pending: inner quantiles [H, Q + 2] by issue time (µs) until their truth is in, NaN where inputs were missing.
    seen: times (µs) whose power has been absorbed; both forget what is older than the windows reach.
    """

    inner: Floats
    pending: "OrderedDict[int, NDArray[np.float32]]" = field(default_factory=OrderedDict)
    seen: set[int] = field(default_factory=set)

    @classmethod
    def start(cls, task: ForecastTask) -> "LevelMap":
        return cls(np.tile(np.array(task.levels), (task.horizon, 1)))

    def copy(self) -> "LevelMap":
        return LevelMap(self.inner.copy(), OrderedDict(self.pending), set(self.seen))


class Calibrated(Forecaster):
    """A forecaster whose `step` returns one that has learned from the truth that arrived."""

    name = "calibrated"
    Config = CalibratedConfig
    model: Forecaster
    state: LevelMap

    def _fit(self, windows: Windows) -> None:
        self.state = LevelMap.start(self.task)
        cut = int(len(windows) * (1 - self.config.holdout))
        warm_up = windows.take(slice(cut, None))
        if self.task.history and len(warm_up) >= LEAST_HOLDOUT and self.config.rate:
            step = np.timedelta64(self.task.resolution, "us")
            before = windows.issue_times + self.task.horizon * step <= warm_up.issue_times[0]
            self.model = build(self.config.model).fit(windows.take(before))
            _, warmed = self.step(warm_up)
            self.state.inner = warmed.state.inner
        self.model = build(self.config.model).fit(windows)

    @classmethod
    def around(cls, model: Forecaster, config: CalibratedConfig) -> "Calibrated":
        """Around a model that is fitted already, from the identity map: what `fit` gives with holdout 0."""
        forecaster = cls(config)
        forecaster.task, forecaster.variables, forecaster.usual_age = model.task, model.variables, model.usual_age
        forecaster.model, forecaster.state = model, LevelMap.start(model.task)
        return forecaster

    def _predict(self, windows: Windows) -> Array:
        return self.predict(windows).values

    def predict(self, windows: Windows) -> Forecast:
        return self.step(windows)[0]

    def step(self, windows: Windows) -> tuple[Forecast, "Calibrated"]:
        self.check(windows)
        return self.calibrate(self.model.predict(windows), windows)

    def calibrate(self, inner: Forecast, windows: Windows) -> tuple[Forecast, "Calibrated"]:
        """As `step`, from the inner model's forecasts for these windows."""
        values, state = self._walk(inner, windows)
        forecaster = Calibrated(self.config)
        forecaster.__dict__ |= self.__dict__ | {"state": state}
        return Forecast.of(windows, values, inner.rung), forecaster

    def _walk(self, inner: Forecast, windows: Windows) -> tuple[Array, LevelMap]:
        """Calibrated quantiles [B, H, Q] and the memory after them: first the truth, then the forecast, in time."""
        task, rate, state = self.task, self.config.rate, self.state.copy()
        levels = np.array(task.levels)
        scale = np.concatenate([[0.0], levels, [1.0]])
        extended = quantiles.with_ends(inner.values, levels, capacity_mw=task.capacity_mw)
        out = inner.values.copy()
        fresh = inner.rung == Rung.FRESH
        step = int(np.timedelta64(task.resolution, "us").astype(np.int64))
        issues = windows.issue_times.astype(np.int64)
        for row in range(len(windows)):
            issue = int(issues[row])
            if task.history and rate:
                _absorb(state, windows.power[row], issue, step, levels, scale, rate, task.capacity_mw)
            use = fresh[row]
            mapped = _apply(extended[row], np.sort(state.inner, axis=1), scale)
            out[row] = np.where(use[:, None], mapped, out[row])
            state.pending[issue] = np.where(use[:, None], extended[row], np.nan).astype(np.float32)
            oldest = issue - (task.horizon + task.history) * step
            while state.pending and next(iter(state.pending)) < oldest:
                state.pending.popitem(last=False)
        return out, state

    def _save(self, folder: Path) -> None:
        self.model.save(folder / "model")
        issues = np.array(list(self.state.pending), np.int64)
        shape = (0, self.task.horizon, len(self.task.levels) + 2)
        waiting = np.stack(list(self.state.pending.values())) if len(issues) else np.empty(shape, np.float32)
        seen = np.array(sorted(self.state.seen), np.int64)
        arrays.save(folder, inner=self.state.inner, issues=issues, waiting=waiting, seen=seen)

    def _load(self, folder: Path) -> None:
        self.model = load(folder / "model")
        stored = arrays.load(folder)
        pending = OrderedDict(zip(stored["issues"].tolist(), stored["waiting"], strict=True))
        self.state = LevelMap(stored["inner"], pending, set(stored["seen"].tolist()))


def _absorb(
    state: LevelMap,
    power: NDArray[np.float32],
    issue: int,
    step: int,
    levels: Floats,
    scale: Floats,
    rate: float,
    capacity_mw: float,
) -> None:
    """Updates the map with every power value of the window that was not known before."""
    first = issue - (len(power) - 1) * step
    state.seen = {t for t in state.seen if t >= first}
    for column in np.flatnonzero(np.isfinite(power)):
        time = first + int(column) * step
        if time in state.seen:
            continue
        state.seen.add(time)
        leads = [h for h in range(1, len(state.inner) + 1) if time - h * step in state.pending]
        if not leads:
            continue
        row = np.array(leads) - 1
        issued = np.stack([state.pending[time - h * step][h - 1] for h in leads])  # [leads, Q + 2]
        covered_at = _apply(issued, state.inner[row], scale)
        truth = float(power[column])
        error = levels - _covered(truth, covered_at, state.inner[row], issued, scale, capacity_mw)
        error[np.isnan(covered_at)] = 0
        state.inner[row] = np.clip(state.inner[row] + rate * error, 1e-4, 1 - 1e-4)


def _covered(
    truth: float,
    covered_at: NDArray[np.float32],
    inner: Floats,
    issued: NDArray[np.float32],
    scale: Floats,
    capacity_mw: float,
) -> Floats:
    """[K, Q] whether the truth lay at or below the quantile, as a probability where both are at a bound.

    The inner forecast may put a mass on 0 or on capacity; a truth there has its level drawn evenly from that mass
    (Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x), of which this is the mean: a mass does not drive the map.
    """
    covered = (truth <= covered_at).astype(np.float64)
    if truth <= 0:
        mass = scale[np.maximum((issued <= 0).sum(axis=1) - 1, 0)][:, None]
        covered = np.where(covered_at <= 0, np.minimum(inner / np.maximum(mass, 1e-9), 1), covered)
    if truth >= capacity_mw:
        start = scale[np.minimum((issued < capacity_mw).sum(axis=1), len(scale) - 1)][:, None]
        covered = np.where(
            covered_at >= capacity_mw, np.maximum(inner - start, 0) / np.maximum(1 - start, 1e-9), covered
        )
    return covered


def _apply(extended: NDArray[np.floating], inner: Floats, scale: Floats) -> NDArray[np.float32]:
    """[K, Q] quantiles at levels `inner` [K, Q] of quantile functions [K, Q + 2] given at `scale` [Q + 2]."""
    right = np.clip(np.searchsorted(scale, inner, side="right"), 1, len(scale) - 1)
    share = (inner - scale[right - 1]) / (scale[right] - scale[right - 1])
    low = np.take_along_axis(extended, right - 1, axis=1)
    high = np.take_along_axis(extended, right, axis=1)
    mapped: NDArray[np.float32] = (low + share * (high - low)).astype(np.float32)
    return mapped
