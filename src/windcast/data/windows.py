"""Windows: what was known at each issue time. The only code in windcast that decides it.

Backtest, training and production all call `build_windows`, and every feature is made from its result alone,
so no model can look ahead, and a backtest replayed through the live path sees the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.contracts import microseconds, stamps_of
from windcast.data.farm import FarmData, Times
from windcast.data.task import ForecastTask
from windcast.errors import TaskError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

# A target counts for training only if the farm could run freely: below this availability, or with more than this
# share of capacity held back, the power says how the farm was operated and not what the wind gave.
LEAST_AVAILABILITY = 0.98
MOST_CURTAILED = 0.01
ALWAYS = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max

ARRAYS = (
    "issue_times",
    "power",
    "weather",
    "weather_earlier",
    "weather_age",
    "weather_earlier_age",
    "target",
    "free",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """B issue times, each with all that was known at it and nothing else. NaN is the mask of what is missing.

    issue_times [B] datetime64[us], ascending.
    power [B, L] MW: the last column is the mean over the interval that ends at the issue time.
    weather [B, W, V]: newest values available at the issue time; column `weather_history − 1` is the issue time itself.
    weather_earlier [B, W, V]: what the run before that one said of the same hours; NaN where there was none.
    weather_age, weather_earlier_age [B, W]: hours since those runs became available; NaN without one, 0 for reanalysis.
    target [B, H] MW and free [B, H] (the farm was neither curtailed nor unavailable): for fitting and scoring only.
    """

    task: ForecastTask
    variables: tuple[str, ...]
    issue_times: Times
    power: Floats
    weather: Floats
    weather_earlier: Floats
    weather_age: Floats
    weather_earlier_age: Floats
    target: Floats
    free: Bools
    reanalysis: bool = False

    def __len__(self) -> int:
        return len(self.issue_times)

    @property
    def valid_times(self) -> Times:
        """[B, H] ends of the intervals to be forecast."""
        step = np.timedelta64(self.task.resolution, "us")
        return self.issue_times[:, None] + step * np.arange(1, self.task.horizon + 1)

    @property
    def future(self) -> slice:
        """Columns of the weather axis that stand for leads 1 … H."""
        return slice(self.task.weather_history, self.task.weather_history + self.task.horizon)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Windows":
        """The windows of some issue times."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ARRAYS})

    def without_target(self) -> "Windows":
        """The same windows as production sees them."""
        return replace(self, target=np.full_like(self.target, np.nan), free=np.ones_like(self.free))

    def without_power(self) -> "Windows":
        return replace(self, power=np.full_like(self.power, np.nan))

    def without_weather(self) -> "Windows":
        nothing, no_age = np.full_like(self.weather, np.nan), np.full_like(self.weather_age, np.nan)
        return replace(self, weather=nothing, weather_earlier=nothing, weather_age=no_age, weather_earlier_age=no_age)

    def with_earlier_run(self) -> "Windows":
        """As if the newest weather run had not arrived: for future hours the run before it is the newest."""
        late = slice(self.task.weather_history, None)
        arrays = {name: getattr(self, name).copy() for name in ARRAYS if name.startswith("weather")}
        for newest, earlier in (("weather", "weather_earlier"), ("weather_age", "weather_earlier_age")):
            arrays[newest][:, late] = arrays[earlier][:, late]
            arrays[earlier][:, late] = np.nan
        return replace(self, **arrays)

    @classmethod
    def concatenate(cls, parts: "Sequence[Windows]") -> "Windows":
        """Windows of the same task and variables, one after the other (their order is kept, not sorted)."""
        first = parts[0]
        if any(p.task != first.task or p.variables != first.variables for p in parts):
            raise TaskError("windows of different tasks or weather variables cannot be joined.")
        joined: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ARRAYS}
        return replace(first, **joined)


def build_windows(
    farm: FarmData,
    task: ForecastTask,
    issue_times: Sequence[datetime] | Times | None = None,
    *,
    truth_known_at: datetime | None = None,
) -> Windows:
    """What was known at each issue time.

    issue_times: on the farm's grid, UTC; all grid times of the farm when None.
    truth_known_at: the target holds what was known at this time, so a model that is refitted then cannot learn from
        later values; None means all that the farm knows, for scoring.
    Raises TaskError where task and farm do not fit, or an issue time is off the grid.
    """
    if task.resolution != farm.resolution:
        raise TaskError(f"the task steps by {task.resolution}, the farm's data by {farm.resolution}.")
    if task.capacity_mw != farm.capacity_mw:
        raise TaskError(f"the task is for {task.capacity_mw:g} MW, the farm has {farm.capacity_mw:g} MW.")
    step = microseconds(farm.resolution)
    issues = _micros(farm.times if issue_times is None else issue_times)
    if len(issues) and (issues % step).any():
        first = np.datetime64(int(issues[issues % step != 0][0]), "us")
        raise TaskError(f"issue time {first} is off the farm's grid of {farm.resolution}.")
    order = np.argsort(issues, kind="stable")
    issues = issues[order]

    past = issues[:, None] + step * np.arange(1 - task.history, 1)
    ahead = issues[:, None] + step * np.arange(1, task.horizon + 1)
    around = issues[:, None] + step * np.arange(1 - task.weather_history, 1 + task.horizon + task.weather_lookahead)

    power_table = _Versions.of_power(farm)
    power_mw = farm.power["power_mw"].to_numpy().astype(np.float32)
    horizon_known = np.full(len(issues), FOREVER if truth_known_at is None else _one(truth_known_at))
    target = _gather(power_mw, power_table.newest(ahead, horizon_known))

    weather = _weather_as_known(farm, around, issues)
    return Windows(
        task=task,
        variables=farm.variables,
        issue_times=issues.astype("datetime64[us]"),
        power=_gather(power_mw, power_table.newest(past, issues)),
        **weather,
        target=target,
        free=_free(farm, ahead),
        reanalysis=farm.weather_kind == "reanalysis",
    )


@dataclass(frozen=True)
class _Versions:
    """Versions of values by the time they are for, each with the time it became known. All in microseconds.

    Rows are sorted by (time, available); `first[i]` is the first row of grid step i.
    """

    origin: int
    step: int
    first: NDArray[np.int64]
    available: NDArray[np.int64]

    @classmethod
    def of(cls, times: NDArray[np.int64], available: NDArray[np.int64], step: int) -> "_Versions":
        if not len(times):
            return cls(0, step, np.zeros(2, np.int64), np.zeros(0, np.int64))
        origin = int(times[0])
        steps = (times - origin) // step
        first = np.searchsorted(steps, np.arange(steps[-1] + 2))
        return cls(origin, step, first, available)

    @classmethod
    def of_power(cls, farm: FarmData) -> "_Versions":
        times = stamps_of(farm.power["time"])
        if "available_at" in farm.power.columns:
            available = stamps_of(farm.power["available_at"])
        else:
            available = times + microseconds(farm.power_delay)
        return cls.of(times, available, microseconds(farm.resolution))

    def newest(self, times: NDArray[np.int64], known_at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the newest version of each time [B, K] known at [B]; −1 where nothing was known or off this grid."""
        steps, off = np.divmod(times - self.origin, self.step)
        inside = (off == 0) & (steps >= 0) & (steps < len(self.first) - 1)
        steps = np.where(inside, steps, 0)
        low = self.first[steps]
        row = np.where(inside, self.first[steps + 1] - 1, -1)
        row[row < low] = -1
        if not len(self.available):
            return row
        later = np.nonzero((row >= 0) & (self.available[row] > known_at[:, None]))
        while len(later[0]):
            row[later] -= 1
            gone = row[later] < low[later]
            row[tuple(axis[gone] for axis in later)] = -1
            still = ~gone & (self.available[row[later]] > known_at[later[0]])
            later = tuple(axis[still] for axis in later)
        return row

    def before(self, row: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of the version before `row` of the same times; −1 where there is none."""
        steps = np.clip((times - self.origin) // self.step, 0, len(self.first) - 2)
        return np.where((row >= 0) & (row > self.first[steps]), row - 1, -1)


def _weather_as_known(farm: FarmData, times: NDArray[np.int64], issues: NDArray[np.int64]) -> dict[str, Floats]:
    """The four weather arrays of Windows at `times` [B, W].

    Where weather comes on a coarser grid than power, or between its stamps, the two stamps around a time are
    interpolated, both as known at the issue time; directions, and values with one neighbour only, take the earlier.
    """
    valid, available = stamps_of(farm.weather["valid_time"]), stamps_of(farm.weather["available_at"])
    values = np.empty((farm.weather.height, len(farm.variables)), np.float32)
    for place, variable in enumerate(farm.variables):
        values[:, place] = farm.weather[variable].to_numpy()
    fine = microseconds(farm.resolution)
    coarse = max(microseconds(farm.weather_resolution), fine)
    if farm.weather_resolution < farm.resolution:
        kept = valid % fine == 0
        valid, available, values = valid[kept], available[kept], values[kept]
    table = _Versions.of(valid, available, coarse)
    floor = times - (times - table.origin) % coarse
    left = table.newest(floor, issues)
    left_earlier = table.before(left, floor)
    ages = {
        "weather_age": _age(available, left, issues),
        "weather_earlier_age": _age(available, left_earlier, issues),
    }
    if (floor == times).all():
        return {"weather": _gather(values, left), "weather_earlier": _gather(values, left_earlier), **ages}

    share = ((times - floor) / coarse).astype(np.float32)[..., None]
    linear = np.array([not v.startswith("wind_direction") for v in farm.variables])
    right = table.newest(floor + coarse, issues)

    def between(rows: NDArray[np.int64], next_rows: NDArray[np.int64]) -> Floats:
        a, b = _gather(values, rows), _gather(values, next_rows)
        mixed = np.where(share == 0, a, a + share * (b - a))
        return np.where(linear & ~np.isnan(mixed), mixed, a)

    right_earlier = table.before(right, floor + coarse)
    return {"weather": between(left, right), "weather_earlier": between(left_earlier, right_earlier), **ages}


def _gather(values: NDArray[np.float32], row: NDArray[np.int64]) -> Floats:
    if not len(values):
        return np.full((*row.shape, *values.shape[1:]), np.nan, np.float32)
    picked = values[row]
    picked[row < 0] = np.nan
    return picked


def _age(available: NDArray[np.int64], row: NDArray[np.int64], issues: NDArray[np.int64]) -> Floats:
    if not len(available):
        return np.full(row.shape, np.nan, np.float32)
    since = available[row]
    hours = np.where(since == ALWAYS, 0, issues[:, None] - since) / 3.6e9
    return np.where(row < 0, np.nan, hours).astype(np.float32)


def _free(farm: FarmData, times: NDArray[np.int64]) -> Bools:
    """Where the farm could run freely, as known now: it only chooses what a model learns from."""
    free = np.ones(times.shape, bool)
    step = microseconds(farm.resolution)
    for table, column in ((farm.availability, "availability"), (farm.curtailment, "curtailed_mw")):
        if table is None:
            continue
        stamps = stamps_of(table["time"])
        row = _Versions.of(stamps, stamps, step).newest(times, np.full(len(times), FOREVER))
        value = _gather(table[column].to_numpy().astype(np.float32), row)
        bound = MOST_CURTAILED * farm.capacity_mw
        free &= ~(value < LEAST_AVAILABILITY) if column == "availability" else ~(value > bound)
    return free


def _micros(times: Sequence[datetime] | Times) -> NDArray[np.int64]:
    if isinstance(times, np.ndarray):
        return times.astype("datetime64[us]").astype(np.int64)
    return np.array([_one(t) for t in times], np.int64)


def _one(time: datetime) -> int:
    utc = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    return int(np.datetime64(utc, "us").astype(np.int64))
