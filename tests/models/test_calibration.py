"""Online calibration: coverage comes back, from truth that is used when it arrives and not before."""

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
from windcast.models.base import Array, Forecaster, build, load
from windcast.models.calibration import Calibrated, CalibratedConfig
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
    return Calibrated.around(inner, CalibratedConfig(rate=rate))


def told_model(windows: Windows, **config) -> Told:
    return Told(ToldConfig(**config)).fit(windows)


def coverage(forecast: Forecast, windows: Windows, *, last: int) -> float:
    """Share of the last known truths in the 90 % band."""
    low, high, truth = (v[-last:] for v in (forecast.quantile(0.05), forecast.quantile(0.95), windows.target))
    known = np.isfinite(truth)
    return float(((low <= truth) & (truth <= high))[known].mean())


def drift(calibrated: Calibrated) -> float:
    return float(np.abs(calibrated.state.inner - np.array(LEVELS)).max())


def assert_same_bits(first: Forecast, second: Forecast) -> None:
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.rung, second.rung)


def windows_of(farm: FarmData, **task) -> Windows:
    return build_windows(farm, task_of(**task))


# ---- what it is for ----


@pytest.mark.parametrize("width", [0.75, 1.4])
@pytest.mark.parametrize("horizon", [1, 3])
def test_coverage_comes_back_when_the_inner_model_is_too_sure_or_too_unsure(width: float, horizon: int) -> None:
    windows = windows_of(told_farm(hours=4000), horizon=horizon, levels=tuple(k / 100 for k in range(1, 100)))
    inner = told_model(windows, width=width)
    forecast, _ = around(inner, rate=0.01).step(windows.without_target())
    assert not 0.86 < coverage(inner.predict(windows), windows, last=3000) < 0.94
    assert 0.88 <= coverage(forecast, windows, last=3000) <= 0.92


def test_coverage_comes_back_when_the_inner_model_is_off_to_one_side() -> None:
    windows = windows_of(told_farm(hours=4000))
    inner = told_model(windows, shift=0.8)
    before = inner.predict(windows)
    after, _ = around(inner, rate=0.01).step(windows.without_target())
    below = [np.nanmean(windows.target[-3001:-1] <= f.quantile(0.5)[-3001:-1]) for f in (before, after)]
    assert below[0] > 0.65
    assert below[1] == pytest.approx(0.5, abs=0.03)
    assert 0.87 <= coverage(after, windows, last=3000) <= 0.93


def test_a_map_that_was_right_follows_when_the_farm_changes() -> None:
    """The second half of the record has twice the spread."""
    calm, wild = told_farm(hours=4000, seed=1), told_farm(hours=4000, seed=1)
    told, power = (calm.weather["told"].to_numpy(), calm.power["power_mw"].to_numpy())
    wider = np.clip(told + 1.3 * (power - told), 0, CAPACITY)
    power = np.where(np.arange(4000) < 1500, power, wider)
    windows = windows_of(replace(wild, power=wild.power.with_columns(power_mw=pl.Series(power))))
    inner = told_model(windows)
    forecast, _ = around(inner, rate=0.01).step(windows)
    assert coverage(inner.predict(windows), windows, last=2000) < 0.83
    assert coverage(forecast, windows, last=2000) > 0.86


@pytest.mark.parametrize("low", [3.0, -2.0])
def test_a_calibrated_forecast_is_left_nearly_alone(low: float) -> None:
    """Also where a fifth of the truths are exactly 0."""
    windows = windows_of(told_farm(hours=4000, low=low))
    inner = told_model(windows)
    forecast, after = around(inner, rate=0.002).step(windows.without_target())
    assert drift(after) < 0.05
    moved = np.abs(forecast.values - inner.predict(windows).values)
    assert moved.mean() < 0.01 * CAPACITY


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (8.0, 12.0)])
def test_a_mass_at_a_bound_does_not_drive_the_map(low: float, high: float) -> None:
    """Half of all truths are at the bound, as the inner model says: no level may wander off."""
    windows = windows_of(told_farm(hours=6000, low=low, high=high, seed=2))
    assert 0.4 < np.nanmean((windows.target == 0) | (windows.target == CAPACITY)) < 0.6
    _, after = around(told_model(windows), rate=0.002).step(windows.without_target())
    assert drift(after) < 0.04


def test_a_mass_that_the_inner_model_does_not_see_is_learned() -> None:
    """The farm stands still a third of the time, whatever the inner model says: low levels must come down to it."""
    farm = told_farm(hours=4000)
    still = np.random.default_rng(9).random(4000) < 1 / 3
    power = np.where(still, 0, farm.power["power_mw"].to_numpy())
    windows = windows_of(replace(farm, power=farm.power.with_columns(power_mw=pl.Series(power))))
    inner = told_model(windows)
    forecast, _ = around(inner, rate=0.01).step(windows)
    at = [np.nanmean(windows.target[-2001:-1] <= f.quantile(0.6)[-2001:-1]) for f in (inner.predict(windows), forecast)]
    assert at[0] > 0.7
    assert at[1] == pytest.approx(0.6, abs=0.03)


# ---- truth when it arrives ----


def test_truth_is_used_when_it_arrives_and_not_before() -> None:
    """The same farm, its power known at once, two hours late, or late because each value is stamped so."""
    farm, late = told_farm(hours=300), 2
    delayed = replace(farm, power_delay=late * HOUR)
    stamped = replace(farm, power=farm.power.with_columns(available_at=pl.col("time") + late * HOUR))
    task = task_of(history=8)
    windows = build_windows(farm, task)
    inner = told_model(windows)
    now, _ = around(inner, rate=0.05).step(windows)
    for slow in (delayed, stamped):
        then, _ = around(inner, rate=0.05).step(build_windows(slow, task))
        untouched = inner.predict(windows).values[: late + 1]
        np.testing.assert_array_equal(then.values[: late + 1], untouched)
        assert (then.values != inner.predict(windows).values).any(axis=(1, 2))[3 * late : -1].all()
        assert (now.values[: late + 1] != untouched).any()


@pytest.mark.parametrize("late", [0, 2])
def test_one_truth_changes_forecasts_from_its_arrival_on_and_none_before(late: int) -> None:
    farm, row = told_farm(hours=60, power_delay=late * HOUR), 30
    other = farm.power.with_columns(
        power_mw=pl.when(pl.int_range(pl.len()) == row)
        .then(CAPACITY - pl.col("power_mw"))
        .otherwise(pl.col("power_mw"))
    )
    task = task_of(history=8)
    windows, changed = (build_windows(f, task) for f in (farm, replace(farm, power=other)))
    calibrated = around(told_model(windows), rate=0.05)
    first, second = (calibrated.step(w.without_target())[0].values for w in (windows, changed))
    assert (first[: row + late] == second[: row + late]).all()
    assert (first[row + late] != second[row + late]).any()


def test_truth_older_than_the_window_is_never_learned() -> None:
    farm = told_farm(hours=200, power_delay=10 * HOUR)
    windows = build_windows(farm, task_of(history=8))
    _, after = around(told_model(windows), rate=0.05).step(windows)
    assert drift(after) == 0


def test_a_value_is_learned_once_however_often_it_is_in_a_window() -> None:
    windows = windows_of(told_farm(hours=100), history=24)
    _, short = around(told_model(windows), rate=0.05).step(windows)
    brief = windows_of(told_farm(hours=100), history=1)
    _, long = around(told_model(brief), rate=0.05).step(brief)
    np.testing.assert_array_equal(short.state.inner, long.state.inner)


def test_missing_power_does_not_stop_it() -> None:
    farm = told_farm(hours=400)
    gaps = np.random.default_rng(1).random(400) < 0.4
    gaps[-5:] = True
    holed = farm.power.with_columns(pl.when(~pl.Series(gaps)).then(pl.col("power_mw")))
    windows = windows_of(replace(farm, power=holed))
    forecast, after = around(told_model(windows), rate=0.05).step(windows)
    assert np.isfinite(forecast.values).all()
    assert drift(after) > 0
    assert forecast.rung[-2, 0] == Rung.NO_POWER


def test_forecasts_that_stood_on_missing_inputs_are_neither_mapped_nor_learned_from() -> None:
    windows = windows_of(told_farm(hours=300))
    inner = told_model(windows, width=0.5)
    blind = windows.without_weather()
    forecast, after = around(inner, rate=0.05).step(blind)
    assert drift(after) == 0
    assert_same_bits(forecast, inner.predict(blind))
    _, learned = around(inner, rate=0.05).step(windows)
    assert drift(learned) > 0
    assert_same_bits(learned.predict(blind), inner.predict(blind))


# ---- the memory ----


@pytest.fixture(scope="module")
def learned() -> Calibrated:
    config = {"name": "calibrated", "model": {"name": "power_curve"}, "rate": 0.05, "holdout": 0.5}
    forecaster = build(config).fit(small.lessons("simulation"))
    assert isinstance(forecaster, Calibrated)
    return forecaster


def test_the_memory_survives_save_and_load_in_the_middle_of_a_replay(learned: Calibrated, tmp_path: Path) -> None:
    ahead = small.ahead("simulation")
    whole, _ = learned.step(ahead)
    first, middle = learned.step(ahead.take(slice(0, 2)))
    middle.save(tmp_path / "middle")
    woken = load(tmp_path / "middle")
    second, end = woken.step(ahead.take(slice(2, None)))
    assert_same_bits(Forecast.concatenate([first, second]), whole)
    assert isinstance(end, Calibrated)
    np.testing.assert_array_equal(end.state.inner, learned.step(ahead)[1].state.inner)
    forgetful, _ = learned.step(ahead.take(slice(2, None)))
    assert (forgetful.values != whole.values[2:]).any()


def test_a_step_leaves_the_forecaster_as_it_was(learned: Calibrated) -> None:
    ahead = small.ahead("simulation")
    before = learned.predict(ahead)
    _, after = learned.step(ahead)
    assert_same_bits(learned.predict(ahead), before)
    assert (after.state.inner != learned.state.inner).any()


def test_in_parts_or_as_a_whole_the_forecasts_are_the_same(learned: Calibrated) -> None:
    source = small.source("simulation")
    times = source.farm.times[-60:]
    windows = build_windows(source.farm, source.task, times)
    whole, end = learned.step(windows)
    parts, forecaster = [], learned
    for rows in (slice(0, 1), slice(1, 20), slice(20, 21), slice(21, 60)):
        part, forecaster = forecaster.step(windows.take(rows))
        parts.append(part)
    assert_same_bits(Forecast.concatenate(parts), whole)
    np.testing.assert_array_equal(forecaster.state.inner, end.state.inner)


def test_independent_forecasts_are_calibrated_as_a_step_would_that_learns_nothing(learned: Calibrated) -> None:
    source = small.source("simulation")
    windows = build_windows(source.farm, source.task, source.farm.times[-60:])
    known, _ = learned.step(windows)
    nothing_to_learn = windows.without_power()
    inner = learned.model.predict(windows)
    blind = learned.model.predict(nothing_to_learn)
    at_once = learned.apply(inner)
    assert (at_once.values != inner.values).any()
    assert (at_once.values != known.values).any()
    assert_same_bits(learned.apply(blind), learned.step(nothing_to_learn)[0])
    for row in range(0, 60, 7):
        one = replace(windows.take(slice(row, row + 1)), power=np.full_like(windows.power[:1], np.nan))
        alone, _ = learned.calibrate(inner.take(slice(row, row + 1)), one)
        assert_same_bits(at_once.take(slice(row, row + 1)), alone)


def test_the_order_of_independent_forecasts_does_not_matter(learned: Calibrated) -> None:
    inner = learned.model.predict(small.ahead("simulation"))
    backwards = np.arange(len(inner))[::-1]
    assert_same_bits(learned.apply(inner.take(backwards)), learned.apply(inner).take(backwards))


def test_the_memory_does_not_grow_without_end(learned: Calibrated, tmp_path: Path) -> None:
    source = small.source("simulation")
    sizes = []
    for count in (60, 600):
        _, after = learned.step(build_windows(source.farm, source.task, source.farm.times[:count]))
        after.save(tmp_path / str(count))
        sizes.append((tmp_path / str(count) / "arrays.npz").stat().st_size)
    assert sizes[1] < 1.2 * sizes[0]


def test_the_map_is_warmed_up_on_what_the_inner_model_had_not_seen() -> None:
    windows = windows_of(told_farm(hours=900), levels=(0.1, 0.5, 0.9))
    config = {"name": "calibrated", "model": {"name": "power_curve"}, "rate": 0.02}
    warm = build(config | {"holdout": 0.4}).fit(windows)
    assert isinstance(warm, Calibrated)
    assert (warm.state.inner != np.array([0.1, 0.5, 0.9])).any()
    for cold in ({"holdout": 0.0}, {"holdout": 0.1}, {"holdout": 0.4, "rate": 0.0}):
        forecaster = build(config | cold).fit(windows)
        assert isinstance(forecaster, Calibrated)
        assert (forecaster.state.inner == np.array([0.1, 0.5, 0.9])).all()


def test_a_task_without_history_leaves_the_inner_model_as_it_is() -> None:
    """There is no truth in its windows to learn from."""
    windows = windows_of(told_farm(hours=1500), history=0)
    inner = told_model(windows, width=0.5)
    forecast, after = around(inner, rate=0.05).step(windows)
    assert_same_bits(forecast, inner.predict(windows))
    assert drift(after) == 0


def test_a_rate_or_holdout_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calibration\.rate is -0\.1"):
        CalibratedConfig(rate=-0.1)
    with pytest.raises(ConfigError, match=r"calibration\.holdout is 0\.95"):
        CalibratedConfig(holdout=0.95)
