"""Forecast: predictive quantiles of a batch of issue times, never crossing, always within 0 and capacity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import Interval, Times
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.errors import TaskError

Array = NDArray[np.float32]


class Rung(IntEnum):
    """What a forecast stands on, from everything down to nothing."""

    FRESH = 0
    OLDER_RUN = 1
    NO_WEATHER = 2
    NO_POWER = 3
    NOTHING = 4

    @property
    def sentence(self) -> str:
        return {
            Rung.FRESH: "all inputs fresh",
            Rung.OLDER_RUN: "the newest weather run is missing; an older one is used",
            Rung.NO_WEATHER: "no weather forecast; from recent power alone",
            Rung.NO_POWER: "no recent power; from weather alone",
            Rung.NOTHING: "neither weather nor recent power; from the time of year alone",
        }[self]


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """Quantiles of the power of B issue times.

    issue_times [B] datetime64[us] UTC.  values [B, H, Q] MW at task.levels, ascending in Q, within 0 and capacity.
    rung [B, H]: see Rung.  reanalysis: the weather was never a forecast, and neither is what follows from it.
    """

    task: ForecastTask
    issue_times: Times
    values: Array
    rung: NDArray[np.int8]
    reanalysis: bool = False

    @classmethod
    def of(cls, windows: Windows, values: NDArray[np.floating], rung: NDArray[np.int8]) -> "Forecast":
        """From raw quantiles [B, H, Q] in MW: sorted and clipped. Raises TaskError if one is not a number."""
        return cls(
            task=windows.task,
            issue_times=windows.issue_times,
            values=_bounded(values, windows.task, len(windows)),
            rung=rung,
            reanalysis=windows.reanalysis,
        )

    def with_values(self, values: NDArray[np.floating]) -> "Forecast":
        """The same issue times on the same rungs with other raw quantiles, as `of`."""
        return replace(self, values=_bounded(values, self.task, len(self)))

    def __len__(self) -> int:
        return len(self.issue_times)

    @property
    def valid_times(self) -> Times:
        """[B, H] ends of the intervals forecast."""
        step = np.timedelta64(self.task.resolution, "us")
        return self.issue_times[:, None] + step * np.arange(1, self.task.horizon + 1)

    @property
    def levels(self) -> NDArray[np.float64]:
        return np.array(self.task.levels)

    def quantile(self, level: float) -> Array:
        """[B, H] MW at any level: interpolated between the forecast's levels, constant beyond the outermost."""
        return self.quantiles((level,))[..., 0]

    def quantiles(self, levels: Sequence[float]) -> Array:
        """[B, H, len(levels)] MW: `quantile` of each level."""
        place = np.interp(levels, self.levels, np.arange(len(self.levels)))
        low = place.astype(np.int64)
        high = np.minimum(low + 1, len(self.levels) - 1)
        share = (place - low).astype(np.float32)
        if not share.any():
            return self.values[..., low]
        mixed: Array = self.values[..., low] * (1 - share) + self.values[..., high] * share
        return mixed

    @property
    def median(self) -> Array:
        return self.quantile(0.5)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> "Forecast":
        return replace(self, issue_times=self.issue_times[rows], values=self.values[rows], rung=self.rung[rows])

    @classmethod
    def concatenate(cls, parts: "Sequence[Forecast]") -> "Forecast":
        first = parts[0]
        if any(p.task != first.task for p in parts):
            raise TaskError("forecasts of different tasks cannot be joined.")
        return replace(
            first,
            issue_times=np.concatenate([p.issue_times for p in parts]),
            values=np.concatenate([p.values for p in parts]),
            rung=np.concatenate([p.rung for p in parts]),
        )

    def to_frame(self, levels: Sequence[float] | None = None, *, interval: Interval = "end") -> pl.DataFrame:
        """One row an issue time and lead: issue_time, valid_time, lead_minutes, inputs, and `q…` in MW for each level.

        interval: whether valid_time marks the end or the start of the interval. lead_minutes always runs to its end.
        """
        wanted = self.task.levels if levels is None else tuple(levels)
        batch, horizon = self.rung.shape
        minutes = self.task.resolution.total_seconds() / 60
        shift = np.timedelta64(self.task.resolution, "us") if interval == "start" else np.timedelta64(0, "us")
        frame = pl.DataFrame(
            {
                "issue_time": np.repeat(self.issue_times, horizon),
                "valid_time": (self.valid_times - shift).ravel(),
                "lead_minutes": np.tile(np.arange(1, horizon + 1) * minutes, batch),
                "inputs": [Rung(r).name.lower() for r in self.rung.ravel().tolist()],
            }
            | {column_of(level): self.quantile(level).ravel() for level in wanted}
        )
        return frame.with_columns(pl.col("issue_time", "valid_time").dt.replace_time_zone("UTC"))


def _bounded(values: NDArray[np.floating], task: ForecastTask, count: int) -> Array:
    expected = (count, task.horizon, len(task.levels))
    if values.shape != expected or not np.isfinite(values).all():
        raise TaskError(f"quantiles have shape {values.shape} or gaps; finite values of {expected} are due.")
    ordered = values.astype(np.float32, copy=False)
    if (ordered[..., 1:] < ordered[..., :-1]).any():
        ordered = np.sort(ordered, axis=-1)
    return np.clip(ordered, 0, np.float32(task.capacity_mw))


def column_of(level: float) -> str:
    """Column name of a quantile level: 0.05 is `q05`, 0.5 is `q50`, 0.005 is `q00_5`, 0.975 is `q97_5`."""
    whole, _, rest = f"{level * 100:.6f}".rstrip("0").partition(".")
    return f"q{int(whole):02d}" + (f"_{rest}" if rest else "")


RECENT = 3  # steps by which power may be later than usual and still count as recent


def rungs(windows: Windows, usual_age: NDArray[np.floating], *, usual_lag: int = 0) -> NDArray[np.int8]:
    """[B, H] Rung of every lead, given the hours [H] since its weather run usually arrived, and power's usual lag.

    Power is recent if it is less than RECENT steps later than usual; a task without history never misses it.
    """
    history, expects_weather = windows.task.history, bool(windows.variables)
    weather = np.isfinite(windows.weather[:, windows.future]).any(axis=-1)
    stale = weather & (windows.weather_age[:, windows.future] > usual_age + 1e-3)
    power = (power_lag(windows) < usual_lag + RECENT)[:, None] | (not history)
    rung = np.where(stale, Rung.OLDER_RUN, Rung.FRESH)
    rung = np.where(~weather & expects_weather, Rung.NO_WEATHER, rung)
    rung = np.where(~power, Rung.NO_POWER, rung)
    nothing = ~weather & (~power | (expects_weather and not history))
    return np.where(nothing, Rung.NOTHING, rung).astype(np.int8)


def power_lag(windows: Windows) -> NDArray[np.int64]:
    """[B] steps from the newest known power to the issue time; beyond any usual lag where none is known."""
    known = np.isfinite(windows.power)
    none = known.shape[1] + RECENT
    return (
        np.where(known.any(axis=1), np.argmax(known[:, ::-1], axis=1), none)
        if known.shape[1]
        else np.full(len(windows), none)
    )
