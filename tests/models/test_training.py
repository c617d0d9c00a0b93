"""What learned models share: lead groups, the rows they learn from, and practice with missing inputs."""

from dataclasses import replace

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from windcast.data.windows import build_windows
from windcast.errors import TaskError
from windcast.models.features import Features
from windcast.models.training import distinct, inputs_of, lead_groups, lesson, sample

FARM = small.simulated(days=2, run_horizon_hours=24)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(horizon=st.integers(1, 4000), history=st.integers(0, 3))
def test_lead_groups_hold_every_lead_once_in_order(horizon: int, history: int) -> None:
    groups = lead_groups(small.task_of(FARM, horizon=horizon, history=history))
    np.testing.assert_array_equal(np.concatenate(groups), np.arange(1, horizon + 1))
    assert all(len(group) for group in groups)


def test_the_first_leads_have_models_of_their_own_where_recent_power_is_known() -> None:
    assert [len(g) for g in lead_groups(small.task_of(FARM, horizon=48))][:3] == [1, 1, 1]
    assert [len(g) for g in lead_groups(small.task_of(FARM, horizon=48, history=0))] == [48]


def test_practice_takes_each_kind_of_input_away_from_a_share_of_the_issue_times() -> None:
    windows = small.lessons("simulation").take(slice(60, 260))
    practised = sample(windows, most=1000, missing_share=0.1, seed=1)
    assert len(practised) == 200 + 4 * 20
    extra = practised.take(slice(200, None))
    no_power, no_weather = np.isnan(extra.power).all(axis=1), np.isnan(extra.weather).all(axis=(1, 2))
    assert no_power.tolist() == [True] * 20 + [False] * 40 + [True] * 20
    assert no_weather.tolist() == [False] * 20 + [True] * 20 + [False] * 20 + [True] * 20
    older = extra.take(slice(40, 60))
    rows = np.searchsorted(windows.issue_times, older.issue_times)
    now = windows.task.weather_history
    np.testing.assert_array_equal(older.weather[:, now:], windows.weather_earlier[rows][:, now:])
    np.testing.assert_array_equal(extra.target, windows.target[np.searchsorted(windows.issue_times, extra.issue_times)])


def test_no_practice_is_asked_for_and_none_is_given() -> None:
    windows = small.lessons("simulation").take(slice(60, 160))
    assert len(sample(windows, most=1000, missing_share=0, seed=1)) == 100


def test_what_a_farm_never_has_is_not_practised() -> None:
    reanalysis = small.lessons("la_haute_borne").take(slice(60, 160))
    assert len(sample(reanalysis, most=1000, missing_share=0.1, seed=1)) == 130  # there is no earlier run


def test_a_sample_is_no_larger_than_asked_in_order_and_the_same_for_the_same_seed() -> None:
    windows = small.lessons("simulation")
    first, again, other = (sample(windows, most=50, missing_share=0, seed=s) for s in (1, 1, 2))
    assert len(first) == 50
    assert (np.diff(first.issue_times) > np.timedelta64(0)).all()
    np.testing.assert_array_equal(first.issue_times, again.issue_times)
    assert (first.issue_times != other.issue_times).any()


def test_a_lesson_holds_only_targets_that_are_known_and_free() -> None:
    windows = small.lessons("simulation").take(slice(100, 120))
    target, free = windows.target.copy(), windows.free.copy()
    target[0], free[1] = np.nan, False
    features = Features().fit(windows, seed=1, threads=1)
    leads = np.array([2, 3])
    learned = lesson(replace(windows, target=target, free=free), leads, features, most=1000, threads=1)
    expected = lesson(windows.take(slice(2, None)), leads, features, most=1000, threads=1)
    assert len(expected.target) == 36
    np.testing.assert_array_equal(learned.target, expected.target)
    np.testing.assert_array_equal(learned.inputs, expected.inputs)
    assert set(learned.target) <= set(windows.target[2:, 1:].ravel())
    assert len(lesson(windows, leads, features, most=10, threads=1).target) == 10


def test_leads_without_any_target_are_named() -> None:
    windows = small.lessons("simulation").take(slice(100, 120)).without_target()
    features = Features().fit(windows, seed=1, threads=1)
    with pytest.raises(TaskError, match=r"no target is known 2 to 3 steps ahead\. Give more data"):
        lesson(windows, np.array([2, 3]), features, most=10, threads=1)


def test_rows_that_are_equal_to_the_bit_are_found_once_nan_included() -> None:
    rng = np.random.default_rng(0)
    rows = rng.choice(np.array([0.0, -0.0, 1.5, np.nan], np.float32), size=(500, 3))
    first, which = distinct(rows)
    np.testing.assert_array_equal(rows[first][which].view(np.uint32), rows.view(np.uint32))
    assert len(first) == len(np.unique(rows.view(np.uint32), axis=0))


def test_the_same_hour_under_the_same_weather_is_one_lesson_however_often_it_was_looked_ahead_to() -> None:
    windows = small.lessons("la_haute_borne")
    horizon = windows.task.horizon
    far = np.arange(1, horizon + 1)
    alone = replace(windows, task=replace(windows.task, history=0), power=windows.power[:, :0])
    hours = len(np.unique(alone.valid_times[np.isfinite(alone.target) & alone.free]))
    rows = lesson(alone, far, Features().fit(alone, seed=1, threads=1), most=10**6, threads=1)
    # the lead is a feature where there is no history, so an hour counts once a lead, never more
    assert hours <= len(rows.target) <= hours * horizon


def test_a_lesson_is_cut_evenly_to_the_rows_allowed() -> None:
    windows = small.lessons("simulation").take(slice(60, 260))
    features = Features().fit(windows, seed=1, threads=1)
    assert len(lesson(windows, np.array([1]), features, most=50, threads=1).target) == 50


def test_beyond_the_near_leads_the_inputs_are_the_same_for_every_issue_time_of_a_run() -> None:
    farm = small.simulated(days=12, run_horizon_hours=60)
    task = replace(small.task_of(farm, horizon=24), weather_lookahead=6)
    windows = build_windows(farm, task, farm.times[48:200])
    groups = lead_groups(task)
    assert [g[-1] for g in groups][-2:] == [6, 24]
    far = groups[-1]
    inputs = inputs_of(Features().fit(windows, seed=1, threads=1).columns(windows, far, threads=1), far, windows)
    assert len(distinct(inputs)[0]) < 0.5 * len(inputs)
