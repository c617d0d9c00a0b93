"""Online calibration: coverage comes back whatever the inner model does, with truth used when it arrives and not before."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small
from scipy.special import ndtri

from windcast.data.farm import FarmData
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.errors import ConfigError
from windcast.evaluation.backtest import replay
from windcast.models.base import Array, Forecaster, build
from windcast.models.calibration import Calibrated, CalibratedConfig, LevelMap
from windcast.models.forecast import Forecast, Rung

CAPACITY = 10.0
SPREAD = 1.5
ORIGIN = datetime(2021, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEVELS = tuple(round(k / 20, 2) for k in range(1, 20))


def told_farm(*, hours: int, low: float = 3.0, high: float = 7.0, seed: int = 0, **changes) -> FarmData:
    """Power is normal around what `told` says of the hour, with SPREAD, and cut off at 0 and capacity."""
    rng = np.random.default_rng(seed)
    told = rng.uniform(low, high, hours)
    power = np.clip(told + SPREAD * rng.standard_normal(hours), 0, CAPACITY)
    times = pl.Series([ORIGIN + k * HOUR for k in range(1, hours + 1)]).dt.cast_time_unit("us")
    given = {
        "name": "told",
        "capacity_mw": CAPACITY,
        "resolution": HOUR,
        "power": pl.DataFrame({"time": times, "power_mw": power}),
        "weather": pl.DataFrame({"valid_time": times, "told": told}).select(
            "valid_time", pl.lit(None, pl.Datetime("us", "UTC")).alias("available_at"), "told"
        ),
        "weather_kind": "reanalysis",
    }
    return FarmData(**(given | changes))


def task_of(**changes) -> ForecastTask:
    given = {"horizon": 1, "history": 6, "weather_history": 1, "levels": LEVELS}
    return ForecastTask(resolution=HOUR, capacity_mw=CAPACITY, **(given | changes))


@dataclass(frozen=True)
class ToldConfig:
    """width: 1 is the truth; below, the bands are too narrow.  shift: MW by which the forecast is too high."""

    width: float = 1.0
    shift: float = 0.0


class Told(Forecaster):
    """Knows what the farm's weather tells: the exact distribution, made wrong on purpose."""

    name = "told"
    Config = ToldConfig

    def _fit(self, windows: Windows) -> None: ...

    def _predict(self, windows: Windows) -> Array:
        told = windows.weather[:, windows.future, 0]
        spread = self.config.width * SPREAD * ndtri(np.array(self.task.levels))
        return np.nan_to_num(told[..., None] + self.config.shift + spread, nan=CAPACITY / 2)

    def _save(self, folder: Path) -> None: ...

    def _load(self, folder: Path) -> None: ...


def around(inner: Forecaster, *, rate: float) -> Calibrated:
    """A calibrated forecaster whose map has learned nothing yet."""
    calibrated = Calibrated(CalibratedConfig(rate=rate))
    calibrated.task, calibrated.variables, calibrated.usual_age = inner.task, inner.variables, inner.usual_age
    calibrated.model, calibrated.state = inner, LevelMap.start(inner.task)
    return calibrated


def told_model(windows: Windows, **config) -> Told:
    return Told(ToldConfig(**config)).fit(windows)


def coverage(forecast: Forecast, windows: Windows, *, last: int) -> float:
    """Share of the last issue times whose truth lies in the 90 % band, by its randomised place where it is at a bound."""
    low, high = forecast.quantile(0.05)[-last:], forecast.quantile(0.95)[-last:]
    truth = windows.target[-last:]
    known = np.isfinite(truth)
    return float(((low <= truth) & (truth <= high))[known].mean())
