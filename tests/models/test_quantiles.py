"""Arithmetic on quantile functions agrees with arithmetic on the distributions they stand for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from windcast.models import quantiles

CAPACITY = 20.0
PERCENTILES = np.arange(1, 100) / 100
seeds = st.integers(0, 2**32 - 1)
steady = settings(max_examples=40, deadline=None, derandomize=True)


def some_levels(rng: np.random.Generator, least: int = 2) -> np.ndarray:
    return np.sort(rng.choice(PERCENTILES, int(rng.integers(least, 30)), replace=False))


def some_quantiles(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Ascending along the last axis, in [0, capacity], with ties and masses at both bounds."""
    raw = rng.uniform(-5, CAPACITY + 5, shape).clip(0, CAPACITY)
    return np.sort(np.where(rng.random(shape) < 0.2, np.round(raw), raw), axis=-1).astype(np.float32)


# ---- between levels ----


@steady
@given(seed=seeds)
def test_between_levels_is_exact_at_the_knots_rises_and_stays_within_bounds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knots = some_levels(rng)
    values = some_quantiles(rng, 4, 3, len(knots))
    np.testing.assert_array_equal(quantiles.between_levels(values, knots, knots, capacity_mw=CAPACITY), values)
    dense = quantiles.between_levels(values, knots, np.linspace(0.001, 0.999, 300), capacity_mw=CAPACITY)
    assert dense.shape == (4, 3, 300)
    assert (np.diff(dense, axis=-1) >= -1e-5).all()
    assert dense.min() >= 0
    assert dense.max() <= CAPACITY + 1e-5


@steady
@given(seed=seeds)
def test_crossed_quantiles_are_put_in_order_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    knots, levels = some_levels(rng), some_levels(rng)
    values = some_quantiles(rng, 5, len(knots))
    shuffled = rng.permuted(values, axis=-1)
    np.testing.assert_array_equal(
        quantiles.between_levels(shuffled, knots, levels, capacity_mw=CAPACITY),
        quantiles.between_levels(values, knots, levels, capacity_mw=CAPACITY),
    )


def test_between_and_beyond_the_knots_the_quantile_function_is_straight() -> None:
    values, knots = np.array([[4.0, 8.0, 10.0]]), np.array([0.2, 0.6, 0.8])
    levels = np.array([0.1, 0.2, 0.4, 0.7, 0.9])
    read = quantiles.between_levels(values, knots, levels, capacity_mw=CAPACITY)
    np.testing.assert_allclose(read, [[3, 4, 6, 9, 11]], rtol=1e-6)


def test_the_ends_stop_at_0_and_at_capacity() -> None:
    values = np.array([[1.0, 9.0], [12.0, 19.0], [5.0, 5.0]], np.float32)
    ends = quantiles.with_ends(values, np.array([0.25, 0.75]), capacity_mw=CAPACITY)
    np.testing.assert_allclose(ends, [[0, 1, 9, 13], [8.5, 12, 19, 20], [5, 5, 5, 5]])


def test_a_single_level_says_nothing_of_the_ends_but_the_bounds() -> None:
    ends = quantiles.with_ends(np.array([[[3.0]]]), np.array([0.5]), capacity_mw=CAPACITY)
    np.testing.assert_array_equal(ends, [[[0, 3, CAPACITY]]])


# ---- linear pool ----


def mixture_quantiles(
    means: list[float], weights: list[float], levels: np.ndarray, *, spread: float = 1.5
) -> np.ndarray:
    """Quantiles of a mixture of normals, by bisection of its distribution function."""
    grid = np.linspace(-20, 40, 60_001)
    share = np.array(weights) / sum(weights)
    below = sum(w * ndtr((grid - m) / spread) for w, m in zip(share, means, strict=True))
    return np.interp(levels, below, grid)


@pytest.mark.parametrize("weights", [[1, 1], [1, 3], [0.2, 0.5, 0.3], [2, 2, 2, 2], [1, 0]])
def test_the_pool_is_the_average_of_the_distribution_functions(weights: list[float]) -> None:
    means = [8.0, 11.0, 6.0, 12.5][: len(weights)]
    members = [(m + 1.5 * ndtri(PERCENTILES))[None].astype(np.float32) for m in means]
    pool = quantiles.linear_pool(members, np.array(weights), PERCENTILES)
    exact = mixture_quantiles(means, weights, PERCENTILES)
    inner = slice(4, -4)  # beyond the members' own levels nothing is known
    np.testing.assert_allclose(pool[0, inner], exact[inner], atol=0.12)


@steady
@given(seed=seeds)
def test_the_pool_rises_and_stays_between_its_members(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = PERCENTILES[4::5]
    members = [some_quantiles(rng, 3, 2, len(levels)) for _ in range(int(rng.integers(1, 5)))]
    weights = rng.uniform(0.05, 1, len(members))
    pool = quantiles.linear_pool(members, weights, levels)
    assert pool.shape == (3, 2, len(levels))
    assert (np.diff(pool, axis=-1) >= -1e-5).all()
    assert (pool >= np.min(members, axis=(0, -1))[..., None] - 1e-5).all()
    assert (pool <= np.max(members, axis=(0, -1))[..., None] + 1e-5).all()


@steady
@given(seed=seeds, count=st.integers(1, 4))
def test_a_pool_of_equals_is_what_they_are(seed: int, count: int) -> None:
    """As nearly as the points that stand for a member can tell."""
    rng = np.random.default_rng(seed)
    member = np.cumsum(rng.uniform(0, 0.3, (2, 99)), axis=-1).astype(np.float32)
    pool = quantiles.linear_pool([member] * count, rng.uniform(0.1, 1, count), PERCENTILES)
    np.testing.assert_allclose(pool[:, 1:-1], member[:, 1:-1], atol=0.4)


def test_only_the_ratio_of_the_weights_matters_and_no_weight_is_no_voice() -> None:
    rng = np.random.default_rng(1)
    members = [some_quantiles(rng, 4, 99) for _ in range(3)]
    first = quantiles.linear_pool(members, np.array([0.2, 0.3, 0.5]), PERCENTILES)
    np.testing.assert_array_equal(first, quantiles.linear_pool(members, np.array([2, 3, 5.0]), PERCENTILES))
    silent = quantiles.linear_pool(members, np.array([0.2, 0.3, 0.0]), PERCENTILES)
    loud = [members[0], members[1], members[2] + 7]
    np.testing.assert_array_equal(silent, quantiles.linear_pool(loud, np.array([0.2, 0.3, 0.0]), PERCENTILES))


def test_more_weight_draws_the_pool_nearer() -> None:
    low, high = np.full((1, 19), 2.0, np.float32), np.full((1, 19), 10.0, np.float32)
    levels = np.arange(1, 20) / 20
    shares = [
        (quantiles.linear_pool([low, high], np.array([1 - w, w]), levels) > 6).mean() for w in (0.1, 0.4, 0.6, 0.9)
    ]
    np.testing.assert_allclose(shares, [0.1, 0.4, 0.6, 0.9], atol=0.06)


@steady
@given(seed=seeds)
def test_a_row_of_a_pool_has_the_same_bits_whatever_stands_beside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    members = [some_quantiles(rng, 700, 19) for _ in range(3)]
    levels, weights = np.arange(1, 20) / 20, rng.uniform(0.1, 1, 3)
    together = quantiles.linear_pool(members, weights, levels)
    for row in (0, 1, 255, 256, 511, 699):
        alone = quantiles.linear_pool([m[row : row + 1] for m in members], weights, levels)
        np.testing.assert_array_equal(alone[0], together[row])


# ---- of a distribution ----


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_of_distribution_inverts_a_known_distribution(power: float) -> None:
    """F(x) = x^power has the quantile function level^(1 / power)."""
    edges = (np.linspace(0, 1, 1001) ** power)[None]
    np.testing.assert_allclose(
        quantiles.of_distribution(edges, PERCENTILES), PERCENTILES[None] ** (1 / power), atol=1.1e-3
    )


def test_a_jump_at_0_stays_a_jump() -> None:
    edges = np.concatenate([[0.3], 0.3 + 0.7 * np.linspace(0, 1, 201)[1:]])[None]
    read = quantiles.of_distribution(edges, np.array([0.1, 0.3, 0.65, 0.99]))
    np.testing.assert_allclose(read[0], [0, 0, 0.5, 0.69 / 0.7], atol=1e-6)


def test_within_a_bin_that_holds_everything_the_distribution_is_even() -> None:
    edges = np.array([[0.0, 0.0, 1.0, 1.0, 1.0]])
    np.testing.assert_allclose(quantiles.of_distribution(edges, np.array([0.2, 0.8])), [[0.3, 0.45]], rtol=1e-6)


@steady
@given(seed=seeds)
def test_of_distribution_rises_stays_within_bounds_and_does_not_depend_on_the_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 3, (3, 41)) * (rng.random((3, 41)) < 0.4)
    counts[:, int(rng.integers(41))] += 1
    edges = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    read = quantiles.of_distribution(edges, PERCENTILES)
    assert (np.diff(read, axis=-1) >= 0).all()
    assert read.min() >= 0
    assert read.max() <= 1
    many = quantiles.of_distribution(np.tile(edges, (1000, 1)), PERCENTILES)
    np.testing.assert_array_equal(many, np.tile(read, (1000, 1)))


def test_a_level_a_hair_above_a_plateau_is_read_the_same_in_every_row() -> None:
    """Where the distribution is flat, a rounding error decides between two far apart quantiles."""
    edges = np.array([[0.0, 0.5 - 1e-14, 0.5 - 1e-14, 0.5 - 1e-14, 1.0]])
    alone = quantiles.of_distribution(edges, np.array([0.5]))
    many = quantiles.of_distribution(np.repeat(edges, 60_000, axis=0), np.array([0.5]))
    assert (many == alone).all()
