"""A made-up farm without a fault, and the arrays of a farm for putting faults in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import FarmData

Array = NDArray[np.float64]

START = datetime(2020, 1, 1, tzinfo=UTC)
CAPACITY_MW = 20.0
KNOWN_AHEAD = timedelta(hours=60)
FINE = 6  # made every 10 minutes


@lru_cache(maxsize=8)
def clean_farm(*, days: int = 400, minutes: int = 60, seed: int = 0) -> FarmData:
    """Power is the mean over the step that ends at its stamp; weather, 60 h ahead, holds at its stamp."""
    rng = np.random.default_rng(seed)
    hours = days * 24 + 1
    fine = np.linspace(0, hours - 1, (hours - 1) * FINE + 1)
    season, day = np.cos(2 * np.pi * fine / 8766), np.cos(2 * np.pi * (fine - 3) / 24)
    x = _wander(hours, 30, rng, fine)
    wind = 7.0 * np.exp(0.45 * x + 0.15 * season + 0.05 * day)
    given = wind[::FINE] * np.exp(0.12 * _wander(hours, 18, rng, fine)[::FINE])
    local = wind * np.exp(0.02 * rng.standard_normal(len(fine)))
    power = np.clip((local**3 - 27) / (12**3 - 27), 0, 1)[1:]
    per_step = minutes * FINE // 60
    temperature = 281 - 9 * season - 3 * day + 3 * _wander(hours, 60, rng, fine)
    stamps = [START + timedelta(hours=k) for k in range(hours)]
    weather = pl.DataFrame(
        {
            "valid_time": stamps,
            "available_at": [t - KNOWN_AHEAD for t in stamps],
            "wind_speed_100m": given.clip(0, 70),
            "temperature_2m": temperature[::FINE],
        }
    )
    steps = (hours - 1) * 60 // minutes
    table = pl.DataFrame(
        {
            "time": [START + timedelta(minutes=minutes * (k + 1)) for k in range(steps)],
            "power_mw": CAPACITY_MW * power.reshape(-1, per_step).mean(axis=1),
        }
    )
    return FarmData(
        name="hill",
        capacity_mw=CAPACITY_MW,
        resolution=timedelta(minutes=minutes),
        power=_utc(table),
        weather=_utc(weather),
    )


def power_of(farm: FarmData) -> Array:
    """Normalised power [T], NaN where missing: a copy."""
    return farm.power["power_mw"].to_numpy().astype(np.float64) / farm.capacity_mw


def wind_of(farm: FarmData) -> Array:
    """The hourly farm's wind at the stamps of its power [T]."""
    return farm.weather["wind_speed_100m"].to_numpy()[1:].copy()


def temperature_of(farm: FarmData) -> Array:
    return farm.weather["temperature_2m"].to_numpy()[1:].copy()


def with_power(farm: FarmData, normalised: Array) -> FarmData:
    return replace(
        farm, power=farm.power.with_columns(power_mw=pl.Series(normalised * farm.capacity_mw).fill_nan(None))
    )


def with_table(farm: FarmData, name: str, column: str, values: Array) -> FarmData:
    """The farm with an availability or curtailment table on the grid of its power."""
    return replace(farm, **{name: farm.power.select("time", pl.Series(column, values))})


def _wander(hours: int, memory: float, rng: np.random.Generator, fine: Array) -> Array:
    """Standard normal, correlated over `memory` hours, at the hours `fine`."""
    keep = np.exp(-1 / memory)
    shocks = rng.standard_normal(hours)
    shocks[1:] *= np.sqrt(1 - keep**2)
    walk = np.fromiter(accumulate(shocks, lambda before, shock: keep * before + shock), float)
    return np.interp(fine, np.arange(hours), walk)


def _utc(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(
        pl.col(c).cast(pl.Datetime("us", "UTC")) for c in table.columns if c.endswith(("time", "_at"))
    )
