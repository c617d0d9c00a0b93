"""Small backtests of a synthetic farm, made in a fraction of a second."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from windcast.data.farm import FarmData
from windcast.data.task import ForecastTask
from windcast.evaluation.backtest import Backtest, Plan, backtest

HOUR = timedelta(hours=1)
START = datetime(2021, 1, 1, tzinfo=UTC)
NAIVE = ("climatology", "persistence")
ALL = (*NAIVE, "power_curve")


def farm(
    *, name: str = "hill", weather: str = "forecast", days: int = 75, gaps: bool = False, repairs: tuple[str, ...] = ()
) -> FarmData:
    """10 MW, hourly; the wind is a slow random walk, its forecast is off by 0.7 m/s."""
    rng = np.random.default_rng(7)
    count = 24 * days
    speed = np.abs(8 + np.convolve(rng.standard_normal(count + 23), np.full(24, 0.9), "valid"))
    power = 10 * np.clip((speed - 3) / 9, 0, 1) ** 2
    times = pl.datetime_range(START, START + (count - 1) * HOUR, "1h", time_unit="us", eager=True)
    if gaps:
        power[rng.random(count) < 0.2] = np.nan
        power[1000:1060] = np.nan
    table = pl.DataFrame({"time": times, "power_mw": power}).with_columns(pl.col("power_mw").fill_nan(None))
    extra = {}
    if weather != "none":
        known = times - 48 * HOUR if weather == "forecast" else pl.Series([None] * count, dtype=times.dtype)
        wind = np.maximum(speed + 0.7 * rng.standard_normal(count), 0)
        extra["weather"] = pl.DataFrame({"valid_time": times, "available_at": known, "wind_speed": wind})
    return FarmData(
        name=name,
        capacity_mw=10.0,
        resolution=HOUR,
        power=table,
        weather_kind=weather,
        attribution="made up",
        repairs=repairs,
        **extra,
    )


@cache
def small(
    models: tuple[str, ...] = ALL,
    *,
    horizon: int = 6,
    levels: tuple[float, ...] = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist()),
    history: int = 12,
    **farm_options,
) -> Backtest:
    """Issued every 6 hours from day 40 on."""
    data = farm(**farm_options)
    task = ForecastTask(horizon=horizon, resolution=HOUR, capacity_mw=10.0, history=history, levels=levels)
    plan = Plan(start=START + timedelta(days=40), issue_every=6 * HOUR)
    return backtest(data, task, {name: {"name": name} for name in models}, plan)


def renamed(result: Backtest, names: dict[str, str]) -> Backtest:
    """The same backtest with its models called otherwise."""
    forecasts = {names.get(name, name): forecast for name, forecast in result.forecasts.items()}
    return replace(result, forecasts=forecasts, seconds={}, fitted={})
