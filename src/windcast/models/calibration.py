"""Online adaptive conformal calibration around any forecaster.

Each lead and level keeps the inner level that has lately covered as often as it should: after every arriving truth y,
    g ← g + rate × (level − 1{y ≤ Q_inner(g)})
(adaptive conformal inference, Gibbs & Candès 2021, arXiv:2106.00170), so coverage is right in the long run as far as
the inner quantiles reach, with their ends (see quantiles.with_ends). Truth comes from the windows' own past power, thus
never before it was known.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
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

MOST_ANCHORS = 21
ROWS = 8  # issue times renamed together, to stay in the cache
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

    inner [H, A]: the inner model's level that stands for each of the anchors.
    issued [P, H, Q + 2]: inner quantile functions of the last P = H + L steps, at row (issue step modulo P); NaN where
    inputs were missing. issue_steps [P]: which step that is, −1 for none.
    seen [L]: steps whose power has been absorbed, −1 for none, at (step modulo L).
    """

    inner: Floats
    issued: NDArray[np.float32]
    issue_steps: NDArray[np.int64]
    seen: NDArray[np.int64]

    @classmethod
    def start(cls, task: ForecastTask) -> "LevelMap":
        """Nothing changed, nothing issued."""
        reach = task.horizon + task.history
        return cls(
            np.tile(anchors(task), (task.horizon, 1)),
            np.full((reach, task.horizon, len(task.levels) + 2), np.nan, np.float32),
            np.full(reach, -1, np.int64),
            np.full(task.history, -1, np.int64),
        )

    def copy(self) -> "LevelMap":
        return LevelMap(self.inner.copy(), self.issued.copy(), self.issue_steps.copy(), self.seen.copy())


def anchors(task: ForecastTask) -> Floats:
    """[A] levels whose calibration is followed, at most MOST_ANCHORS of the task's; those between follow them."""
    return _anchors(task.levels)


@lru_cache
def _anchors(levels: tuple[float, ...]) -> Floats:
    places = np.linspace(0, len(levels) - 1, min(MOST_ANCHORS, len(levels)))
    chosen: Floats = np.array(levels)[np.unique(np.rint(places).astype(int))]
    chosen.flags.writeable = False
    return chosen


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
        forecaster.task, forecaster.variables = model.task, model.variables
        forecaster.usual_age, forecaster.usual_lag = model.usual_age, model.usual_lag
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

    def apply(self, inner: Forecast) -> Forecast:
        """Calibrated forecasts of independent issue times, in any order, from the inner model's.

        Each gets the level map as it stands: nothing is learned from one for another. Of a single issue time whose
        window brings no truth that the map has not seen, it is the forecast of `step`, to the bit.
        """
        if not (self._learns or self._moved):
            return inner
        extended, fresh = self._extended(inner)
        values = _renamed(extended, self.state.inner[None].astype(np.float32), self.task)
        values[~fresh] = inner.values[~fresh]
        return inner.with_values(values)

    def _walk(self, inner: Forecast, windows: Windows) -> tuple[Array, LevelMap]:
        """Calibrated quantiles [B, H, Q] and the memory after them: first the truth, then the forecast, in time."""
        task, state = self.task, self.state.copy()
        extended, fresh = self._extended(inner)
        learner = _Learner(task, self.config.rate)
        step = np.timedelta64(task.resolution, "us").astype(np.int64)
        history = np.empty((len(windows), *state.inner.shape), np.float32)
        for row, issue in enumerate((windows.issue_times.astype(np.int64) // step).tolist()):
            if self._learns:
                learner.absorb(state, windows.power[row], issue)
            history[row] = state.inner
            place = issue % len(state.issue_steps)
            state.issue_steps[place] = issue
            state.issued[place] = extended[row]
        if not (self._learns or self._moved):
            return inner.values, state
        values = _renamed(extended, history, task)
        values[~fresh] = inner.values[~fresh]
        return values, state

    def _extended(self, inner: Forecast) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Inner quantile functions [B, H, Q + 2], NaN where inputs were missing, and where they were not [B, H]."""
        levels = np.array(self.task.levels)
        extended = quantiles.with_ends(inner.values, levels, capacity_mw=self.task.capacity_mw)
        fresh = inner.rung == Rung.FRESH
        extended[~fresh] = np.nan
        return extended, fresh

    @property
    def _learns(self) -> bool:
        return bool(self.task.history and self.config.rate)

    @property
    def _moved(self) -> bool:
        return bool((self.state.inner != anchors(self.task)).any())

    def _save(self, folder: Path) -> None:
        self.model.save(folder / "model")
        state = self.state
        arrays.save(folder, inner=state.inner, issued=state.issued, issue_steps=state.issue_steps, seen=state.seen)

    def _load(self, folder: Path) -> None:
        self.model = load(folder / "model")
        stored = arrays.load(folder)
        self.state = LevelMap(stored["inner"], stored["issued"], stored["issue_steps"], stored["seen"])


class _Learner:
    """One issue time's lesson: every power value of its window that was not known before moves the map."""

    def __init__(self, task: ForecastTask, rate: float) -> None:
        self.rate, self.capacity_mw = rate, task.capacity_mw
        self.anchors = anchors(task)
        self.up, self.down = rate * self.anchors, rate * (self.anchors - 1)  # moves where truth was above, or not
        self.scale = _Scale.of(task.levels)
        self.leads = np.arange(1, task.horizon + 1)
        self.back = np.arange(1 - task.history, 1)

    def absorb(self, state: LevelMap, power: NDArray[np.float32], issue: int) -> None:
        steps = issue + self.back
        slots = steps % len(steps)
        arrived = np.flatnonzero(np.isfinite(power) & (state.seen[slots] != steps))
        if not len(arrived):
            return
        state.seen[slots[arrived]] = steps[arrived]
        issues = steps[arrived, None] - self.leads
        places = issues % len(state.issue_steps)
        for truth, at, known in zip(power[arrived], places, state.issue_steps[places] == issues, strict=True):
            if known.all():
                self._learn(state, float(truth), at, slice(None))
            elif known.any():
                self._learn(state, float(truth), at, np.flatnonzero(known))

    def _learn(self, state: LevelMap, truth: float, places: NDArray[np.int64], row: NDArray[np.int64] | slice) -> None:
        """The truth of one step against all that was issued for it: at leads `row` + 1, kept at `places` [H]."""
        inner, functions = state.inner[row], (places * len(self.leads) + self.leads - 1)[row]
        issued = state.issued.reshape(-1, self.scale.last + 1)
        covered_at = _apply(issued, inner, self.scale, functions)
        if 0 < truth < self.capacity_mw:
            move = np.where(truth <= covered_at, self.down, self.up)
        else:
            move = self.rate * (self.anchors - self._covered(truth, covered_at, inner, issued[functions]))
        missing = np.isnan(covered_at[:, 0])
        if missing.any():
            move[missing] = 0
        move += inner
        np.maximum(move, 1e-4, out=move)
        state.inner[row] = np.minimum(move, 1 - 1e-4, out=move)

    def _covered(
        self, truth: float, covered_at: NDArray[np.floating], inner: Floats, issued: NDArray[np.float32]
    ) -> Floats:
        """[K, A] whether a truth at a bound lay at or below the quantile, as a probability where that is there too.

        The inner forecast may put a mass on 0 or on capacity; a truth there has its level drawn evenly from that mass
        (Czado et al. 2009, doi:10.1111/j.1541-0420.2009.01191.x), of which this is the mean: it does not drive the map.
        """
        covered = (truth <= covered_at).astype(np.float64)
        levels = self.scale.levels
        if truth <= 0:
            mass = levels[np.maximum((issued <= 0).sum(axis=1) - 1, 0)][:, None]
            covered = np.where(covered_at <= 0, np.minimum(inner / np.maximum(mass, 1e-9), 1), covered)
        if truth >= self.capacity_mw:
            start = levels[np.minimum((issued < self.capacity_mw).sum(axis=1), self.scale.last)][:, None]
            share = np.maximum(inner - start, 0) / np.maximum(1 - start, 1e-9)
            covered = np.where(covered_at >= self.capacity_mw, share, covered)
        return covered


def _renamed(extended: NDArray[np.float32], inner: NDArray[np.float32], task: ForecastTask) -> NDArray[np.float32]:
    """[B, H, Q]: each level's quantile taken at the inner level that stands for it; ends stay ends.

    inner [B, H, A], or [1, H, A] where it is the same for all.
    """
    scale, levels = _Scale.of(task.levels), np.array(task.levels)
    places = np.concatenate([[0.0], anchors(task), [1.0]])
    out = np.empty((*extended.shape[:-1], len(levels)), np.float32)

    def wanted(inner: NDArray[np.float32]) -> NDArray[np.float32]:
        ordered = np.maximum.accumulate(inner, axis=-1)
        full = np.concatenate([np.zeros_like(ordered[..., :1]), ordered, np.ones_like(ordered[..., :1])], axis=-1)
        return quantiles.read_off(full, places, levels)

    same = wanted(inner) if len(inner) == 1 else None

    def rename(start: int) -> None:
        rows = slice(start, start + ROWS)
        at = wanted(inner[rows]) if same is None else np.broadcast_to(same, out[rows].shape)
        flat = extended[rows].reshape(-1, extended.shape[-1])
        out[rows] = _apply(flat, at.reshape(len(flat), -1), scale, np.arange(len(flat))).reshape(out[rows].shape)

    starts = range(0, len(extended), ROWS)
    if len(starts) > 1:
        with ThreadPoolExecutor() as workers:
            list(workers.map(rename, starts))
    else:
        list(map(rename, starts))
    return out


class _Scale:
    """The levels at which extended quantile functions are given: 0, the task's, 1."""

    @staticmethod
    @lru_cache
    def of(levels: tuple[float, ...]) -> "_Scale":
        return _Scale(np.array(levels))

    def __init__(self, levels: Floats) -> None:
        self.levels = np.concatenate([[0.0], levels, [1.0]])
        self.places = np.arange(len(self.levels))
        self.last = len(self.levels) - 1
        self.even = bool(np.allclose(self.levels * self.last, self.places))

    def place(self, inner: NDArray[np.floating]) -> NDArray[np.float32]:
        """Where a level lies among these, in steps; without a search if they are evenly spaced."""
        found = inner * self.last if self.even else np.interp(inner, self.levels, self.places)
        return found.astype(np.float32, copy=False)


def _apply(
    extended: NDArray[np.float32], inner: NDArray[np.floating], scale: _Scale, functions: NDArray[np.integer]
) -> Floats:
    """[K, N] quantiles at levels `inner` [K, N] of K of the quantile functions [M, Q + 2], given at `scale`."""
    place = scale.place(inner)
    left = place.astype(np.intp)
    np.minimum(left, scale.last - 1, out=left)
    share: Floats = np.subtract(place, left)  # exact, in float64
    left += (functions * (scale.last + 1))[:, None]
    flat = extended.ravel()
    low = flat.take(left)
    left += 1
    rise = flat.take(left)
    rise -= low
    share *= rise
    share += low
    return share
