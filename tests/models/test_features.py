"""Features are made from windows alone, are what their names say, and none is silently empty."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small

from windcast.data.windows import Windows, build_windows
from windcast.errors import BundleError
from windcast.models.features import REACH, Features

LEADS = np.arange(1, 4)


@lru_cache
def windows() -> Windows:
    farm = small.simulated(days=60, run_horizon_hours=24)
    task = small.task_of(farm, history=24, weather_history=6, weather_lookahead=REACH)
    return build_windows(farm, task).take(slice(30, -10))


@lru_cache
def fitted() -> Features:
    return Features().fit(windows(), seed=1, threads=1)


def columns(given: Windows, leads: np.ndarray = LEADS) -> dict[str, np.ndarray]:
    return fitted().columns(given, leads, threads=1)


def test_no_feature_of_a_full_farm_is_empty_or_without_a_number() -> None:
    made = columns(windows())
    assert len(made) > 60
    for name, column in made.items():
        assert column.shape in {(len(windows()),), (len(windows()), len(LEADS))}, name
        assert np.isfinite(column).mean() > 0.95, name
        assert np.nanstd(column) > 0 or name == "power_age", name  # no power is missing, so it is always 0


def test_a_table_is_ordered_by_issue_time_then_lead_and_holds_the_columns_in_turn() -> None:
    part = windows().take(slice(0, 7))
    table, made = fitted().table(part, LEADS, threads=1), columns(part)
    assert table.shape == (21, len(made))
    assert table.dtype == np.float32
    for place, column in enumerate(made.values()):
        wide = column if column.ndim == 2 else np.broadcast_to(column[:, None], (7, 3))
        np.testing.assert_array_equal(table[:, place], wide.ravel())


def test_features_are_what_their_names_say() -> None:
    given = windows().take(slice(100, 130))
    made = columns(given)
    speed = given.weather[..., given.variables.index("wind_speed_100m")]
    now = given.task.weather_history - 1
    np.testing.assert_array_equal(made["speed_100m"], speed[:, now + LEADS])
    np.testing.assert_array_equal(made["speed_100m_before2"], speed[:, now + LEADS - 2])
    np.testing.assert_array_equal(made["speed_100m_after1"], speed[:, now + LEADS + 1])
    np.testing.assert_array_equal(made["now_speed_100m"], speed[:, now])
    np.testing.assert_array_equal(made["now_speed_100m_change3"], speed[:, now] - speed[:, now - 3])
    np.testing.assert_allclose(made["speed_100m_mean1"][:, 0], speed[:, now : now + 3].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(made["speed_100m_ramp"][:, 0], speed[:, now + 2] - speed[:, now], atol=1e-5)
    direction = given.weather[:, now + LEADS, given.variables.index("wind_direction_100m")]
    np.testing.assert_allclose(np.cos(np.deg2rad(made["direction_100m"] - direction)), 1, atol=1e-5)
    np.testing.assert_array_equal(made["power"], given.power[:, -1])
    np.testing.assert_array_equal(made["power_change2"], given.power[:, -1] - given.power[:, -3])
    np.testing.assert_allclose(made["power_mean6"], given.power[:, -6:].mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(made["power_most12"], given.power[:, -12:].max(axis=1))
    hours = given.valid_times.astype("datetime64[h]").astype(int) % 24
    np.testing.assert_allclose(made["hour"], hours)
    np.testing.assert_allclose(made["season_sin"] ** 2 + made["season_cos"] ** 2, 1, rtol=1e-5)
    np.testing.assert_allclose(made["curve_plus_error"], made["curve"] + made["error_mean6"][:, None], rtol=1e-5)


def test_the_last_known_power_is_used_with_its_age() -> None:
    given = windows().take(slice(100, 103))
    power = given.power.copy()
    power[0, -2:] = np.nan
    power[1] = np.nan
    made = columns(replace(given, power=power))
    np.testing.assert_array_equal(made["power"], [power[0, -3], np.nan, power[2, -1]])
    np.testing.assert_array_equal(made["power_age"], [2, np.nan, 0])
    assert np.isnan(made["error"][1])


def test_features_do_not_change_when_the_target_and_what_became_of_it_change() -> None:
    given = windows().take(slice(50, 80))
    for altered in (given.without_target(), replace(given, target=given.target * 0, free=~given.free)):
        for name, column in columns(altered).items():
            np.testing.assert_array_equal(column, columns(given)[name], err_msg=name)


def test_features_do_not_change_when_the_future_is_removed() -> None:
    farm = small.source("simulation").farm
    task = small.task_of(farm)
    issue = farm.times[-40]
    known = farm.known_until(issue.item())
    whole, cut = (build_windows(f, task, np.array([issue])) for f in (farm, known))
    made = Features().fit(small.lessons("simulation"), seed=1, threads=1)
    for name, column in made.columns(whole, LEADS, threads=1).items():
        np.testing.assert_array_equal(column, made.columns(cut, LEADS, threads=1)[name], err_msg=name)


def test_a_lead_has_the_same_features_alone_or_among_others() -> None:
    given = windows().take(slice(0, 20))
    together = columns(given)
    for name, column in columns(given, np.array([2])).items():
        expected = together[name] if together[name].ndim == 1 else together[name][:, 1:2]
        np.testing.assert_array_equal(column, expected, err_msg=name)


def test_the_power_curve_does_not_fall_with_the_mean_wind_speed() -> None:
    given = windows().take(slice(0, 1))
    place = given.variables.index("wind_speed_100m")
    steps = given.weather.shape[1]
    weather = np.repeat(given.weather, 40, axis=0)
    speeds = np.linspace(0, 25, 40 * steps, dtype=np.float32).reshape(40, steps)
    weather[..., 1:] = weather[0, 0, 1:]
    weather[..., place] = speeds
    one = replace(given.take(np.zeros(40, int)), weather=weather)
    curve = fitted()._curve(one, one.weather, 1).ravel()
    # u and v are left at their own speed, as another height would be; only the mean is made to rise
    calm, strong = curve[:40].mean(), curve[-40:].mean()
    assert strong > calm + 0.5 * given.task.capacity_mw
    assert 0 <= calm < 0.1 * given.task.capacity_mw


def test_with_mean_speed_alone_the_power_curve_rises_at_every_step() -> None:
    farm = small.simulated(days=60, run_horizon_hours=24)
    bare = replace(farm, weather=farm.weather.select("valid_time", "available_at", "wind_speed_100m"))
    given = build_windows(bare, small.task_of(bare)).take(slice(30, -10))
    features = Features().fit(given, seed=1, threads=1)
    rising = replace(given.take(slice(0, 1)), weather=np.linspace(0, 30, 300, dtype=np.float32)[None, :, None])
    curve = features._curve(rising, rising.weather, 1)[0]
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] - curve[0] > 0.8 * bare.capacity_mw


def test_with_too_little_to_learn_from_there_is_no_power_curve(tmp_path: Path) -> None:
    few = windows().take(slice(0, 50))
    features = Features().fit(few, seed=1, threads=1)
    assert features.curve is None
    assert np.isnan(features.columns(few, LEADS, threads=1)["curve"]).all()
    features.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["features.json"]
    assert Features.load(tmp_path).curve is None


def test_a_change_that_reaches_beyond_the_window_is_left_out() -> None:
    """And not taken from the other end of it."""
    farm = small.source("simulation").farm
    given = build_windows(farm, small.task_of(farm, weather_history=1)).take(slice(100, 400))
    made = Features().fit(given, seed=1, threads=1).columns(given, LEADS, threads=1)
    assert not {"now_curve_change1", "now_curve_change3", "now_speed_100m_change3"} & set(made)
    longer = build_windows(farm, small.task_of(farm, weather_history=2)).take(slice(100, 400))
    of_two = Features().fit(longer, seed=1, threads=1).columns(longer, LEADS, threads=1)
    assert "now_curve_change1" in of_two
    assert "now_curve_change3" not in of_two


def test_neighbours_and_heights_have_features_of_their_own() -> None:
    farm = small.source("simulation").farm
    more = farm.weather.with_columns(
        (0.8 * pl.col("wind_speed_100m")).alias("wind_speed_10m"),
        (1.1 * pl.col("wind_speed_100m")).alias("wind_speed_100m_neighbour3"),
        pl.lit(0.5).alias("snow"),
    )
    many = replace(farm, weather=more)
    given = build_windows(many, small.task_of(many)).take(slice(100, 700))
    made = Features().fit(given, seed=1, threads=1).columns(given, LEADS, threads=1)
    np.testing.assert_allclose(made["shear"], made["speed_10m"] - made["speed_100m"], atol=1e-6)
    np.testing.assert_allclose(made["speed_mean"], 0.9 * made["speed_100m"], rtol=1e-5)
    np.testing.assert_array_equal(made["speed_neighbours"], made["speed_100m_neighbour3"])
    assert (made["snow"] == 0.5).all()
    assert "now_speed_100m_neighbour3" not in made
    assert "u_10m+0" not in made


@pytest.mark.parametrize("history", [0, 1, 5])
def test_features_of_power_need_a_window_that_holds_them(history: int) -> None:
    farm = small.source("simulation").farm
    given = build_windows(farm, small.task_of(farm, history=history)).take(slice(100, 400))
    made = set(Features().fit(given, seed=1, threads=1).columns(given, LEADS, threads=1))
    assert ("power" in made) == (history > 0)
    assert ("power_change1" in made) == (history > 1)
    assert ("power_mean3" in made) == (history >= 3)
    assert not {"power_mean6", "power_least12"} & made


def test_a_model_trained_on_other_features_is_refused_not_misread(tmp_path: Path) -> None:
    features = Features().fit(windows(), seed=1, threads=1)
    features.names = (*features.names[:-1], "something_else")
    features.save(tmp_path)
    with pytest.raises(BundleError, match="other features, by another version"):
        Features.load(tmp_path).table(windows(), LEADS, threads=1)
