"""Reliability: does what was forecast with 30 % probability happen 30 % of the time?

Everything here follows from one number a pair, the probability integral transform (PIT): where in its
predictive distribution the observation fell. If the forecast is calibrated it is uniform on (0, 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from windcast.errors import TaskError
from windcast.evaluation.scores import chunks, lead_minutes, matched, scorable
from windcast.evaluation.significance import bandwidth, enough, overlap, small_sample, variance_of_sum
from windcast.models.forecast import Forecast

Array = NDArray[np.float64]

# Powers closer than this share of capacity are one power: models write 0.3 kW where the meter writes 0.
SAME_POWER = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Observed against nominal probability, by group of lead times.

    levels: lead_from_minutes, lead_to_minutes, level, n, effective_n, frequency (share of observations at or
        below the forecast quantile), low, high. A model whose frequencies run above the levels forecasts too
        much.
    histogram: of the PIT: lead_from_minutes, lead_to_minutes, bin_from, bin_to, n, effective_n, frequency
        (share of observations in the bin), low, high. A valley says the bands are too narrow, a hill too
        wide.
    low, high: the consistency band: `band` of forecasts that are calibrated would show a frequency within it,
        at one level. With 99 levels some lie outside by chance.
    n counts pairs; effective_n is how many independent pairs would scatter as much.
    Null where a group has nothing known.
    """

    levels: pl.DataFrame
    histogram: pl.DataFrame
    band: float
    reanalysis: bool = False


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often a central interval held the observation, atoms dealt out fairly, and where that should lie.

    low, high: the consistency band, as of Reliability. n, effective_n: pairs, and independent pairs that scatter alike.
    """

    frequency: float
    low: float
    high: float
    n: int
    effective_n: float


def interval_coverage(
    forecast: Forecast, observed: ArrayLike, *, probabilities: Sequence[float], band: float = 0.9, seed: int = 0
) -> list[Coverage]:
    """Coverage of the central intervals of these probabilities over all leads, from the PIT. NaN is left out.

    Unlike that of `score` it does not rise above the probability in calms, where the interval starts at an observed 0.
    The band is that of `reliability`: wide with few values, wider where they go together. The forecast's levels must
    reach as far as the intervals. Raises TaskError if shapes differ, nothing is known, or issue times do not ascend.
    """
    if not all(0 < share < 1 for share in (*probabilities, band)):
        raise TaskError(f"{probabilities=}, {band=}: give shares in (0, 1).")
    transform = pit(forecast, scorable(forecast, observed), seed=seed)
    shared = overlap(forecast.issue_times, forecast.task.resolution, steps=forecast.task.horizon)
    found = []
    for share in probabilities:
        counts = _counts(transform, np.array([(1 - share) / 2, (1 + share) / 2]))
        row = _frequencies(counts[:, 1:2], counts.sum(axis=1), np.array([share]), shared, band)
        found.append(Coverage(**row.row(0, named=True)))
    return found


def reliability(
    forecast: Forecast,
    observed: ArrayLike,
    *,
    lead_groups: int = 4,
    bins: int = 20,
    band: float = 0.9,
    seed: int = 0,
) -> Reliability:
    """Reliability against observed [B, H] MW, with leads in contiguous groups of equal size. NaN is left out.

    The band is the consistency band of Bröcker & Smith (2007, doi:10.1175/WAF993.1): at a quantile level,
    what resampling a calibrated forecast would show is a binomial share, here a beta distribution of the same
    mean and variance. Errors of one issue time, of overlapping forecasts and of one spell of weather go
    together and widen it (Pinson, McSharry & Madsen 2010, doi:10.1002/qj.559): n is divided by how much more
    the frequencies of this group vary than those of independent pairs would, a factor of at least 1, summed
    over levels, with covariances between issue times counted as in the Diebold-Mariano test. With too few
    issue times to measure it, a whole span of overlapping forecasts counts as one pair. Of the
    frequencies of simulated calibrated forecasts, 120 to 2,000 issue times with an hourly autocorrelation of
    0 to 0.97, the 90 % band held 79 to 92 %.
    Where levels are coarser than bins, the bins between two levels share evenly what falls between them.
    Raises TaskError if shapes differ, nothing is known, or issue times do not ascend.
    """
    if lead_groups < 1 or bins < 2 or not 0 < band < 1:
        raise TaskError(f"{lead_groups=}, {bins=}, {band=}: give at least 1 group, 2 bins, a band in (0, 1).")
    transform = pit(forecast, scorable(forecast, observed), seed=seed)
    edges = np.arange(bins + 1) / bins
    minutes = lead_minutes(forecast.task)
    levels, histograms = [], []
    for leads in np.array_split(np.arange(len(minutes)), min(lead_groups, len(minutes))):
        shared = overlap(forecast.issue_times, forecast.task.resolution, steps=int(leads[-1]) + 1)
        group = pl.DataFrame({"lead_from_minutes": minutes[leads[0]], "lead_to_minutes": minutes[leads[-1]]})
        hits = _counts(transform[:, leads], forecast.levels).cumsum(axis=1)
        nominal = pl.DataFrame({"level": forecast.levels})
        table = _frequencies(hits[:, :-1], hits[:, -1], forecast.levels, shared, band)
        levels.append(group.join(pl.concat([nominal, table], how="horizontal"), how="cross"))
        counts = _counts(transform[:, leads], edges[1:-1])
        between = pl.DataFrame({"bin_from": edges[:-1], "bin_to": edges[1:]})
        table = _frequencies(counts, hits[:, -1], np.diff(edges), shared, band)
        histograms.append(group.join(pl.concat([between, table], how="horizontal"), how="cross"))
    return Reliability(
        levels=pl.concat(levels), histogram=pl.concat(histograms), band=band, reanalysis=forecast.reanalysis
    )


def pit(forecast: Forecast, observed: ArrayLike, *, seed: int = 0) -> Array:
    """Probability integral transform [B, H] in [0, 1]; NaN where observed is NaN. One seed, one result.

    A forecast says only between which two levels an observation fell, so the PIT is drawn uniformly between
    them. Where the observation equals several quantiles, as at no wind (0) and full load (capacity), it is
    drawn uniformly over all the probability that the forecast gave to that power: the randomised PIT
    (Brockwell 2007, doi:10.1016/j.spl.2007.02.008), uniform for a calibrated forecast with such atoms too. So
    a power of exactly 0 is no surprise to a forecast that expects it.
    The edge of an atom is known to lie between two levels and is put halfway; powers within 0.01 % of
    capacity of one another are equal.
    """
    truth = matched(forecast, observed)
    capacity = forecast.task.capacity_mw
    same = SAME_POWER * capacity
    edges = np.concatenate(([0.0], forecast.levels, [1.0]))
    halfway = (edges[:-1] + edges[1:]) / 2
    low, high = np.empty(truth.shape), np.empty(truth.shape)
    for rows in chunks(forecast):
        values, power = forecast.values[rows], truth[rows]
        below = (values < power[..., None] - same).sum(axis=-1)
        upto = (values <= power[..., None] + same).sum(axis=-1)
        atom = upto > below
        low[rows] = np.where(atom & (power > same), halfway[below], edges[below])
        high[rows] = np.where(atom & (power < capacity - same), halfway[upto], edges[upto + 1])
    drawn = np.random.default_rng(seed).random(truth.shape)
    return np.where(np.isnan(truth), np.nan, low + (high - low) * (1 - drawn))


def _counts(transform: Array, edges: Array) -> NDArray[np.int64]:
    """[B, K + 1]: how many PIT values [B, G] of each issue time lie between K edges, the upper one in."""
    row, lead = np.nonzero(~np.isnan(transform))
    place = np.searchsorted(edges, transform[row, lead], side="left")
    width = len(edges) + 1
    return np.bincount(row * width + place, minlength=len(transform) * width).reshape(-1, width)


def _frequencies(
    hits: NDArray[np.int64], known: NDArray[np.int64], expected: Array, overlapping: int, band: float
) -> pl.DataFrame:
    """Share of the known pairs [B] that hit [B, K], and the band around what was expected [K]. K rows."""
    n = int(known.sum())
    if not n:
        empty = pl.Series([None] * len(expected), dtype=pl.Float64)
        gaps = dict.fromkeys(("effective_n", "frequency", "low", "high"), empty)
        return pl.DataFrame({"n": np.zeros(len(expected), np.int64)} | gaps)
    effective = _effective_n(hits, known, overlapping)
    tail, strength = (1 - band) / 2, max(1.0, effective - 1)
    ones, others = expected * strength, (1 - expected) * strength
    return pl.DataFrame(
        {
            "n": np.full(len(expected), n),
            "effective_n": np.full(len(expected), effective),
            "frequency": hits.sum(axis=0) / n,
            "low": betaincinv(ones, others, tail),
            "high": betaincinv(ones, others, 1 - tail),
        }
    )


def _effective_n(hits: NDArray[np.int64], known: NDArray[np.int64], overlapping: int) -> float:
    """How many independent pairs would scatter as the frequencies of hits [B, K] do; at most the known."""
    n, issues = known.sum(), int((known > 0).sum())
    if not enough(issues, overlapping):
        return issues / (overlapping + 1)
    frequency = hits.sum(axis=0) / n
    independent = (frequency * (1 - frequency)).sum() / n
    lags = bandwidth(issues, overlapping)
    scatter = variance_of_sum(hits - known[:, None] * frequency, lags=lags).sum()
    variance = scatter / n**2 / small_sample(issues, lags)
    if variance <= independent:
        return float(n)
    return float(n * independent / variance)
