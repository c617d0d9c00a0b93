"""THE property: no forecast changes when what was not known at its issue time changes, for every model and source."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
import pytest
import small

from windcast.data.farm import FarmData
from windcast.data.windows import ARRAYS, build_windows
from windcast.evaluation.backtest import Plan, backtest, replay, training_windows
from windcast.models.base import build
from windcast.models.forecast import Forecast

every_model = pytest.mark.parametrize("model", small.models())
every_source = pytest.mark.parametrize(
    "source",
    [
        pytest.param(name, marks=pytest.mark.skipif(name in small.ABSENT, reason=small.ABSENT.get(name, "")))
        for name in small.SOURCES
    ],
)
KNOWN = tuple(name for name in ARRAYS if name not in ("target", "free"))
TIMES = 2  # random futures beside the one in which all is different


def known_at(farm: FarmData) -> tuple[pl.Expr, pl.Expr]:
    """When each row of power and of weather became known."""
    own = "available_at" in farm.power.columns
    power = pl.col("available_at") if own else pl.col("time") + farm.power_delay
    return power, pl.col("available_at")


def another_future(farm: FarmData, time: datetime, *, share: float, seed: int) -> FarmData:
    """The farm with a `share` of the values that became known after `time` altered, taken away or their row removed."""
    rng = np.random.default_rng(seed)
    power_known, weather_known = known_at(farm)

    def altered(table: pl.DataFrame, known: pl.Expr, ranges: dict[str, tuple[float, float]]) -> pl.DataFrame:
        hit = (table.select((known > time).fill_null(False)).to_series().to_numpy()) & (
            rng.random(table.height) < share
        )
        table = table.with_columns(
            pl.when(pl.Series(hit))
            .then(pl.Series(rng.uniform(low, high, table.height)))
            .otherwise(pl.col(name))
            .alias(name)
            for name, (low, high) in ranges.items()
        )
        fate = rng.random(table.height)
        gone = pl.Series(hit & (fate < 0.2))
        empty = [
            pl.when(pl.Series(hit & (fate > 0.8))).then(None).otherwise(pl.col(name)).alias(name) for name in ranges
        ]
        return table.with_columns(empty).filter(~gone)

    weather = dict.fromkeys(farm.variables, (0.0, 30.0))
    weather |= {v: (250.0, 300.0) for v in farm.variables if v.startswith("temperature")}
    weather |= {v: (90_000.0, 100_000.0) for v in farm.variables if v.startswith("pressure")}
    changed = {
        "power": altered(farm.power, power_known, {"power_mw": (0.0, farm.capacity_mw)}),
        "weather": altered(farm.weather, weather_known, weather),
    }
    for name, column, most in (("availability",) * 2 + (1.0,), ("curtailment", "curtailed_mw", farm.capacity_mw)):
        table = getattr(farm, name)
        if table is not None:
            changed[name] = altered(table, pl.col("time"), {column: (0.0, most)})
    return replace(farm, **changed)


@lru_cache
def futures(source: str) -> list[tuple[int, FarmData]]:
    """Number of issue times up to a cut, and the farm with another future after it; in the first all is different."""
    made = small.source(source)
    rng = np.random.default_rng(len(source))
    found = []
    for seed in range(1 + TIMES):
        row = int(rng.integers(len(made.issue_times) // 2, len(made.issue_times)))
        cut = made.issue_times[row].item()
        share = 1.0 if not seed else float(rng.uniform(0.02, 0.6))
        time = cut.replace(tzinfo=made.farm.start.tzinfo)
        found.append((row + 1, another_future(made.farm, time, share=share, seed=seed)))
    return found


@every_source
def test_the_futures_tried_do_differ_and_reach_all_that_is_unknown(source: str) -> None:
    """Or the tests below would show nothing."""
    made = small.source(source)
    for rows, farm in futures(source):
        time = made.issue_times[rows - 1].item().replace(tzinfo=made.farm.start.tzinfo)
        assert farm.checksum != made.farm.checksum
        assert farm.known_until(time).checksum == made.farm.known_until(time).checksum
    _, all_different = futures(source)[0]
    rows, _ = futures(source)[0]
    after = build_windows(all_different, made.task, made.issue_times[rows - 1 :])
    before = build_windows(made.farm, made.task, made.issue_times[rows - 1 :])
    assert not (after.target[0] == before.target[0]).any()


@every_source
@every_model
def test_a_forecast_does_not_change_when_the_future_changes(model: str, source: str) -> None:
    made, forecaster = small.source(source), small.fitted(model, source)
    expected = forecaster.step(small.ahead(source))[0]
    for rows, farm in futures(source):
        windows = build_windows(farm, made.task, made.issue_times[:rows])
        for given in (windows, windows.without_target()):
            assert_same_bits(forecaster.step(given)[0], expected.take(slice(0, rows)))


@every_source
@every_model
def test_a_backtest_replayed_one_issue_time_at_a_time_gives_the_same_bits(model: str, source: str) -> None:
    made, forecaster = small.source(source), small.fitted(model, source)
    times = made.issue_times
    bulk = forecaster.step(small.ahead(source))[0]
    live = list(replay(forecaster, made.farm, times))
    assert_same_bits(Forecast.concatenate(live), bulk)
    np.testing.assert_array_equal(np.concatenate([f.issue_times for f in live]), times)


def test_calibration_learns_in_these_replays() -> None:
    """Or the replay of the calibrated model would show nothing of its memory."""
    for source in ("simulation", "files_10min"):
        forecaster = small.fitted("calibrated", source)
        _, after = forecaster.step(small.ahead(source))
        assert (after.state.inner != forecaster.state.inner).any()
        assert (
            forecaster.step(small.ahead(source))[0].values != forecaster.model.predict(small.ahead(source)).values
        ).any()


@every_source
def test_a_refit_learns_nothing_that_came_after_it(source: str) -> None:
    made = small.source(source)
    lessons = training_windows(other_after_the_fit(source), made.task, made.plan, made.fit_at)
    for name in ARRAYS:
        if name != "free":
            np.testing.assert_array_equal(getattr(lessons, name), getattr(small.lessons(source), name), err_msg=name)
    known = np.isfinite(lessons.target)
    np.testing.assert_array_equal(lessons.free[known], small.lessons(source).free[known])


@pytest.mark.parametrize("source", ["simulation", "la_haute_borne_10min"])
@every_model
def test_a_refit_does_not_change_when_what_came_after_it_changes(model: str, source: str) -> None:
    made = small.source(source)
    lessons = training_windows(other_after_the_fit(source), made.task, made.plan, made.fit_at)
    again = build(small.CONFIGS[model]).fit(lessons)
    ahead = small.ahead(source)
    assert_same_bits(again.step(ahead)[0], small.fitted(model, source).step(ahead)[0])


@lru_cache
def other_after_the_fit(source: str) -> FarmData:
    return another_future(small.source(source).farm, small.source(source).fit_at, share=1.0, seed=1)


def test_a_whole_backtest_replays_fold_by_fold() -> None:
    """Two folds, every model, through backtest() and through the live path."""
    farm = replace(small.simulated(days=22, run_horizon_hours=24), power_delay=timedelta(minutes=90))
    task = small.task_of(farm)
    start = farm.start.replace(hour=0) + timedelta(days=20)
    plan = Plan(start=start, end=start + timedelta(hours=9), refit_every=timedelta(hours=5))
    slow = ("gbm", "pool", "forest", *small.NEEDS)
    configs = {name: config for name, config in small.CONFIGS.items() if name not in slow}
    result = backtest(farm, task, configs, plan)
    assert len(result.folds) == 2
    for name, config in configs.items():
        parts = []
        for fold in result.folds:
            known = farm.known_until(fold.fitted_at)
            forecaster = build(config).fit(training_windows(known, task, plan, fold.fitted_at))
            parts += replay(forecaster, farm, fold.issue_times)
        assert_same_bits(Forecast.concatenate(parts), result.forecasts[name])


def test_a_contender_that_calibrates_another_is_what_its_configuration_says() -> None:
    """The backtest need not fit the inner model again; that must not show."""
    farm = small.simulated(days=22, run_horizon_hours=24)
    task = small.task_of(farm)
    start = farm.start.replace(hour=0) + timedelta(days=20)
    plan = Plan(start=start, end=start + timedelta(hours=12))
    inner = {"name": "power_curve"}
    for options in ({"holdout": 0.0}, {"holdout": 0.5}, {}):
        around = {"name": "calibrated", "model": inner, "rate": 0.05, **options}
        both = backtest(farm, task, {"inner": inner, "around": around}, plan).forecasts["around"]
        assert_same_bits(both, backtest(farm, task, {"around": around}, plan).forecasts["around"])


def test_power_that_is_not_there_yet_stops_no_replay() -> None:
    farm = small.source("simulation").farm
    times = small.source("simulation").issue_times[:3]
    hole = pl.col("time") > times[0].item().replace(tzinfo=farm.start.tzinfo) - timedelta(days=1)
    silent = replace(farm, power=farm.power.with_columns(pl.when(~hole).then(pl.col("power_mw"))))
    forecasts = list(replay(small.fitted("calibrated", "simulation"), silent, times))
    assert {name for f in forecasts for name in f.to_frame()["inputs"]} == {"no_power"}
    (first,) = replay(small.fitted("climatology", "simulation"), farm, farm.times[:1])  # before any row of power
    assert set(first.to_frame()["inputs"]) == {"no_power"}


def assert_same_bits(first: Forecast, second: Forecast) -> None:
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.rung, second.rung)
