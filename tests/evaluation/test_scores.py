"""Scores: values against closed forms, propriety, units, and what is left out."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.special import ndtri

from windcast.data.task import PERCENTILES, ForecastTask
from windcast.errors import TaskError
from windcast.evaluation import scores
from windcast.evaluation.scores import crps, score, skill
from windcast.models.forecast import Forecast

LEVELS = np.array(PERCENTILES)


def forecast_of(values, *, capacity_mw=1.0, levels=PERCENTILES, reanalysis=False) -> Forecast:
    values = np.asarray(values, np.float32)
    batch, horizon, _ = values.shape
    hours = np.arange(batch) * np.timedelta64(1, "h")
    return Forecast(
        task=ForecastTask(
            horizon=horizon, resolution=timedelta(minutes=30), capacity_mw=capacity_mw, levels=tuple(levels)
        ),
        issue_times=np.datetime64("2020-01-01", "us") + hours,
        values=values,
        rung=np.zeros((batch, horizon), np.int8),
        reanalysis=reanalysis,
    )


def uniform(batch: int, horizon: int, **kwargs) -> Forecast:
    return forecast_of(np.broadcast_to(LEVELS, (batch, horizon, 99)), **kwargs)


def random_pair(seed: int, *, batch: int = 6, horizon: int = 3, capacity_mw: float = 1.0):
    rng = np.random.default_rng(seed)
    values = np.sort(rng.random((batch, horizon, 99)), axis=-1) * capacity_mw
    return forecast_of(values, capacity_mw=capacity_mw), rng.random((batch, horizon)) * capacity_mw


def test_the_crps_of_a_uniform_forecast_is_the_known_one_but_for_its_outermost_percent():
    observed = np.array([[0.0, 0.25, 0.5, 0.9, 1.0]])
    exact = (observed**3 + (1 - observed) ** 3) / 3
    np.testing.assert_allclose(crps(uniform(1, 5), observed) * 0.99, exact, atol=1e-4)


def test_the_crps_of_a_normal_forecast_is_the_known_one_but_for_its_outermost_percent():
    spread = 0.05
    z = np.array([[-1.5, -0.3, 0.0, 1.0, 2.0]])
    cdf = np.array([[0.0668072, 0.3820886, 0.5, 0.8413447, 0.9772499]])
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    exact = spread * (z * (2 * cdf - 1) + 2 * density - 1 / np.sqrt(np.pi))
    forecast = forecast_of(np.broadcast_to(0.5 + spread * ndtri(LEVELS), (1, 5, 99)))
    np.testing.assert_allclose(crps(forecast, 0.5 + spread * z) * 0.99, exact, rtol=0.02)


def test_the_crps_of_a_certain_forecast_is_its_absolute_error():
    forecast = forecast_of(np.full((1, 2, 99), 0.3))
    np.testing.assert_allclose(crps(forecast, [[0.1, 0.8]]), [[0.2, 0.5]], atol=1e-6)


def test_every_score_of_a_hand_sized_forecast_is_what_the_formula_gives():
    levels = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    values = np.broadcast_to([1.0, 2, 3, 4, 6, 8, 9], (2, 1, 7))
    result = score(forecast_of(values, capacity_mw=10, levels=levels), [[5.0], [8.5]])
    expectation = 33 / 7
    pinball = [
        (0.05 * 4 + 0.1 * 3 + 0.25 * 2 + 0.5 * 1 + 0.25 * 1 + 0.1 * 3 + 0.05 * 4) / 7,
        (0.05 * 7.5 + 0.1 * 6.5 + 0.25 * 5.5 + 0.5 * 4.5 + 0.75 * 2.5 + 0.9 * 0.5 + 0.05 * 0.5) / 7,
    ]
    expected = {
        "lead_minutes": 30,
        "n": 2,
        "nmae": (1 + 4.5) / 2 / 10,
        "nrmse": np.sqrt(((expectation - 5) ** 2 + (expectation - 8.5) ** 2) / 2) / 10,
        "bias": (expectation - 6.75) / 10,
        "pinball": np.mean(pinball) / 10,
        "crps": 2 * np.mean(pinball) / 10,
        "coverage_50": 0.5,
        "width_50": 0.3,
        "coverage_80": 0.5,
        "width_80": 0.6,
        "coverage_90": 1.0,
        "width_90": 0.8,
    }
    row = result.leads.row(0, named=True)
    assert set(row) == set(expected)
    assert row == pytest.approx(expected, rel=1e-6)
    del expected["lead_minutes"]
    assert dict(result.overall) == pytest.approx(expected, rel=1e-6)


def test_a_calibrated_forecast_covers_as_often_as_its_intervals_claim():
    observed = np.random.default_rng(1).random((4000, 2))
    overall = score(uniform(4000, 2), observed).overall
    for percent in (50, 80, 90):
        assert overall[f"coverage_{percent}"] == pytest.approx(percent / 100, abs=0.02)
        assert overall[f"width_{percent}"] == pytest.approx(percent / 100, abs=1e-6)


def test_intervals_beyond_the_outermost_levels_are_not_scored():
    levels = (0.1, 0.5, 0.9)
    result = score(forecast_of([[[0.1, 0.5, 0.9]]], levels=levels), [[0.5]])
    assert [c for c in result.leads.columns if c.startswith("coverage")] == ["coverage_50", "coverage_80"]
    assert "width_90" not in result.overall
    assert result.leads["width_50"][0] == pytest.approx(0.5)


def test_a_level_that_rounding_moved_still_bounds_its_interval():
    levels = (0.1, 0.5, 0.7 + 0.2)
    assert levels[2] < 0.9
    assert "coverage_80" in score(forecast_of([[[0.1, 0.5, 0.9]]], levels=levels), [[0.5]]).overall


def test_an_interval_holds_an_observation_on_its_bound():
    forecast = forecast_of(np.zeros((1, 1, 99)))
    assert score(forecast, [[0.0]]).overall["coverage_50"] == 1
    assert score(forecast, [[0.1]]).overall["coverage_90"] == 0


def test_forecasting_too_much_is_a_positive_bias():
    assert score(uniform(1, 1), [[0.1]]).overall["bias"] == pytest.approx(0.4, abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-0.3, 0.3), stretch=st.floats(0.3, 2.0))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_no_other_forecast_scores_better_in_expectation_than_the_true_quantiles(seed, shift, stretch):
    observed = np.random.default_rng(seed).beta(2, 2, (1500, 1))
    truth = np.sort(np.random.default_rng(seed + 1).beta(2, 2, 20_000))
    true_quantiles = np.quantile(truth, LEVELS)
    other = np.clip(0.5 + (true_quantiles - 0.5) * stretch + shift, 0, 1)
    honest = crps(forecast_of(np.broadcast_to(true_quantiles, (1500, 1, 99))), observed)
    dishonest = crps(forecast_of(np.broadcast_to(other, (1500, 1, 99))), observed)
    error = (dishonest - honest).std() / np.sqrt(1500)
    assert dishonest.mean() >= honest.mean() - 4.5 * error - 1e-4


@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.01, 2.0, 21.0, 1000.0]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_scores_do_not_depend_on_the_unit_of_power(seed, factor):
    forecast, observed = random_pair(seed)
    scaled = forecast_of(forecast.values.astype(np.float64) * factor, capacity_mw=factor)
    one, other = score(forecast, observed).overall, score(scaled, observed * factor).overall
    for name in one:
        assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6), name


@given(seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_unknown_observation_counts_for_nothing(seed, data):
    forecast, observed = random_pair(seed)
    rows = data.draw(st.sets(st.integers(0, 5), max_size=5))
    kept = [row for row in range(6) if row not in rows]
    observed[list(rows)] = np.nan
    with_gaps, without = score(forecast, observed), score(forecast.take(np.array(kept)), observed[kept])
    assert_frame_equal(with_gaps.leads, without.leads, rel_tol=1e-9)
    assert dict(with_gaps.overall) == pytest.approx(dict(without.overall), rel=1e-9)


def test_a_lead_with_nothing_known_is_null_and_the_others_stand():
    forecast, observed = random_pair(3)
    observed[:, 1] = np.nan
    leads = score(forecast, observed).leads
    assert leads["n"].to_list() == [6, 0, 6]
    assert leads["crps"].is_null().to_list() == [False, True, False]
    assert leads["lead_minutes"].to_list() == [30, 60, 90]


def test_the_overall_score_weighs_every_pair_alike():
    forecast, observed = random_pair(4)
    observed[1:, 0] = np.nan
    result = score(forecast, observed)
    weights = result.leads["n"].to_numpy()
    for name in ("nmae", "bias", "crps", "coverage_80"):
        assert result.overall[name] == pytest.approx(np.average(result.leads[name].to_numpy(), weights=weights))
    squares = np.average(result.leads["nrmse"].to_numpy() ** 2, weights=weights)
    assert result.overall["nrmse"] == pytest.approx(np.sqrt(squares))


def test_scoring_a_few_at_a_time_changes_no_byte(monkeypatch):
    forecast, observed = random_pair(5, batch=50)
    observed[3, 1] = np.nan
    whole = crps(forecast, observed)
    monkeypatch.setattr(scores, "CHUNK", 700)
    np.testing.assert_array_equal(crps(forecast, observed), whole)
    assert np.isnan(whole).sum() == 1


def test_scores_say_whether_the_weather_was_reanalysis():
    assert score(uniform(1, 1, reanalysis=True), [[0.5]]).reanalysis
    assert not score(uniform(1, 1), [[0.5]]).reanalysis


def test_skill_is_one_minus_the_ratio_of_crps_by_lead():
    forecast, observed = random_pair(6)
    reference = score(uniform(6, 3), observed)
    scored = score(forecast, observed)
    table = skill(scored, reference)
    assert table["lead_minutes"].to_list() == [30, 60, 90]
    expected = 1 - scored.leads["crps"].to_numpy() / reference.leads["crps"].to_numpy()
    np.testing.assert_allclose(table["skill"].to_numpy(), expected)
    assert skill(scored, scored)["skill"].to_list() == [0, 0, 0]


def test_skill_is_null_against_a_perfect_reference_and_where_nothing_was_scored():
    observed = np.array([[0.5, 0.5, np.nan], [0.5, 0.2, np.nan]])
    perfect = score(forecast_of(np.full((2, 3, 99), 0.5)), observed)
    assert skill(score(uniform(2, 3), observed), perfect)["skill"].is_null().to_list() == [True, False, True]
    assert skill(perfect, perfect)["skill"].to_list() == [None, 0, None]


def test_skill_refuses_scores_of_different_samples():
    forecast, observed = random_pair(7)
    with pytest.raises(TaskError, match="18 pairs, the reference's of 9"):
        skill(score(forecast, observed), score(forecast.take(slice(0, 3)), observed[:3]))


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        ([[0.5]], r"shape \(1, 1\); the forecast is of \(1, 2\)"),
        ([[0.5, np.inf]], "infinite"),
        ([[np.nan, np.nan]], "no observed power is known"),
    ],
)
def test_observations_that_cannot_be_scored_are_refused(observed, message):
    with pytest.raises(TaskError, match=message):
        score(uniform(1, 2), observed)


def test_the_frame_holds_numbers_and_no_nan():
    forecast, observed = random_pair(8)
    observed[:, 2] = np.nan
    leads = score(forecast, observed).leads
    assert leads.schema["n"] == pl.Int64
    assert not any(leads[name].is_nan().any() for name in leads.columns if leads.schema[name] == pl.Float64)
