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
from windcast.data.records import Micros, Records, Versions
from windcast.data.task import ForecastTask
from windcast.errors import TaskError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

# A target counts for training only if the farm could run freely: below this availability, or with more than this
# share of capacity held back, the power says how the farm was operated and not what the wind gave.
LEAST_AVAILABILITY = 0.98
MOST_CURTAILED = 0.01
ALWAYS = int(np.iinfo(np.int64).min)
FOREVER = int(np.iinfo(np.int64).max)

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
    if issue_times is None:
        issue_times = farm.times
    issues = np.sort(_micros(issue_times), kind="stable")
    windows = windows_of(
        farm.records,
        task,
        issues,
        np.zeros(len(issues), np.int64),
        truth_known_at=FOREVER if truth_known_at is None else _one(truth_known_at),
    )
    if farm.availability is None and farm.curtailment is None:
        return windows
    return replace(windows, free=_free(farm, windows.valid_times.astype(np.int64)))


def windows_of(
    records: Records, task: ForecastTask, issues: Micros, farms: Micros, *, truth_known_at: int = FOREVER
) -> Windows:
    """What was known of each farm [B] at each issue time [B], in microseconds, in the order given.

    Raises TaskError where task and records do not fit, or an issue time is off the grid.
    """
    if task.resolution != records.resolution:
        raise TaskError(f"the task steps by {task.resolution}, the farm's data by {records.resolution}.")
    if task.capacity_mw != records.capacity_mw:
        raise TaskError(f"the task is for {task.capacity_mw:g} MW, the farm has {records.capacity_mw:g} MW.")
    step = microseconds(task.resolution)
    off = issues % step != 0
    if off.any():
        raise TaskError(
            f"issue time {np.datetime64(int(issues[off][0]), 'us')} is off the farm's grid of {task.resolution}."
        )
    past = issues[:, None] + step * np.arange(1 - task.history, 1)
    ahead = issues[:, None] + step * np.arange(1, task.horizon + 1)
    around = issues[:, None] + step * np.arange(1 - task.weather_history, 1 + task.horizon + task.weather_lookahead)
    versions = records.power.around(issues, task.history * step, task.horizon * step)
    power, values = _Grid.of(versions, step), versions.values
    return Windows(
        task=task,
        variables=records.variables,
        issue_times=issues.astype("datetime64[us]"),
        power=_gather(values, power.newest(past, farms, issues)),
        **_weather_as_known(records, around, farms, issues),
        target=_gather(values, power.newest(ahead, farms, np.full(len(issues), truth_known_at))),
        free=np.ones(ahead.shape, bool),
        reanalysis=records.weather_kind == "reanalysis",
    )


@dataclass(frozen=True)
class _Grid:
    """Where the versions of a time are found: farms' steps, one farm after the other.

    origin [F], count [F]: of each farm's steps. base [F]: steps before them. first[i]: the first row of step i.
    """

    known: Micros
    step: int
    origin: Micros
    count: Micros
    base: Micros
    first: Micros

    @classmethod
    def of(cls, versions: Versions, step: int) -> "_Grid":
        times, rows = versions.times, versions.rows
        filled = rows[1:] > rows[:-1]
        ends = np.concatenate([times, [0]])  # so that a farm without rows has somewhere to look
        origin = np.where(filled, ends[rows[:-1]], 0)
        count = np.where(filled, (ends[rows[1:] - 1] - origin) // step + 1, 0)
        base = np.cumsum(count) - count
        steps = (times - origin) // step if len(rows) == 2 else (times - (origin - base * step)[versions.farms]) // step
        first = np.searchsorted(steps, np.arange(int(count.sum()) + 2))
        return cls(versions.known, step, origin, count, base, first)

    def newest(self, times: Micros, farms: Micros, known_at: Micros) -> Micros:
        """Row of the newest version of each time [B, K] known at [B]; −1 where nothing was known or off this grid."""
        steps, off = np.divmod(times - self.origin[farms][:, None], self.step)
        inside = (off == 0) & (steps >= 0) & (steps < self.count[farms][:, None])
        steps = np.where(inside, steps + self.base[farms][:, None], 0)
        low = self.first[steps]
        row = np.where(inside, self.first[steps + 1] - 1, -1)
        row[row < low] = -1
        if not len(self.known):
            return row
        later = np.nonzero((row >= 0) & (self.known[row] > known_at[:, None]))
        while len(later[0]):
            row[later] -= 1
            gone = row[later] < low[later]
            row[tuple(axis[gone] for axis in later)] = -1
            still = ~gone & (self.known[row[later]] > known_at[later[0]])
            later = tuple(axis[still] for axis in later)
        return row

    def before(self, row: Micros, times: Micros, farms: Micros) -> Micros:
        """Row of the version before `row` of the same times; −1 where there is none."""
        steps = (times - self.origin[farms][:, None]) // self.step
        steps = np.clip(steps, 0, np.maximum(self.count[farms] - 1, 0)[:, None]) + self.base[farms][:, None]
        return np.where((row >= 0) & (row > self.first[steps]), row - 1, -1)


def _weather_as_known(records: Records, times: Micros, farms: Micros, issues: Micros) -> dict[str, Floats]:
    """The four weather arrays of Windows at `times` [B, W].

    Where weather comes on a coarser grid than power, or between its stamps, the two stamps around a time are
    interpolated, both as known at the issue time; directions, and values with one neighbour only, take the earlier.
    """
    weather, fine = records.weather, microseconds(records.resolution)
    coarse = max(microseconds(records.weather_resolution), fine)
    weather = weather.around(times, coarse, coarse)
    if records.weather_resolution < records.resolution:
        weather = weather.where(weather.times % fine == 0)
    values = weather.values
    grid = _Grid.of(weather, coarse)
    floor = times - (times - grid.origin[farms][:, None]) % coarse
    left = grid.newest(floor, farms, issues)
    left_earlier = grid.before(left, floor, farms)
    ages = {
        "weather_age": _age(weather.known, left, issues),
        "weather_earlier_age": _age(weather.known, left_earlier, issues),
    }
    if (floor == times).all():
        return {"weather": _gather(values, left), "weather_earlier": _gather(values, left_earlier), **ages}

    share = ((times - floor) / coarse).astype(np.float32)[..., None]
    linear = np.array([not v.startswith("wind_direction") for v in records.variables])
    right = grid.newest(floor + coarse, farms, issues)

    def between(rows: Micros, next_rows: Micros) -> Floats:
        a, b = _gather(values, rows), _gather(values, next_rows)
        mixed = np.where(share == 0, a, a + share * (b - a))
        return np.where(linear & ~np.isnan(mixed), mixed, a)

    right_earlier = grid.before(right, floor + coarse, farms)
    return {"weather": between(left, right), "weather_earlier": between(left_earlier, right_earlier), **ages}


def _gather(values: Floats, row: Micros) -> Floats:
    if not len(values):
        return np.full((*row.shape, *values.shape[1:]), np.nan, np.float32)
    picked = values[row]
    picked[row < 0] = np.nan
    return picked


def _age(available: Micros, row: Micros, issues: Micros) -> Floats:
    if not len(available):
        return np.full(row.shape, np.nan, np.float32)
    since = available[row]
    hours = np.where(since == ALWAYS, 0, issues[:, None] - since) / 3.6e9
    return np.where(row < 0, np.nan, hours).astype(np.float32)


def _free(farm: FarmData, times: Micros) -> Bools:
    """Where the farm could run freely, as known now: it only chooses what a model learns from."""
    free = np.ones(times.shape, bool)
    step = microseconds(farm.resolution)
    for table, column in ((farm.availability, "availability"), (farm.curtailment, "curtailed_mw")):
        if table is None:
            continue
        stamps = stamps_of(table["time"])
        values = table[column].to_numpy().astype(np.float32)
        on_file = Versions(stamps, stamps, values, np.array([0, len(stamps)]))
        nobody = np.zeros(len(times), np.int64)
        value = _gather(values, _Grid.of(on_file, step).newest(times, nobody, np.full(len(times), FOREVER)))
        bound = MOST_CURTAILED * farm.capacity_mw
        free &= ~(value < LEAST_AVAILABILITY) if column == "availability" else ~(value > bound)
    return free


def _micros(times: Sequence[datetime] | Times) -> Micros:
    if isinstance(times, np.ndarray):
        return times.astype("datetime64[us]").astype(np.int64)
    return np.array([_one(t) for t in times], np.int64)


def _one(time: datetime) -> int:
    utc = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    return int(np.datetime64(utc, "us").astype(np.int64))
