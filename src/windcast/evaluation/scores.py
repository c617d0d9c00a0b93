"""Scores of a forecast against what happened, by lead time and overall, as fractions of capacity.

The words follow the protocol of Madsen et al. (2005, doi:10.1260/030952405776234599) for the points and
Pinson et al. (2007, doi:10.1002/we.230) for the quantiles.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from windcast.data.task import ForecastTask
from windcast.errors import TaskError
from windcast.models.forecast import Forecast

Array = NDArray[np.float64]

INTERVALS = (50, 80, 90)
# Quantile values scored at a time: a year of hourly issue times, 48 leads and 99 levels then takes
# 0.05 GB of scratch instead of 1.
CHUNK = 2_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """What a forecast scored. Every number but `n` and the coverages is a fraction of capacity.

    leads: one row a lead time, null where nothing was known to score against.
        lead_minutes; n, the scored pairs of forecast and observation.
        nmae: mean absolute error of the median.  nrmse: root mean square error of the expectation.
        bias: mean of expectation − observed, positive where too much was forecast.
        pinball: mean over levels (Koenker & Bassett 1978, doi:10.2307/1913643).  crps: see `crps`.
        coverage_50, width_50, …: how often the central 50 % interval held the observation, and its mean width
        (the sharpness). Absent where the forecast's levels do not reach so far. The interval is closed, so an
        observed 0 in a band that starts at 0 is covered and calm farms score above 50 %; `reliability` is
        fair to them.
    overall: the same over all pairs, each with the same weight.
    reanalysis: the weather was never a forecast, so these scores flatter.

    The expectation is the plain mean of the quantiles: with levels 0.01 … 0.99 that of the predictive
    distribution without its outermost 1 %, with few or uneven levels only a rough centre.
    """

    leads: pl.DataFrame
    overall: Mapping[str, float]
    reanalysis: bool = False


def score(forecast: Forecast, observed: ArrayLike) -> Scores:
    """Scores against observed [B, H] MW; NaN is unknown and left out of every score.

    Raises TaskError if the shapes differ, an observation is infinite, or none is known.
    """
    truth = scorable(forecast, observed)
    known = ~np.isnan(truth)
    losses = _losses(forecast, truth)
    leads = pl.DataFrame({"lead_minutes": lead_minutes(forecast.task)} | _means(losses, known, axis=0))
    overall = {name: float(value) for name, value in _means(losses, known, axis=None).items()}
    return Scores(leads=leads.fill_nan(None), overall=overall, reanalysis=forecast.reanalysis)


def crps(forecast: Forecast, observed: ArrayLike) -> Array:
    """Continuous ranked probability score [B, H], a fraction of capacity; NaN where observed is NaN.

    Twice the pinball loss averaged over the levels (Laio & Tamea 2007, doi:10.5194/hess-11-1267-2007), which
    tends to the integral as evenly spread levels grow dense; at levels 0.01 … 0.99 it is 1 % larger, for
    every model alike. Proper whatever the levels: to tell the true quantiles minimises it in expectation
    (Gneiting & Raftery 2007, doi:10.1198/016214506000001437).

    >>> levels = (0.25, 0.5, 0.75)
    >>> task = ForecastTask(horizon=1, resolution=timedelta(hours=1), capacity_mw=10, levels=levels)
    >>> forecast = Forecast(
    ...     task=task,
    ...     issue_times=np.array(["2020-01-01"], "datetime64[us]"),
    ...     values=np.array([[[2, 4, 6]]], np.float32),
    ...     rung=np.zeros((1, 1), np.int8),
    ... )
    >>> crps(forecast, [[4]]).round(4).tolist()  # 2 × (0.25 × 2 + 0 + 0.25 × 2) / 3 MW of 10 MW
    [[0.0667]]
    """
    from scoringrules import crps_quantile  # imports much of SciPy, which a service that starts can do without

    truth = matched(forecast, observed)
    scored = np.empty(truth.shape)
    for rows in chunks(forecast):
        scored[rows] = crps_quantile(truth[rows], forecast.values[rows], forecast.levels, backend="numpy")
    return scored / forecast.task.capacity_mw


def skill(scores: Scores, reference: Scores) -> pl.DataFrame:
    """1 − crps / crps of the reference, one row a lead: lead_minutes, skill. 0 is no better, 1 is perfect.

    Null where the lead was not scored or the reference is perfect. Raises TaskError if the two were scored on
    different leads or on different numbers of pairs, for then the skill would be of the sample and not of the
    model.
    """
    counted = ["lead_minutes", "n"]
    if not scores.leads.select(counted).equals(reference.leads.select(counted)):
        raise TaskError(
            f"the scores are of {scores.overall['n']:.0f} pairs, the reference's of "
            f"{reference.overall['n']:.0f}, or of other leads. Score both on the same issue times."
        )
    ratio = scores.leads["crps"] / reference.leads["crps"]
    return pl.DataFrame(
        {"lead_minutes": scores.leads["lead_minutes"], "skill": (1 - ratio).replace([np.inf, -np.inf], None)}
    ).fill_nan(None)


def matched(forecast: Forecast, observed: ArrayLike) -> NDArray[np.float32]:
    """Observed power [B, H] MW as the forecast holds it. Raises TaskError if infinite or of another shape."""
    truth = np.asarray(observed, dtype=np.float32)
    if truth.shape != forecast.rung.shape:
        raise TaskError(f"observed power has shape {truth.shape}; the forecast is of {forecast.rung.shape}.")
    if np.isinf(truth).any():
        raise TaskError("observed power is infinite in places. Give NaN where it is unknown.")
    return truth


def scorable(forecast: Forecast, observed: ArrayLike) -> NDArray[np.float32]:
    """As `matched`, with at least one value known. Raises TaskError otherwise."""
    truth = matched(forecast, observed)
    if np.isnan(truth).all():
        raise TaskError("no observed power is known for this forecast. Score it when its power has arrived.")
    return truth


def chunks(forecast: Forecast) -> Iterator[slice]:
    """Slices of issue times that hold about CHUNK quantile values each."""
    _, horizon, levels = forecast.values.shape
    step = max(1, CHUNK // (horizon * levels))
    return (slice(start, start + step) for start in range(0, len(forecast), step))


def lead_minutes(task: ForecastTask) -> Array:
    """[H] minutes from the issue time to the end of each lead's interval."""
    minutes: Array = np.arange(1, task.horizon + 1, dtype=np.float64) * (task.resolution / timedelta(minutes=1))
    return minutes


def _losses(forecast: Forecast, truth: NDArray[np.float32]) -> dict[str, Array]:
    """What is averaged for each score, [B, H]; whatever stands where the truth is unknown does not count."""
    capacity = forecast.task.capacity_mw
    error = (forecast.values.mean(axis=-1, dtype=np.float64) - truth) / capacity
    ranked = crps(forecast, truth)
    losses: dict[str, Array] = {
        "nmae": np.abs(forecast.median.astype(np.float64) - truth) / capacity,
        "nrmse": error**2,
        "bias": error,
        "pinball": ranked / 2,
        "crps": ranked,
    }
    for percent in INTERVALS:
        tail = (100 - percent) / 200
        if forecast.levels[0] <= tail + 1e-9 and forecast.levels[-1] >= 1 - tail - 1e-9:
            low, high = forecast.quantile(tail), forecast.quantile(1 - tail)
            losses[f"coverage_{percent}"] = ((low <= truth) & (truth <= high)).astype(np.float64)
            losses[f"width_{percent}"] = (high - low).astype(np.float64) / capacity
    return losses


def _means(losses: dict[str, Array], known: NDArray[np.bool_], *, axis: int | None) -> dict[str, Array]:
    """Count and mean over known pairs; nrmse is the root of its mean. NaN where none is known."""
    n = known.sum(axis=axis)
    with np.errstate(invalid="ignore"):
        means: dict[str, Array] = {name: np.where(known, loss, 0).sum(axis=axis) / n for name, loss in losses.items()}
    return {"n": n} | means | {"nrmse": np.sqrt(means["nrmse"])}
