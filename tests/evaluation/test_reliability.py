"""Reliability: calibrated forecasts look calibrated, others do not, and calm is no surprise."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.special import ndtr

from windcast.data.task import PERCENTILES, ForecastTask
from windcast.errors import TaskError
from windcast.evaluation import scores
from windcast.evaluation.reliability import pit, reliability
from windcast.models.forecast import Forecast

LEVELS = np.array(PERCENTILES)


def forecast_of(values, *, capacity_mw=1.0, levels=PERCENTILES, every=6, reanalysis=False) -> Forecast:
    values = np.asarray(values, np.float32)
    batch, horizon, _ = values.shape
    return Forecast(
        task=ForecastTask(
            horizon=horizon, resolution=timedelta(hours=1), capacity_mw=capacity_mw, levels=tuple(levels)
        ),
        issue_times=np.datetime64("2020-01-01", "us") + np.arange(batch) * np.timedelta64(every, "h"),
        values=values,
        rung=np.zeros((batch, horizon), np.int8),
        reanalysis=reanalysis,
    )


def uniform(batch: int, horizon: int, **kwargs) -> Forecast:
    return forecast_of(np.broadcast_to(LEVELS, (batch, horizon, 99)), **kwargs)


def farm(uniform_draws, *, capacity_mw):
    """Quantile function of a farm that is calm 30 % of the time and at capacity 15 %."""
    return np.clip((uniform_draws - 0.3) / 0.55, 0, 1) * capacity_mw


def share_inside(table) -> float:
    return ((table["frequency"] >= table["low"]) & (table["frequency"] <= table["high"])).mean()


def test_a_calibrated_forecast_lies_within_its_band_about_as_often_as_the_band_says():
    rng = np.random.default_rng(0)
    inside = [reliability(uniform(300, 6), rng.random((300, 6)), lead_groups=2) for _ in range(25)]
    assert 0.84 < np.mean([share_inside(r.levels) for r in inside]) < 0.96
    assert 0.84 < np.mean([share_inside(r.histogram) for r in inside]) < 0.96


def test_spells_of_weather_widen_the_band_so_that_a_calibrated_forecast_still_lies_within():
    rng = np.random.default_rng(1)
    inside, naive = [], []
    place = np.arange(500)[:, None] + np.arange(1, 13)
    for _ in range(30):
        weather = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.standard_normal(900))[300:]
        table = reliability(uniform(500, 12, every=1), ndtr(weather)[place], lead_groups=1).levels
        inside.append(share_inside(table))
        half = 1.645 * np.sqrt(LEVELS * (1 - LEVELS) / table["n"][0])
        naive.append((np.abs(table["frequency"].to_numpy() - LEVELS) <= half).mean())
        assert table["effective_n"][0] < table["n"][0] / 20
    assert np.mean(naive) < 0.5
    assert np.mean(inside) > 0.75


@pytest.mark.parametrize(("stretch", "edges_too_full"), [(0.5, True), (1.6, False)])
def test_bands_that_are_too_narrow_or_too_wide_are_seen(stretch, edges_too_full):
    values = np.clip(0.5 + (LEVELS - 0.5) * stretch, 0, 1)
    result = reliability(forecast_of(np.broadcast_to(values, (400, 2, 99))), np.random.default_rng(2).random((400, 2)))
    edges = result.histogram.filter((result.histogram["bin_from"] == 0) | (result.histogram["bin_to"] == 1))
    if edges_too_full:
        assert (edges["frequency"] > edges["high"]).all()
    else:
        assert (edges["frequency"] < edges["low"]).all()
    assert share_inside(result.levels) < 0.5


def test_forecasting_too_much_shows_frequencies_above_the_levels():
    table = reliability(uniform(400, 1), np.random.default_rng(3).random((400, 1)) ** 2).levels
    middle = table.filter((table["level"] > 0.2) & (table["level"] < 0.8))
    assert (middle["frequency"] > middle["high"]).all()


def test_calm_and_full_load_are_no_surprise_to_a_forecast_that_expects_them():
    observed = farm(np.random.default_rng(4).random((3000, 2)), capacity_mw=20)
    values = np.broadcast_to(farm(LEVELS, capacity_mw=20), (3000, 2, 99))
    result = reliability(forecast_of(values, capacity_mw=20), observed, lead_groups=1)
    np.testing.assert_allclose(result.levels["frequency"].to_numpy(), LEVELS, atol=0.02)
    np.testing.assert_allclose(result.histogram["frequency"].to_numpy(), 0.05, atol=0.011)


def test_a_quantile_of_a_hair_above_zero_is_calm_too():
    rng = np.random.default_rng(5)
    observed = farm(rng.random((3000, 1)), capacity_mw=20)
    values = np.maximum(np.broadcast_to(farm(LEVELS, capacity_mw=20), (3000, 1, 99)), 1e-3)
    transform = pit(forecast_of(values, capacity_mw=20), observed)
    np.testing.assert_allclose(np.histogram(transform, 10, (0, 1))[0] / 3000, 0.1, atol=0.02)


def test_calm_is_a_surprise_to_a_forecast_that_rules_it_out():
    forecast = forecast_of(np.broadcast_to(0.3 + 0.5 * LEVELS, (50, 1, 99)))
    assert pit(forecast, np.zeros((50, 1))).max() <= 0.01
    assert pit(forecast, np.ones((50, 1))).min() >= 0.99


@given(seed=st.integers(0, 2**32 - 1), capacity_mw=st.sampled_from([1.0, 21.0]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_pit_lies_between_the_levels_that_enclose_the_observation(seed, capacity_mw):
    rng = np.random.default_rng(seed)
    levels = (0.1, 0.5, 0.9)
    values = np.sort(rng.random((20, 2, 3)), axis=-1) * capacity_mw
    observed = (rng.random((20, 2)) * capacity_mw).astype(np.float32)
    forecast = forecast_of(values, levels=levels, capacity_mw=capacity_mw)
    transform = pit(forecast, observed, seed=seed)
    clear = (np.abs(forecast.values - observed[..., None]) > 2e-4 * capacity_mw).all(axis=-1)
    for index, level in enumerate(levels):
        at_or_below = observed <= forecast.values[..., index]
        np.testing.assert_array_equal((transform <= level)[clear], at_or_below[clear])


def test_an_observation_on_a_quantile_falls_around_its_level():
    forecast = forecast_of(np.full((2000, 1, 3), [0.2, 0.5, 0.8]), levels=(0.25, 0.5, 0.75))
    transform = pit(forecast, np.full((2000, 1), 0.5))
    assert 0.375 <= transform.min() < 0.38
    assert 0.62 < transform.max() <= 0.625


def test_an_atom_at_either_bound_is_drawn_over_all_that_lies_beyond_it():
    levels = (0.25, 0.5, 0.75)
    calm = pit(forecast_of(np.full((2000, 1, 3), [0.0, 0, 0.8]), levels=levels), np.zeros((2000, 1)))
    full = pit(forecast_of(np.full((2000, 1, 3), [0.2, 1, 1]), levels=levels), np.ones((2000, 1)))
    assert calm.min() < 0.01
    assert 0.61 < calm.max() <= 0.625
    assert 0.375 <= full.min() < 0.39
    assert full.max() > 0.99


def test_the_same_seed_gives_the_same_pit_whatever_is_taken_at_a_time(monkeypatch):
    forecast, observed = uniform(40, 3), np.random.default_rng(6).random((40, 3))
    observed[4, 1] = np.nan
    whole = pit(forecast, observed, seed=7)
    monkeypatch.setattr(scores, "CHUNK", 900)
    np.testing.assert_array_equal(pit(forecast, observed, seed=7), whole)
    assert not np.array_equal(pit(forecast, observed, seed=8), whole, equal_nan=True)
    assert np.isnan(whole).sum() == 1


def test_an_unknown_observation_counts_for_nothing():
    forecast, observed = uniform(30, 2), np.random.default_rng(8).random((30, 2))
    observed[20:] = np.nan
    result = reliability(forecast, observed, lead_groups=1)
    transform = pit(forecast, observed)[:20]
    assert result.levels["n"].unique().to_list() == [40]
    at_most = (transform[..., None] <= LEVELS).mean(axis=(0, 1))
    np.testing.assert_allclose(result.levels["frequency"].to_numpy(), at_most)
    counts = np.histogram(transform, 20, (0, 1))[0]
    np.testing.assert_allclose(result.histogram["frequency"].to_numpy(), counts / 40)


def test_leads_fall_into_contiguous_groups_and_one_with_nothing_known_is_null():
    observed = np.random.default_rng(9).random((20, 5))
    observed[:, 3:] = np.nan
    result = reliability(uniform(20, 5), observed, lead_groups=2, bins=4)
    for table, rows in ((result.levels, 99), (result.histogram, 4)):
        groups = table.select("lead_from_minutes", "lead_to_minutes").unique(maintain_order=True)
        assert groups.rows() == [(60, 180), (240, 300)]
        assert table.height == 2 * rows
        assert table["n"].to_list() == [60] * rows + [0] * rows
        for name in ("effective_n", "frequency", "low", "high"):
            assert table[name].is_null().to_list() == [False] * rows + [True] * rows


def test_more_groups_than_leads_are_one_group_a_lead():
    table = reliability(uniform(20, 2), np.random.default_rng(10).random((20, 2)), lead_groups=9).levels
    assert table["lead_from_minutes"].unique().sort().to_list() == [60, 120]


def test_too_few_issue_times_count_as_few_pairs_and_the_band_is_wide():
    table = reliability(uniform(8, 12), np.random.default_rng(11).random((8, 12)), lead_groups=1).levels
    assert table["n"][0] == 96
    assert table["effective_n"][0] == 4
    one = reliability(uniform(1, 12), np.random.default_rng(11).random((1, 12)), lead_groups=1).levels
    median = one.filter(one["level"] == 0.5)
    assert median["high"][0] - median["low"][0] > 0.9


def test_the_band_is_that_of_a_binomial_share_of_the_effective_size():
    table = reliability(uniform(500, 2), np.random.default_rng(12).random((500, 2)), lead_groups=1).levels
    at = table.filter(table["level"] == 0.5)
    half = 1.645 * np.sqrt(0.25 / at["effective_n"][0])
    assert at["low"][0] == pytest.approx(0.5 - half, abs=2e-3)
    assert at["high"][0] == pytest.approx(0.5 + half, abs=2e-3)
    assert ((table["low"] < table["level"]) & (table["level"] < table["high"])).all()


def test_reliability_says_whether_the_weather_was_reanalysis():
    assert reliability(uniform(2, 1, reanalysis=True), [[0.5], [0.2]]).reanalysis


@pytest.mark.parametrize("wrong", [{"lead_groups": 0}, {"bins": 1}, {"band": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(TaskError, match=next(iter(wrong))):
        reliability(uniform(2, 1), [[0.5], [0.2]], **wrong)


def test_a_forecast_with_nothing_known_is_refused():
    with pytest.raises(TaskError, match="no observed power"):
        reliability(uniform(1, 1), [[np.nan]])
