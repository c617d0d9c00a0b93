"""A bundle at work: the forecast that its model makes of a farm's data as they stand.

Online calibration learns from every hour that has passed. A forecast therefore goes on from the memory of the one
before it, or catches up from the end of training; either way it is a function of bundle, data and memory alone, so it
can be made again to the bit.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zipfile import BadZipFile

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import KEYS, FarmData, Times
from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError
from windcast.models import quantiles
from windcast.models.calibration import Calibrated, LevelMap
from windcast.models.forecast import Forecast, Rung
from windcast.registry.bundles import Bundle

CATCH_UP = timedelta(days=60)

Predict = Callable[[Windows], Forecast]


@dataclass(frozen=True, eq=False)
class Memory:
    """What online calibration remembers after the forecast of `issue_time`; `since` which it has followed all of them.

    inner [H, A] and seen [L] as in `calibration.LevelMap`; the forecasts it also holds are made again from the data.
    """

    issue_time: datetime
    since: datetime
    inner: NDArray[np.float64]
    seen: NDArray[np.int64]

    def to_bytes(self) -> bytes:
        content = io.BytesIO()
        times = np.array([_us(self.issue_time), _us(self.since)])
        np.savez(content, times=times, inner=self.inner, seen=self.seen)
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Memory":
        """Raises BundleError if this is not what `to_bytes` wrote."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                issue, since = (time.replace(tzinfo=UTC) for time in stored["times"].astype("datetime64[us]").tolist())
                return cls(issue, since, stored["inner"], stored["seen"])
        except (ValueError, OSError, EOFError, KeyError, AttributeError, BadZipFile) as error:
            raise BundleError(f"the stored calibration cannot be read ({error!r}). Issue without it.") from None


def forecast(
    bundle: Bundle, farm: FarmData, issue_time: datetime | None = None, *, predict: Predict | None = None
) -> tuple[Forecast, datetime]:
    """The forecast of one issue time (default: the last at which power is known), and that time.

    predict: see `advance`. Raises DataContractError where the farm's data are not what the model was trained on.
    """
    issue = issue_time or farm.power.drop_nulls("power_mw")["time"][-1] + farm.power_delay
    issue = floor(issue, farm.resolution)
    return advance(bundle, fitting(bundle, farm), issue, predict=predict)[0], issue


def advance(
    bundle: Bundle, farm: FarmData, issue: datetime, memory: Memory | None = None, *, predict: Predict | None = None
) -> tuple[Forecast, Memory | None]:
    """The forecast of one issue time on the grid, and the memory after it (None where nothing is learned).

    Online calibration first catches up, at most 60 days: forecasts are made for the issue times since `memory`, or
    since training, and compared with the power that has arrived. farm: as `fitting` gives it.
    predict: the model's own, or one that answers the same from a cache.
    """
    forecaster = bundle.forecaster
    if not isinstance(forecaster, Calibrated):
        windows = build_windows(farm, forecaster.task, np.array([_us(issue)])).without_target()
        return (predict or forecaster.predict)(windows), None
    task, made = forecaster.task, predict or forecaster.model.predict
    since = max(_begin(bundle, farm, issue) if memory is None else memory.issue_time, issue - CATCH_UP)
    times = grid(since, issue, task.resolution)
    if not len(times):
        times = np.array([_us(issue)])
    before = _remembered(memory, task.horizon + task.history, task.resolution)
    windows = build_windows(farm, task, np.concatenate([before, times])).without_target()
    inner = made(windows)
    if memory is not None:
        forecaster = _resumed(forecaster, memory, inner.take(slice(0, len(before))))
    fresh = slice(len(before), None)
    result, after = forecaster.calibrate(inner.take(fresh), windows.take(fresh))
    return result.take(slice(-1, None)), Memory(
        issue, since if memory is None else memory.since, after.state.inner, after.state.seen
    )


def out_of_sample(bundle: Bundle, farm: FarmData, times: Times) -> Forecast:
    """The forecasts of ascending issue times [B] on the grid, as production would have made them one after another.

    Online calibration goes on from the end of training, or from 60 days before the first of them.
    Raises DataContractError where the farm's data are not what the model was trained on.
    """
    known = fitting(bundle, farm)
    forecaster, every = bundle.forecaster, times
    if isinstance(forecaster, Calibrated):
        first, last = (time.astype("datetime64[us]").item().replace(tzinfo=UTC) for time in (times[0], times[-1]))
        since = max(_begin(bundle, known, first), first - CATCH_UP)
        every = np.union1d(grid(since, last, forecaster.task.resolution), times)
    windows = build_windows(known, forecaster.task, every).without_target()
    made, _ = forecaster.step(windows)
    return made.take(np.isin(every, times))


def _begin(bundle: Bundle, farm: FarmData, issue: datetime) -> datetime:
    """Where there is something to learn from: after training, and after the farm's first row."""
    return issue if farm.power.is_empty() else max(bundle.trained_until, farm.start)


def reach(bundle: Bundle, issue: datetime, memory: Memory | None = None) -> datetime:
    """The earliest time of which `advance` may look at power or weather."""
    task = bundle.forecaster.task
    since = issue
    if isinstance(bundle.forecaster, Calibrated):
        since = bundle.trained_until if memory is None else memory.issue_time
        since = min(issue, max(since, issue - CATCH_UP))
        if memory is not None:
            since = min(since, memory.issue_time - (task.horizon + task.history) * task.resolution)
    return since - (max(task.history, task.weather_history) + 1) * task.resolution


def _remembered(memory: Memory | None, steps: int, resolution: timedelta) -> Times:
    """The issue times whose forecasts the memory holds."""
    if memory is None:
        return np.empty(0, "datetime64[us]")
    return grid(max(memory.since, memory.issue_time - steps * resolution), memory.issue_time, resolution)


def _resumed(forecaster: Calibrated, memory: Memory, inner: Forecast) -> Calibrated:
    """The calibrated forecaster as it stood after the forecast that left `memory`."""
    task = forecaster.task
    state = LevelMap.start(task)
    if memory.inner.shape != state.inner.shape or memory.seen.shape != state.seen.shape:
        raise BundleError("the stored calibration is of another model. Issue without it.")
    extended = quantiles.with_ends(inner.values, inner.levels, capacity_mw=task.capacity_mw)
    extended[inner.rung != Rung.FRESH] = np.nan
    steps = inner.issue_times.astype(np.int64) // np.timedelta64(task.resolution, "us").astype(np.int64)
    places = steps % len(state.issue_steps)
    state.issue_steps[places], state.issued[places] = steps, extended
    state.inner, state.seen = memory.inner, memory.seen
    resumed = Calibrated(forecaster.config)
    resumed.__dict__ |= forecaster.__dict__ | {"state": state}
    return resumed


def fitting(bundle: Bundle, farm: FarmData) -> FarmData:
    """The farm as the bundle knows it: without any weather its variables are there, all unknown, so a forecast comes.

    Raises DataContractError where the farm's data are not what the model was trained on.
    """
    contract = bundle.manifest["contract"]
    if not farm.weather.is_empty() or contract["weather_kind"] == "none":
        bundle.check_farm(farm)
        return farm
    rest = {key: value for key, value in contract.items() if key not in ("variables", "weather_kind")}
    replace(bundle, manifest=bundle.manifest | {"contract": rest}).check_farm(farm)
    nothing = dict.fromkeys(KEYS, pl.Datetime("us", "UTC")) | dict.fromkeys(contract["variables"], pl.Float64)
    return replace(farm, weather=pl.DataFrame(schema=nothing))


def recent_power(farm: FarmData, forecast: Forecast, *, steps: int = 48) -> tuple[Times, NDArray[np.float32]]:
    """Times [N] and MW [N] of the power that was known when a single forecast was issued, the last `steps` of it."""
    task = replace(forecast.task, history=steps)
    windows = build_windows(farm, task, forecast.issue_times[:1])
    step = np.timedelta64(task.resolution, "us")
    return windows.issue_times[0] + step * np.arange(1 - steps, 1), windows.power[0]


def grid(after: datetime, until: datetime, step: timedelta) -> Times:
    """Every time of the grid of `step` in (after, until]."""
    width = np.timedelta64(step, "us")
    return np.arange(_us(floor(after, step)) + width, _us(until) + width, width)


def floor(time: datetime, step: timedelta) -> datetime:
    """The last time of the grid of `step`, which begins at midnight UTC, that is not after `time`."""
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (time - midnight) // step * step


def _us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")
