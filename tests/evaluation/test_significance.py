"""Significance: the right size where models are equal, power where they are not."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from windcast.errors import TaskError
from windcast.evaluation.significance import (
    DieboldMariano,
    bandwidth,
    compare,
    diebold_mariano,
    holm,
    overlap,
    variance_of_sum,
)

HOUR = timedelta(hours=1)


def hourly(batch: int, *, every: int = 1):
    return np.datetime64("2020-01-01", "us") + np.arange(batch) * np.timedelta64(every, "h")


def autocorrelated(rng, n: int, rho: float):
    return lfilter([1.0], [1, -rho], rng.standard_normal(n + 200))[200:]


def rejections(series, *, overlap: int) -> float:
    reference = np.zeros(len(series[0]))
    return float(np.mean([diebold_mariano(d, reference, overlap=overlap).p_value < 0.05 for d in series]))


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_equal_models_with_autocorrelated_losses_are_told_apart_about_as_rarely_as_promised(rho):
    rng = np.random.default_rng(11)
    assert 0.01 <= rejections([autocorrelated(rng, 400, rho) for _ in range(400)], overlap=0) <= 0.1


def test_equal_models_with_overlapping_horizons_are_told_apart_about_as_rarely_as_promised():
    rng = np.random.default_rng(12)
    series = [np.convolve(rng.standard_normal(423), np.ones(24), "valid") for _ in range(400)]
    assert 0.01 <= rejections(series, overlap=23) <= 0.1
    naive = [abs(d.mean()) / (d.std() / 20) > 1.96 for d in series]
    assert np.mean(naive) > 0.5


def test_a_better_model_is_found():
    rng = np.random.default_rng(13)
    series = [autocorrelated(rng, 400, 0.5) - 0.5 for _ in range(100)]
    assert rejections(series, overlap=0) > 0.95


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_swapping_the_models_changes_the_sign_and_nothing_else(seed):
    first, second = np.random.default_rng(seed).random((2, 60))
    one, other = (
        diebold_mariano(first, second, overlap=2),
        diebold_mariano(second, first, overlap=2),
    )
    assert (one.difference, one.statistic) == (-other.difference, -other.statistic)
    assert (one.p_value, one.n, one.lags) == (other.p_value, other.n, other.lags)


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.01, 1000))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_test_does_not_depend_on_the_unit_of_the_loss(seed, factor):
    first, second = np.random.default_rng(seed).random((2, 60))
    one = diebold_mariano(first, second, overlap=0)
    other = diebold_mariano(first * factor, second * factor, overlap=0)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6)


def test_a_lower_loss_is_a_negative_difference():
    worse = np.random.default_rng(2).random(200) + 1
    test = diebold_mariano(np.random.default_rng(3).random(200), worse, overlap=0)
    assert test.difference < 0
    assert test.statistic < -5
    assert test.p_value < 1e-3


def test_the_variance_is_newey_and_wests_by_its_formula():
    deviations = np.array([1.0, -2.0, 0.5, 3.0, -2.5])
    by_hand = deviations @ deviations
    by_hand += 2 * (2 / 3) * (deviations[1:] @ deviations[:-1]) + 2 * (1 / 3) * (deviations[2:] @ deviations[:-2])
    assert variance_of_sum(deviations, lags=2) == pytest.approx(by_hand)
    both = np.stack([deviations, deviations * 3], axis=1)
    np.testing.assert_allclose(variance_of_sum(both, lags=2), [by_hand, 9 * by_hand])


def test_the_statistic_and_its_p_value_are_those_of_the_published_formula():
    difference = np.array([0.3, -0.1, 0.4, 0.2, -0.2, 0.1, 0.3, 0.0, 0.2, 0.1, 0.4, -0.1])
    n, lags = 12, 5
    e = difference - difference.mean()
    variance = (e @ e + 2 * sum((1 - k / 6) * (e[k:] @ e[:-k]) for k in range(1, 6))) / n**2
    shrink = np.sqrt((n + 1 - 2 * 6 + 6 * 5 / n) / n)
    test = diebold_mariano(difference, np.zeros(12), overlap=0)
    assert test.lags == lags
    assert test.statistic == pytest.approx(difference.mean() / np.sqrt(variance) * shrink)
    # A t distribution with 3 degrees of freedom (1.5 × 12 / 6) in closed form.
    t = abs(test.statistic)
    tail = 0.5 - (np.arctan(t / np.sqrt(3)) + t / np.sqrt(3) / (1 + t**2 / 3)) / np.pi
    assert test.p_value == pytest.approx(2 * tail)


def test_a_gap_in_either_series_leaves_out_the_pair_and_keeps_the_others_in_their_place():
    first, second = np.random.default_rng(4).random((2, 80))
    one_gap, other_gap = first.copy(), second.copy()
    one_gap[10], other_gap[50] = np.nan, np.nan
    both = diebold_mariano(one_gap, other_gap, overlap=0)
    assert both.n == 78
    filled = np.delete(first - second, [10, 50])
    assert both.difference == pytest.approx(filled.mean())
    padded_first = np.concatenate([[np.nan] * 5, one_gap, [np.nan] * 5])
    padded_second = np.concatenate([np.ones(5), other_gap, np.ones(5)])
    padded = diebold_mariano(padded_first, padded_second, overlap=0)
    assert (padded.n, padded.lags) == (78, both.lags)
    assert padded.statistic == pytest.approx(both.statistic)
    closed_up = diebold_mariano(filled, np.zeros(78), overlap=0)
    assert closed_up.statistic != both.statistic


def test_a_model_equals_itself():
    loss = np.random.default_rng(5).random(50)
    test = diebold_mariano(loss, loss, overlap=0)
    assert (test.difference, test.statistic, test.p_value) == (0, 0, 1)


def test_a_model_that_is_worse_by_the_same_amount_every_time_is_certainly_worse():
    loss = np.arange(50) / 64
    test = diebold_mariano(loss + 0.5, loss, overlap=0)
    assert (test.difference, test.statistic, test.p_value) == (0.5, np.inf, 0)


@pytest.mark.parametrize(("n", "overlap"), [(9, 0), (0, 0), (95, 23)])
def test_too_few_issue_times_give_no_verdict(n, overlap):
    test = diebold_mariano(np.ones(n), np.zeros(n), overlap=overlap)
    assert np.isnan([test.statistic, test.p_value]).all()
    assert test.n == n


def test_the_bandwidth_covers_the_overlap_of_horizons():
    for n in (10, 100, 8760):
        for horizon in (1, 24, 48):
            assert bandwidth(n, horizon - 1) >= horizon - 1
    assert bandwidth(400, 0) == 26
    assert bandwidth(400, 23) == 46


def test_horizons_overlap_by_time_and_not_by_count():
    assert overlap(hourly(5), HOUR, steps=48) == 47
    assert overlap(hourly(5, every=24), HOUR, steps=48) == 1
    assert overlap(hourly(5, every=24), HOUR, steps=24) == 0
    assert overlap(hourly(5, every=24), timedelta(minutes=10), steps=145) == 1
    assert overlap(hourly(1), HOUR, steps=48) == 0


def test_issue_times_out_of_order_are_refused():
    with pytest.raises(TaskError, match="ascend"):
        overlap(hourly(5)[::-1], HOUR, steps=2)


def test_holm_gives_the_textbook_values():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8, np.nan]), [1, 1, np.nan])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p_values):
    raw, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * len(raw))).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_holm_keeps_equal_models_apart_from_many_leads():
    rng = np.random.default_rng(6)
    false_alarms = [(holm(rng.random(48)) < 0.05).any() for _ in range(500)]
    assert np.mean(false_alarms) < 0.08


def test_a_comparison_tests_every_lead_and_the_mean_over_leads():
    rng = np.random.default_rng(7)
    ours = rng.random((300, 3))
    theirs = ours + np.array([0.0, 0.1, 0.3]) + 0.2 * rng.standard_normal((300, 3))
    result = compare(ours, theirs, issue_times=hourly(300), resolution=HOUR)
    assert result.leads["lead_minutes"].to_list() == [60, 120, 180]
    for lead in range(3):
        row = result.leads.row(lead, named=True)
        adjusted = row.pop("p_holm")
        del row["lead_minutes"]
        assert DieboldMariano(**row) == diebold_mariano(ours[:, lead], theirs[:, lead], overlap=lead)
        assert adjusted >= row["p_value"]
    expected = diebold_mariano(ours.mean(axis=1), theirs.mean(axis=1), overlap=2)
    assert result.overall.statistic == pytest.approx(expected.statistic)
    assert result.leads["p_holm"][2] < 0.001 < result.leads["p_holm"][0]


def test_a_comparison_leaves_out_a_pair_that_either_model_lacks():
    ours, theirs = np.random.default_rng(8).random((2, 100, 2))
    ours[:30, 0], theirs[95:, :] = np.nan, np.nan
    ours_gaps = np.where(np.isnan(theirs), np.nan, ours)
    result = compare(ours, theirs, issue_times=hourly(100), resolution=HOUR)
    assert result.leads["n"].to_list() == [65, 95]
    assert result.overall.n == 95
    assert result.overall == compare(ours_gaps, theirs, issue_times=hourly(100), resolution=HOUR).overall
    mean = np.concatenate([(ours - theirs)[:30, 1], (ours - theirs)[30:95].mean(axis=1)]).mean()
    assert result.overall.difference == pytest.approx(mean)


def test_a_lead_with_too_few_pairs_is_null_and_counts_not_towards_holm():
    ours, theirs = np.random.default_rng(9).random((2, 100, 2))
    ours[5:, 1] = np.nan
    leads = compare(ours, theirs, issue_times=hourly(100), resolution=HOUR).leads
    assert leads["p_value"].is_null().to_list() == [False, True]
    assert leads["p_holm"][0] == leads["p_value"][0]


@pytest.mark.parametrize(("rows", "columns", "times"), [(5, 2, 4), (4, 3, 4)])
def test_losses_of_different_pairs_are_not_compared(rows, columns, times):
    with pytest.raises(TaskError, match="Give two arrays"):
        compare(np.zeros((rows, columns)), np.zeros((rows, 2)), issue_times=hourly(times), resolution=HOUR)
    with pytest.raises(TaskError, match="do not pair"):
        diebold_mariano(np.zeros(3), np.zeros(4), overlap=0)
