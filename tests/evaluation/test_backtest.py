"""A rolling-origin backtest: when it fits, what it then knows, what it forecasts and what it leaves on disk."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windcast.data.sources import simulation
from windcast.data.task import ForecastTask
from windcast.errors import ConfigError, TaskError
from windcast.evaluation.backtest import Plan, backtest, folds, issue_times, replay, training_windows
from windcast.models.base import build

FARM = simulation.load(days=20, run_horizon_hours=24, seed=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TASK = ForecastTask(horizon=4, resolution=HOUR, capacity_mw=20.5, history=6, levels=(0.1, 0.5, 0.9))
START = datetime(2020, 1, 15, tzinfo=UTC)
MODELS = {"climatology": {"name": "climatology"}, "curve": {"name": "power_curve"}}


def naive(time: datetime) -> np.datetime64:
    return np.datetime64(time.replace(tzinfo=None), "us")


# ---- issue times ----


def test_issue_times_lie_at_midnight_and_offset_both_ends_included() -> None:
    times = issue_times(START, START + DAY, every=6 * HOUR, offset=2 * HOUR)
    assert [t.item().hour for t in times] == [2, 8, 14, 20]
    both = issue_times(START + 2 * HOUR, START + 14 * HOUR, every=6 * HOUR, offset=2 * HOUR)
    assert [t.item().hour for t in both] == [2, 8, 14]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    every=st.sampled_from([10, 15, 30, 60, 120, 180, 360, 720, 1440]),
    offset=st.integers(0, 3000),
    begin=st.integers(0, 3000),
    length=st.integers(0, 4000),
)
def test_issue_times_are_all_those_between_start_and_end(every: int, offset: int, begin: int, length: int) -> None:
    minute = timedelta(minutes=1)
    start = START + begin * minute
    times = issue_times(start, start + length * minute, every=every * minute, offset=offset * minute)
    expected = [START + k * minute for k in range(begin, begin + length + 1) if (k - offset) % every == 0]
    assert times.tolist() == [t.replace(tzinfo=None) for t in expected]


# ---- folds ----


def test_without_refits_there_is_one_fold_with_every_issue_time() -> None:
    found = folds(FARM, TASK, Plan(start=START))
    assert [f.fitted_at for f in found] == [START]
    times = found[0].issue_times
    assert times[0] == naive(START)
    assert times[-1] == naive(FARM.end - 4 * HOUR)
    assert len(times) == 6 * 24 - 3


def test_every_issue_time_is_forecast_once_by_the_last_fit_before_it() -> None:
    plan = Plan(start=START, refit_every=2 * DAY, issue_every=5 * HOUR)
    found = folds(FARM, TASK, plan)
    assert [f.fitted_at for f in found] == [START, START + 2 * DAY, START + 4 * DAY]
    everything = np.concatenate([f.issue_times for f in found])
    np.testing.assert_array_equal(everything, folds(FARM, TASK, Plan(start=START, issue_every=5 * HOUR))[0].issue_times)
    for fold in found:
        assert (fold.issue_times >= naive(fold.fitted_at)).all()
        assert (fold.issue_times < naive(fold.fitted_at + 2 * DAY)).all()


def test_a_refit_before_which_nothing_is_forecast_is_not_made() -> None:
    plan = Plan(start=START, refit_every=6 * HOUR, issue_every=DAY, end=START + 2 * DAY)
    assert [f.fitted_at for f in folds(FARM, TASK, plan)] == [START, START + DAY, START + 2 * DAY]


def test_an_end_may_lie_beyond_the_data_and_the_truth_is_then_unknown() -> None:
    plan = Plan(start=FARM.end - 6 * HOUR, end=FARM.end)
    result = backtest(FARM, TASK, MODELS, plan)
    assert np.isnan(result.observed[-1]).all()
    assert np.isfinite(result.observed[0]).all()
    assert np.isfinite(result.forecasts["curve"].values).all()


def test_a_plan_that_leaves_nothing_to_do_says_so() -> None:
    with pytest.raises(
        TaskError, match=r"no issue time between 2020-02-15 00:00 and 2020-01-20 20:00 UTC\. simulation"
    ):
        folds(FARM, TASK, Plan(start=START + 31 * DAY))
    with pytest.raises(TaskError, match=r"backtest\.start is 2019-12-01, but simulation begins 2020-01-01"):
        folds(FARM, TASK, Plan(start=datetime(2019, 12, 1, tzinfo=UTC)))
    with pytest.raises(TaskError, match=r"no issue time before 2020-01-15 00:00 UTC to learn from"):
        training_windows(FARM, TASK, Plan(start=START, train_from=START), START)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"issue_every": timedelta(0)}, r"backtest\.issue_every is 0:00:00; it must be positive"),
        ({"train_every": -HOUR}, r"backtest\.train_every"),
        ({"refit_every": timedelta(0)}, r"backtest\.refit_every is 0:00:00; .*null for never"),
    ],
)
def test_an_impossible_plan_says_what_is_wrong(change: dict[str, timedelta], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(start=START, **change)


# ---- what a fit may know ----


def test_training_ends_before_the_fold_and_later_truth_is_unknown() -> None:
    windows = training_windows(FARM, TASK, Plan(start=START), START)
    assert windows.issue_times[-1] == naive(START - HOUR)
    after = windows.valid_times > naive(START)
    assert np.isnan(windows.target[after]).all()
    assert after.sum() == 3 + 2 + 1
    assert np.isfinite(windows.target[~after]).all()


def test_truth_that_comes_late_is_unknown_to_a_fit_before_it_comes() -> None:
    late = replace(FARM, power_delay=5 * HOUR)
    windows = training_windows(late, TASK, Plan(start=START), START)
    np.testing.assert_array_equal(np.isnan(windows.target), windows.valid_times > naive(START - 5 * HOUR))


def test_training_begins_where_the_plan_says_and_steps_as_it_says() -> None:
    begin = datetime(2020, 1, 10, tzinfo=UTC)
    plan = Plan(start=START, train_from=begin, train_every=3 * HOUR, issue_offset=HOUR)
    times = training_windows(FARM, TASK, plan, START).issue_times
    assert times[0] == naive(begin + HOUR)
    assert (np.diff(times) == np.timedelta64(3, "h")).all()
    early = Plan(start=START, train_from=datetime(2010, 1, 1, tzinfo=UTC))
    assert training_windows(FARM, TASK, early, START).issue_times[0] == naive(FARM.start)


def test_a_later_fold_has_learned_from_more() -> None:
    plan = Plan(start=START, refit_every=2 * DAY, issue_every=6 * HOUR)
    result = backtest(FARM, TASK, MODELS, plan)
    first, last = result.forecasts["climatology"].values[0], result.forecasts["climatology"].values[-1]
    assert (first != last).any()
    for fold in result.folds:
        lessons = training_windows(FARM, TASK, plan, fold.fitted_at)
        by_hand = build({"name": "climatology"}).fit(lessons)
        rows = np.isin(result.forecasts["climatology"].issue_times, fold.issue_times)
        assert (result.forecasts["climatology"].values[rows] == by_hand.quantiles).all()


# ---- the result ----


@pytest.fixture(scope="module")
def result():
    return backtest(FARM, TASK, MODELS, Plan(start=START, refit_every=2 * DAY, issue_every=6 * HOUR))


def test_every_model_forecasts_the_same_issue_times_and_is_kept_with_its_times(result) -> None:
    first, second = result.forecasts.values()
    np.testing.assert_array_equal(first.issue_times, second.issue_times)
    assert result.observed.shape == (len(first), 4)
    truth = dict(zip(FARM.power["time"].dt.replace_time_zone(None).to_list(), FARM.power["power_mw"], strict=True))
    expected = [[truth[t] for t in row] for row in first.valid_times.tolist()]
    np.testing.assert_allclose(result.observed, expected, rtol=1e-6)
    assert set(result.fitted) == set(result.seconds) == set(MODELS)
    assert all(set(s) == {"fit", "predict"} for s in result.seconds.values())


def test_progress_is_told_for_every_fit_and_ends_with_all_done() -> None:
    told: list[tuple[str, int, int]] = []
    plan = Plan(start=START, refit_every=2 * DAY, issue_every=DAY)
    backtest(FARM, TASK, MODELS, plan, on_progress=lambda *step: told.append(step))
    assert told[0] == ("climatology, fitted 2020-01-15", 0, 6)
    assert told[-1] == ("done", 6, 6)
    assert [done for _, done, _ in told] == list(range(7))


def test_the_frame_has_what_was_observed_beside_every_forecast(result) -> None:
    frame = result.to_frame((0.1, 0.5))
    names = ["model", "issue_time", "valid_time", "lead_minutes", "observed_mw", "inputs", "q10", "q50"]
    assert sorted(frame.columns) == sorted(names)
    assert frame.height == 2 * result.observed.size
    part = frame.filter(pl.col("model") == "curve")
    np.testing.assert_array_equal(part["observed_mw"].to_numpy().astype(np.float32), result.observed.ravel())
    np.testing.assert_array_equal(part["q50"].to_numpy(), result.forecasts["curve"].median.ravel())


def test_unknown_truth_is_null_in_the_frame_and_intervals_are_labelled_as_the_farm_does() -> None:
    begins = replace(FARM, interval="start")
    result = backtest(begins, TASK, {"c": {"name": "climatology"}}, Plan(start=FARM.end - HOUR, end=FARM.end))
    frame = result.to_frame()
    assert frame["observed_mw"].null_count() == 7
    assert frame["observed_mw"].is_nan().sum() == 0
    assert frame["valid_time"][0] == frame["issue_time"][0]


def test_the_file_is_complete_and_nothing_else_is_left(result, tmp_path: Path) -> None:
    file = tmp_path / "forecasts.parquet"
    file.write_bytes(b"what was here before")
    result.write(file)
    assert pl.read_parquet(file).equals(result.to_frame())
    assert [f.name for f in tmp_path.iterdir()] == ["forecasts.parquet"]


def test_a_file_that_cannot_be_written_leaves_the_one_before_it(result, tmp_path: Path) -> None:
    file = tmp_path / "forecasts.parquet"
    file.write_bytes(b"what was here before")
    (tmp_path / "forecasts.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        result.write(file)
    assert file.read_bytes() == b"what was here before"


def test_a_replay_yields_each_forecast_as_it_is_made() -> None:
    forecaster = build({"name": "power_curve"}).fit(training_windows(FARM, TASK, Plan(start=START), START))
    times = issue_times(START, START + 2 * HOUR, every=HOUR)
    live = replay(forecaster, FARM, times)
    assert next(live).issue_times.tolist() == times[:1].tolist()
    assert len(list(live)) == 2
