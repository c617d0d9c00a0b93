"""Quantiles given one number: what the neighbours along that number had."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from windcast.models.conditional import LEAST_NEIGHBOURS, ConditionalQuantiles

LEVELS = np.array([0.1, 0.5, 0.9])


def test_the_quantiles_follow_the_given_number() -> None:
    rng = np.random.default_rng(0)
    given = rng.uniform(0, 10, 8000)
    target = given + (0.2 + 0.1 * given) * rng.standard_normal(8000)
    fitted = ConditionalQuantiles.fit(given, target, LEVELS)
    at = np.array([2.0, 5.0, 8.0])
    expected = at[:, None] + (0.2 + 0.1 * at[:, None]) * ndtri(LEVELS)
    np.testing.assert_allclose(fitted.at(at), expected, atol=0.25)


def test_beyond_the_outermost_places_the_quantiles_stay() -> None:
    rng = np.random.default_rng(1)
    given = rng.uniform(3, 9, 2000)
    fitted = ConditionalQuantiles.fit(given, given, LEVELS)
    np.testing.assert_array_equal(fitted.at(np.array([-50.0, 0.0])), fitted.at(np.array([3.0, 3.0])))
    np.testing.assert_array_equal(fitted.at(np.array([1e6])), fitted.at(np.array([9.0])))


def test_what_is_missing_is_left_out_in_fit_and_missing_in_the_answer() -> None:
    rng = np.random.default_rng(2)
    given, target = rng.uniform(0, 10, (2, 500))
    with_gaps = np.concatenate([given, np.full(50, np.nan), given[:50]])
    beside = np.concatenate([target, target[:50], np.full(50, np.nan)])
    whole, holed = ConditionalQuantiles.fit(given, target, LEVELS), ConditionalQuantiles.fit(with_gaps, beside, LEVELS)
    np.testing.assert_array_equal(whole.places, holed.places)
    np.testing.assert_array_equal(whole.quantiles, holed.quantiles)
    answer = holed.at(np.array([np.nan, 5.0]))
    assert np.isnan(answer[0]).all()
    assert np.isfinite(answer[1]).all()


@pytest.mark.parametrize("empty", [np.array([]), np.full(7, np.nan)])
def test_with_nothing_to_learn_from_every_answer_is_missing(empty: np.ndarray) -> None:
    fitted = ConditionalQuantiles.fit(empty, empty, LEVELS)
    assert np.isnan(fitted.at(np.array([0.0, 3.0, np.nan]))).all()


def test_few_pairs_give_the_quantiles_of_them_all() -> None:
    target = np.arange(LEAST_NEIGHBOURS - 1, dtype=float)
    fitted = ConditionalQuantiles.fit(target[::-1], target, LEVELS)
    np.testing.assert_allclose(fitted.at(np.array([0.0, 40.0])), [np.quantile(target, LEVELS)] * 2)


def test_a_constant_given_number_is_one_place() -> None:
    target = np.linspace(0, 1, 200)
    fitted = ConditionalQuantiles.fit(np.zeros(200), target, LEVELS)
    assert len(fitted.places) == 1
    assert np.isfinite(fitted.at(np.array([-1.0, 0.0, 1.0]))).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 400), ties=st.booleans())
def test_quantiles_rise_with_the_level_and_stay_within_what_was_seen(seed: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    given, target = rng.normal(5, 3, (2, count))
    given = np.round(given) if ties else given
    fitted = ConditionalQuantiles.fit(given, target, LEVELS)
    assert (np.diff(fitted.places) > 0).all()
    answer = fitted.at(rng.normal(5, 6, 50))
    assert (np.diff(answer, axis=-1) >= -1e-6).all()
    assert answer.min() >= target.min() - 1e-5
    assert answer.max() <= target.max() + 1e-5
