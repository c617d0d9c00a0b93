"""The record that the quality checks look at: power, wind and the farm's power curve on one grid.

This looks back with all that is known today (the newest version of every value), which is right for judging
data and wrong for feeding a model: models see `build_windows` only.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import FarmData, Times
from windcast.data.task import ForecastTask
from windcast.data.windows import LEAST_AVAILABILITY, MOST_CURTAILED, build_windows

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BIN_WIDTH = 0.5  # m/s, the bins of IEC 61400-12-1
# hours: from 24 the median of a bin is known to 0.06 of capacity at worst, from 12 to 0.2 (both Klim)
LEAST_IN_BIN = 24
# a later variable must beat an earlier one's rank correlation by this much: within it they are the same wind
BETTER_WIND = 0.005
LONGEST_LEAD = timedelta(hours=48)
MOST_LEADS = 48
ISSUE_TIMES = 4000  # sampled for the completeness by lead time: the share is then known to ± 1.6 points


@dataclass(frozen=True)
class PowerCurve:
    """What the farm gives in a wind: median and spread of normalised power, a value a bin of wind speed."""

    wind: Array
    median: Array
    low: Array
    high: Array

    LOW_LEVEL = 0.05
    HIGH_LEVEL = 0.95

    @classmethod
    def fit(cls, wind: Array, power: Array, least: int) -> "PowerCurve | None":
        """None where no two bins hold `least` values."""
        usable = np.isfinite(wind) & np.isfinite(power)
        wind, power = wind[usable], power[usable]
        index = (wind / BIN_WIDTH).astype(np.int64)
        order = np.lexsort((power, index))
        index, power, wind = index[order], power[order], wind[order]
        _, first, counts = np.unique(index, return_index=True, return_counts=True)
        kept = counts >= least
        if kept.sum() < 2:
            return None
        rows = [(first[i], counts[i]) for i in np.flatnonzero(kept)]

        def level(q: float) -> Array:
            return np.array([power[start + int(q * (n - 1))] for start, n in rows])

        centre = np.array([wind[start : start + n].mean() for start, n in rows])
        return cls(centre, level(0.5), level(cls.LOW_LEVEL), level(cls.HIGH_LEVEL))

    def at(self, wind: Array, of: str = "median") -> Array:
        """Normalised power [T] at `wind` [T]; NaN where the wind is missing or beyond the curve."""
        values: Array = np.interp(wind, self.wind, getattr(self, of))
        beyond = wind > self.wind[-1] + BIN_WIDTH
        return np.where(np.isnan(wind) | beyond, np.nan, values)


@dataclass(frozen=True, eq=False)
class Record:
    """One row a grid time of the farm [T]; NaN where missing.

    power: normalised, newest version.  wind: m/s, of the variable `wind_name` that power follows best; None
    without one.
    winds: rank correlation of power with every wind speed, NaN without overlap.
    free: no availability or curtailment table says that the farm was held back.
    """

    farm: FarmData
    times: Times
    power: Array
    free: Mask
    wind_name: str | None
    winds: dict[str, float]
    wind: Array
    temperature: Array | None

    @classmethod
    def of(cls, farm: FarmData) -> "Record":
        times = farm.times
        power = _on_grid(farm.power, "time", "power_mw", times) / farm.capacity_mw
        name, winds, wind = _best_wind(farm, times, power)
        temperatures = [v for v in farm.variables if v.startswith("temperature")]
        temperature = _weather(farm, temperatures[0], times) if temperatures else None
        return cls(farm, times, power, _free(farm, times), name, winds, wind, temperature)

    @property
    def step_hours(self) -> float:
        return self.farm.resolution / timedelta(hours=1)

    def steps(self, hours: float) -> int:
        """Number of steps that last `hours`, at least one."""
        return max(round(hours / self.step_hours), 1)

    @cached_property
    def curve(self) -> PowerCurve | None:
        return PowerCurve.fit(self.wind, np.where(self.free, self.power, np.nan), self.steps(LEAST_IN_BIN))

    @cached_property
    def expected(self) -> Array:
        """Normalised power [T] that the curve gives for the wind; NaN without wind."""
        return np.full(len(self.times), np.nan) if self.curve is None else self.curve.at(self.wind)

    @cached_property
    def explained(self) -> float:
        """Correlation of power and curve."""
        usable = np.isfinite(self.power) & np.isfinite(self.expected) & self.free
        return correlation(self.power[usable], self.expected[usable])

    @cached_property
    def month(self) -> NDArray[np.int64]:
        """Month of the year [T], 1 … 12."""
        return self.times.astype("datetime64[M]").astype(np.int64) % 12 + 1

    @cached_property
    def hour(self) -> NDArray[np.int64]:
        """UTC hour of the day in which the interval ends [T], 0 … 23."""
        return self.times.astype("datetime64[h]").astype(np.int64) % 24

    @cached_property
    def lead_completeness(self) -> tuple[Array, Array]:
        """Lead times in hours [H] and the share of issue times [H] at which a model sees the wind for each.

        From `build_windows` at about ISSUE_TIMES issue times spread over the record and over the hours of
        the day.
        NaN without a variable, or where the record is shorter than the leads.
        """
        horizon = min(round(LONGEST_LEAD / self.farm.resolution), MOST_LEADS)
        leads = np.arange(1.0, horizon + 1.0) * self.step_hours
        variables = _winds(self.farm).get(self.wind_name or "", self.farm.variables[:1])
        if not variables:
            return leads, np.full(horizon, np.nan)
        task = ForecastTask(
            horizon=horizon,
            resolution=self.farm.resolution,
            capacity_mw=self.farm.capacity_mw,
            history=0,
            weather_history=1,
        )
        stride = max(len(self.times) // ISSUE_TIMES, 1)
        while np.gcd(stride, round(24 / self.step_hours)) > 1:  # else only some hours of the day would be looked at
            stride += 1
        windows = build_windows(self.farm, task, self.times[:-horizon:stride])
        columns = [windows.variables.index(v) for v in variables]
        if not len(windows):
            return leads, np.full(horizon, np.nan)
        seen: Array = np.isfinite(windows.weather[:, windows.future][..., columns]).astype(np.float64)
        return leads, seen.min(axis=-1).mean(axis=0)


def correlation(a: Array, b: Array) -> float:
    """Pearson's; NaN where either is constant or nothing is there."""
    if len(a) < 2:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    # sums, not dot products: a threaded BLAS on a busy machine took 60 times as long
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else np.nan


def _best_wind(farm: FarmData, times: Times, power: Array) -> tuple[str | None, dict[str, float], Array]:
    """The wind speed whose ranks follow those of power best; u and v components count as their length."""
    scores: dict[str, float] = {}
    best, top, chosen = None, -np.inf, np.full(len(times), np.nan)
    for name, parts in _winds(farm).items():
        wind = np.sqrt(np.sum([_weather(farm, part, times) ** 2 for part in parts], axis=0))
        usable = np.isfinite(wind) & np.isfinite(power)
        scores[name] = correlation(_ranks(wind[usable]), _ranks(power[usable]))
        if best is None or scores[name] > top + BETTER_WIND:
            best, top, chosen = name, float(np.nan_to_num(scores[name], nan=-1.0)), wind
    return best, scores, chosen


def _winds(farm: FarmData) -> dict[str, tuple[str, ...]]:
    """Names of the wind speeds and the variables each is made of, in column order."""
    winds: dict[str, tuple[str, ...]] = {}
    for name in farm.variables:
        other = name.replace("wind_u", "wind_v", 1)
        if name.startswith("wind_speed"):
            winds[name] = (name,)
        elif name.startswith("wind_u") and other in farm.variables:
            winds[f"{name} and {other}"] = (name, other)
    return winds


def _ranks(values: Array) -> Array:
    ranks = np.empty(len(values))
    ranks[np.argsort(values)] = np.arange(len(values))
    return ranks


def _weather(farm: FarmData, variable: str, times: Times) -> Array:
    """Newest version of a variable [T], linear between stamps that are no more than two weather steps
    apart.
    """
    table = farm.weather.group_by("valid_time", maintain_order=True).agg(pl.col(variable).drop_nulls().last())
    stamps = table["valid_time"].to_physical().to_numpy()
    values = table[variable].to_numpy().astype(np.float64)
    known = np.isfinite(values)
    stamps, values = stamps[known], values[known]
    at = times.astype(np.int64)
    if not len(stamps):
        return np.full(len(times), np.nan)
    widest = 2 * max(int(np.median(np.diff(stamps))) if len(stamps) > 1 else 0, 1)
    after = np.clip(np.searchsorted(stamps, at), 0, len(stamps) - 1)
    before = np.maximum(after - 1, 0)
    inside = (at >= stamps[0]) & (at <= stamps[-1]) & (stamps[after] - stamps[before] < widest)
    return np.where((stamps[after] == at) | inside, np.interp(at, stamps, values), np.nan)


def _on_grid(table: pl.DataFrame, key: str, column: str, times: Times) -> Array:
    """The last row of each time, on the grid [T]."""
    rows = (table[key].to_physical().to_numpy() - times[0].astype(np.int64)) // _step(times)
    inside = (rows >= 0) & (rows < len(times))
    values = np.full(len(times), np.nan)
    values[rows[inside]] = table[column].to_numpy()[inside]  # sorted by available_at, so the newest is written last
    return values


def _step(times: Times) -> int:
    return int((times[1] - times[0]).astype(np.int64)) if len(times) > 1 else 1


def _free(farm: FarmData, times: Times) -> Mask:
    free = np.ones(len(times), bool)
    if farm.availability is not None:
        free &= ~(_on_grid(farm.availability, "time", "availability", times) < LEAST_AVAILABILITY)
    if farm.curtailment is not None:
        held = _on_grid(farm.curtailment, "time", "curtailed_mw", times)
        free &= ~(held > MOST_CURTAILED * farm.capacity_mw)
    return free
