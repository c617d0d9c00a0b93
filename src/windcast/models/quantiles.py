"""Arithmetic on quantile functions: between levels, and averages of distribution functions."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def with_ends(values: Floats, levels: Floats, *, capacity_mw: float) -> NDArray[np.float32]:
    """[…, Q + 2]: the quantile function […, Q] and its ends at levels 0 and 1.

    Each end carries the slope of the two outermost levels on, within 0 and capacity; with one level it is the bound.
    """
    if len(levels) == 1:
        bound = np.full_like(values, capacity_mw)
        return np.concatenate([0 * bound, values, bound], axis=-1).astype(np.float32)
    first = (values[..., 1] - values[..., 0]) / (levels[1] - levels[0])
    last = (values[..., -1] - values[..., -2]) / (levels[-1] - levels[-2])
    low = np.maximum(values[..., 0] - first * levels[0], 0)
    high = np.minimum(values[..., -1] + last * (1 - levels[-1]), capacity_mw)
    ends: NDArray[np.float32] = np.concatenate([low[..., None], values, high[..., None]], axis=-1).astype(np.float32)
    return ends


def between_levels(values: Floats, knots: Floats, levels: Floats, *, capacity_mw: float) -> NDArray[np.float32]:
    """Quantiles […, Q] at `levels` from those […, K] at `knots`, in any order; linear in the level, see `with_ends`."""
    ordered = np.clip(np.sort(values, axis=-1), 0, capacity_mw)
    full = with_ends(ordered, knots, capacity_mw=capacity_mw)
    places = np.concatenate([[0.0], knots, [1.0]])
    left = np.clip(np.searchsorted(places, levels, side="right") - 1, 0, len(places) - 2)
    share = ((levels - places[left]) / (places[left + 1] - places[left])).astype(np.float32)
    out: NDArray[np.float32] = full[..., left] * (1 - share) + full[..., left + 1] * share
    return out


def linear_pool(members: list[Floats], weights: Floats, levels: Floats) -> NDArray[np.float32]:
    """Quantiles […, Q] of the weighted average of the members' distribution functions (Stone 1961).

    members: each […, Q] at `levels`. Each member counts as Q equal point masses at its quantiles.
    """
    count = len(levels)
    values = np.concatenate(members, axis=-1).astype(np.float32)
    mass = np.repeat(np.asarray(weights, np.float64) / np.sum(weights) / count, count).astype(np.float32)
    if np.ptp(weights) == 0:
        values.sort(axis=-1)
        mid = (np.arange(values.shape[-1]) + 0.5) / values.shape[-1]
        place = np.interp((np.arange(count) + 0.5) / count, mid, np.arange(values.shape[-1]))
        low = place.astype(int)
        share = (place - low).astype(np.float32)
        high = np.minimum(low + 1, values.shape[-1] - 1)
        even: NDArray[np.float32] = values[..., low] * (1 - share) + values[..., high] * share
        return even
    order = np.argsort(values, axis=-1, kind="stable")
    values = np.take_along_axis(values, order, axis=-1)
    cumulative = np.cumsum(mass[order], axis=-1)
    mid = cumulative - mass[order] / 2
    wanted = (np.arange(count) + 0.5) / count
    return _interpolate_rows(mid, values, wanted.astype(np.float32))


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


def _interpolate_rows(grid: Floats, values: Floats, wanted: Floats) -> NDArray[np.float32]:
    """np.interp of each row: grid in (0, 1), values […, K], ascending; wanted [Q]. Returns […, Q]."""
    width = grid.shape[-1]
    flat, steps = values.reshape(-1, width), grid.reshape(-1, width).astype(np.float64)
    right = np.clip(_search_rows(steps, wanted), 1, width - 1)
    low, high = (np.take_along_axis(steps, right - shift, axis=-1) for shift in (1, 0))
    share = np.clip((wanted - low) / np.maximum(high - low, 1e-12), 0, 1)
    bottom, top = (np.take_along_axis(flat, right - shift, axis=-1) for shift in (1, 0))
    mixed = bottom + share * (top - bottom)
    out: NDArray[np.float32] = mixed.reshape(*values.shape[:-1], len(wanted)).astype(np.float32)
    return out


def _search_rows(grid: Floats, wanted: Floats) -> NDArray[np.int64]:
    """[N, Q] np.searchsorted of each row: grid [N, K] in [0, 1], ascending; wanted [Q] in [0, 1].

    Rows follow one another without overlap, so one search serves all; in whole numbers, so that a row is not rounded
    more coarsely the further down it stands.
    """
    unit = 2**36
    row = np.arange(len(grid))[:, None]
    places, sought = (np.rint(v * unit).astype(np.int64) for v in (grid, np.asarray(wanted, np.float64)))
    found: NDArray[np.int64] = np.searchsorted((places + 2 * unit * row).ravel(), (sought + 2 * unit * row).ravel())
    return found.reshape(len(grid), -1) - grid.shape[-1] * row
