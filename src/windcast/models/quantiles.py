"""Arithmetic on quantile functions: between levels, and averages of distribution functions."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

POINTS = 100  # point masses that stand for a pool
BLOCK = 1024  # rows that fit the cache together


def with_ends(values: Floats, levels: Floats, *, capacity_mw: float) -> NDArray[np.float32]:
    """[…, Q + 2]: the quantile function […, Q] and its ends at levels 0 and 1.

    Each end carries the slope of the two outermost levels on, within 0 and capacity; with one level it is the bound.
    """
    ends = np.empty((*values.shape[:-1], len(levels) + 2), np.float32)
    ends[..., 1:-1] = values
    if len(levels) == 1:
        ends[..., 0], ends[..., -1] = 0, capacity_mw
        return ends
    first = (values[..., 1] - values[..., 0]) / (levels[1] - levels[0])
    last = (values[..., -1] - values[..., -2]) / (levels[-1] - levels[-2])
    ends[..., 0] = np.maximum(values[..., 0] - first * levels[0], 0)
    ends[..., -1] = np.minimum(values[..., -1] + last * (1 - levels[-1]), capacity_mw)
    return ends


def between_levels(values: Floats, knots: Floats, levels: Floats, *, capacity_mw: float) -> NDArray[np.float32]:
    """Quantiles […, Q] at `levels` from those […, K] at `knots`, in any order; linear in the level, see `with_ends`."""
    ordered = np.clip(np.sort(values, axis=-1), 0, capacity_mw)
    full = with_ends(ordered, knots, capacity_mw=capacity_mw)
    return read_off(full, np.concatenate([[0.0], knots, [1.0]]), levels)


def linear_pool(members: list[Floats], weights: Floats, levels: Floats) -> NDArray[np.float32]:
    """Quantiles […, Q] of the weighted average of the members' distribution functions (Stone 1961).

    members: each […, Q] at `levels`, ascending. Each stands for itself with a number of equal point masses at evenly
    spaced levels, in proportion to its weight and POINTS in all; the pool's quantiles are read off their order.
    """
    share = np.asarray(weights, np.float64) / np.sum(weights)
    counts = np.rint(share * max(POINTS, len(levels))).astype(int)
    counts = np.where(share > 0, np.maximum(counts, 1), 0)
    masses = [
        read_off(values, levels, (np.arange(count) + 0.5) / count)
        for values, count in zip(members, counts, strict=True)
        if count
    ]
    pooled = np.sort(np.concatenate(masses, axis=-1), axis=-1)
    return read_off(pooled, (np.arange(counts.sum()) + 0.5) / counts.sum(), levels)


def read_off(values: Floats, places: Floats, wanted: Floats) -> NDArray[np.float32]:
    """np.interp of every row: values […, K] at `places` [K], read at `wanted` [Q]; constant beyond the ends.

    In blocks that stay in the cache, a row a place: the bits of a row do not depend on the rows beside it.
    """
    position = np.interp(wanted, places, np.arange(len(places)))
    left = np.minimum(position.astype(int), max(len(places) - 2, 0))
    right = np.minimum(left + 1, len(places) - 1)
    share = (position - left).astype(np.float32)[:, None]
    flat = values.reshape(-1, values.shape[-1])
    out = np.empty((len(flat), len(wanted)), np.float32)
    for start in range(0, len(flat), BLOCK):
        block = np.ascontiguousarray(flat[start : start + BLOCK].T, np.float32)
        out[start : start + BLOCK] = (block[left] * (1 - share) + block[right] * share).T
    return out.reshape(*values.shape[:-1], len(wanted))


def of_distribution(edges: Floats, levels: Floats) -> NDArray[np.float32]:
    """Quantiles [N, Q] as shares of capacity, from distribution functions [N, G + 1] at 0, 1/G, … 1.

    The jump at 0 stays a jump; within a bin the distribution is taken as even.
    """
    last = edges.shape[-1] - 1
    right = np.clip(_search_rows(edges, levels), 0, last)
    left = np.maximum(right - 1, 0)
    low = np.take_along_axis(edges, left, axis=-1)
    high = np.take_along_axis(edges, right, axis=-1)
    share = np.clip((levels - low) / np.maximum(high - low, 1e-12), 0, 1)
    values: NDArray[np.float32] = (np.where(right == 0, 0.0, left + share) / last).astype(np.float32)
    return values


def _search_rows(grid: Floats, wanted: Floats) -> NDArray[np.int64]:
    """[N, Q] np.searchsorted of each row: grid [N, K] in [0, 1], ascending; wanted [Q] in [0, 1].

    Rows follow one another without overlap, so one search serves all; in whole numbers, so that a row is not rounded
    more coarsely the further down it stands.
    """
    unit = 2**36
    row = np.arange(len(grid))[:, None]
    places, sought = (np.rint(v * unit).astype(np.int64) for v in (grid, np.asarray(wanted, np.float64)))
    found: NDArray[np.int64] = np.searchsorted((places + 2 * unit * row).ravel(), (sought + 2 * unit * row).ravel())
    right: NDArray[np.int64] = found.reshape(len(grid), -1) - grid.shape[-1] * row
    return right
