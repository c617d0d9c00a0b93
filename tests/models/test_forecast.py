"""A forecast: bounded, ordered, and honest about what it stood on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from windcast.data.task import ForecastTask
from windcast.data.windows import Windows, build_windows
from windcast.errors import TaskError
from windcast.models.base import model_class
from windcast.models.forecast import Forecast, Rung, column_of, power_lag, rungs

TASK = ForecastTask(horizon=2, resolution=timedelta(minutes=30), capacity_mw=10.0, levels=(0.1, 0.5, 0.9))
ISSUE = np.array(["2021-03-04T06:00", "2021-03-04T06:30"], "datetime64[us]")


def forecast(**changes) -> Forecast:
    values = np.array([[[1, 2, 4], [0, 5, 10]], [[3, 3, 3], [2, 6, 7]]], np.float32)
    given = {"task": TASK, "issue_times": ISSUE, "values": values, "rung": np.zeros((2, 2), np.int8)}
    return Forecast(**(given | changes))


def test_a_frame_has_a_row_an_issue_time_and_lead_and_a_column_a_level() -> None:
    frame = forecast(rung=np.array([[0, 1], [3, 4]], np.int8)).to_frame()
    assert frame.columns == ["issue_time", "valid_time", "lead_minutes", "inputs", "q10", "q50", "q90"]
    assert frame["issue_time"].to_list()[::2] == [datetime(2021, 3, 4, 6, m, tzinfo=UTC) for m in (0, 30)]
    assert frame["valid_time"][0] == datetime(2021, 3, 4, 6, 30, tzinfo=UTC)
    assert frame["lead_minutes"].to_list() == [30, 60, 30, 60]
    assert frame["inputs"].to_list() == ["fresh", "older_run", "no_power", "nothing"]
    assert frame["q50"].to_list() == [2, 5, 3, 6]


def test_an_interval_labelled_by_its_start_is_half_an_hour_earlier_and_no_shorter_ahead() -> None:
    end, start = forecast().to_frame(), forecast().to_frame(interval="start")
    assert (end["valid_time"] - start["valid_time"]).unique().to_list() == [timedelta(minutes=30)]
    assert start["valid_time"][0] == start["issue_time"][0]
    assert start["lead_minutes"].to_list() == end["lead_minutes"].to_list()


def test_a_frame_may_have_other_levels_than_the_forecast() -> None:
    frame = forecast().to_frame([0.3, 0.975])
    assert frame.columns[4:] == ["q30", "q97_5"]
    assert frame["q30"].to_list() == pytest.approx([1.5, 2.5, 3, 4])
    assert frame["q97_5"].to_list() == pytest.approx([4, 10, 3, 7])


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (0.05, "q05"),
        (0.5, "q50"),
        (0.005, "q00_5"),
        (0.975, "q97_5"),
        (0.1, "q10"),
        (0.29, "q29"),
        (1 / 3, "q33_333333"),
    ],
)
def test_a_level_has_one_column_name(level: float, name: str) -> None:
    assert column_of(level) == name


def test_every_percentile_has_a_column_of_its_own() -> None:
    assert len({column_of(k / 1000) for k in range(1, 1000)}) == 999


def test_a_quantile_between_levels_lies_between_and_beyond_them_stays() -> None:
    made = forecast()
    np.testing.assert_array_equal(made.quantile(0.1), made.values[..., 0])
    np.testing.assert_array_equal(made.median, made.values[..., 1])
    np.testing.assert_allclose(made.quantile(0.7), made.values[..., 1:].mean(axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(made.quantile(0.01), made.quantile(0.1))
    np.testing.assert_array_equal(made.quantile(0.999), made.quantile(0.9))


def test_parts_can_be_taken_and_joined_again() -> None:
    made = forecast()
    joined = Forecast.concatenate([made.take(slice(0, 1)), made.take(np.array([1]))])
    np.testing.assert_array_equal(joined.values, made.values)
    np.testing.assert_array_equal(joined.valid_times, made.valid_times)
    assert len(made.take(np.array([False, True]))) == 1
    other = forecast(
        task=ForecastTask(horizon=2, resolution=timedelta(hours=1), capacity_mw=10.0, levels=(0.1, 0.5, 0.9))
    )
    with pytest.raises(TaskError, match="forecasts of different tasks cannot be joined"):
        Forecast.concatenate([made, other])


# ---- from raw quantiles ----


def two() -> Windows:
    farm = small.source("simulation").farm
    return build_windows(farm, small.task_of(farm, levels=(0.1, 0.5, 0.9)), farm.times[100:102])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_raw_quantiles_are_put_in_order_and_within_bounds(seed: int) -> None:
    raw = np.random.default_rng(seed).normal(10, 20, (2, 3, 3))
    made = Forecast.of(two(), raw, np.zeros((2, 3), np.int8))
    expected = np.sort(raw.astype(np.float32), axis=-1).clip(0, 20.5)
    np.testing.assert_array_equal(made.values, expected)
    assert made.values.dtype == np.float32


def test_a_gap_or_another_shape_is_refused() -> None:
    raw = np.ones((2, 3, 3))
    with pytest.raises(TaskError, match=r"finite values of \(2, 3, 3\) are due"):
        Forecast.of(two(), raw[:, :2], np.zeros((2, 3), np.int8))
    for bad in (np.nan, np.inf):
        raw[1, 2, 0] = bad
        with pytest.raises(TaskError, match="or gaps"):
            Forecast.of(two(), raw, np.zeros((2, 3), np.int8))


def test_reanalysis_stays_with_the_forecast() -> None:
    assert not small.fitted("climatology", "simulation").predict(small.ahead("simulation")).reanalysis
    assert small.fitted("climatology", "la_haute_borne").predict(small.ahead("la_haute_borne")).reanalysis


# ---- rungs ----


def test_every_rung_has_a_sentence_of_its_own() -> None:
    assert len({rung.sentence for rung in Rung}) == len(Rung) == 5


def test_the_rung_of_each_lead_says_what_it_stood_on() -> None:
    windows = small.ahead("simulation").take(slice(0, 1))
    usual = windows.weather_age[0, windows.future].astype(float)
    assert (rungs(windows, usual) == Rung.FRESH).all()
    assert (rungs(windows, usual - 1) == Rung.OLDER_RUN).all()
    assert (rungs(windows.without_weather(), usual) == Rung.NO_WEATHER).all()
    assert (rungs(windows.without_power(), usual) == Rung.NO_POWER).all()
    assert (rungs(windows.without_power(), usual - 1) == Rung.NO_POWER).all()
    assert (rungs(windows.without_power().without_weather(), usual) == Rung.NOTHING).all()


def test_weather_that_ends_early_is_missed_at_the_later_leads_only() -> None:
    windows = small.ahead("simulation").take(slice(0, 1))
    usual = windows.weather_age[0, windows.future].astype(float)
    weather = windows.weather.copy()
    weather[:, windows.future.start + 1 :] = np.nan
    assert rungs(replace(windows, weather=weather), usual).tolist() == [[Rung.FRESH, Rung.NO_WEATHER, Rung.NO_WEATHER]]


@pytest.mark.parametrize(("steps", "rung"), [(0, Rung.FRESH), (2, Rung.FRESH), (3, Rung.NO_POWER)])
def test_power_is_recent_if_one_of_the_last_three_steps_is_known(steps: int, rung: Rung) -> None:
    farm = small.simulated(days=3, run_horizon_hours=24)
    windows = build_windows(farm, small.task_of(farm), farm.times[40:41])
    windows.power[:, windows.power.shape[1] - steps :] = np.nan
    usual = windows.weather_age[0, windows.future].astype(float)
    assert (rungs(windows, usual) == rung).all()


def test_power_that_is_always_late_is_not_missed() -> None:
    windows = small.lessons("simulation").take(np.arange(30, 60))  # a copy, to write into
    windows.power[:, -5:] = np.nan
    usual = windows.weather_age[0, windows.future].astype(float)
    assert (rungs(windows, usual + 99, usual_lag=5) == Rung.FRESH).all()
    assert (rungs(windows, usual + 99) == Rung.NO_POWER).all()
    fitted = model_class("persistence")().fit(windows)
    assert fitted.usual_lag == 5
    assert (power_lag(windows.without_power()) > 5 + 2).all()
