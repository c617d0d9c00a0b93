"""Whether the live scores keep the backtest's promise: what alerts are raised on, with what chance alone would do."""

import numpy as np
from numpy.typing import NDArray

from windcast.evaluation.scores import INTERVALS, crps, score
from windcast.serving.scoring import Scored

# Nominal probability of the coverage bands. Of simulated calibrated forecasts of 30 days, 93 to 99 % lay within, as the
# scatter is estimated from the same days. The alert therefore asks for three points more (see docs/monitoring.md).
CHANCE = 0.998


def verdict(found: Scored) -> dict[str, float]:
    """For metrics, fractions of capacity or of values; what cannot be said is left out.

    crps, coverage_50 …: as in the scores document. values: scored pairs.
    fair_50 …, low_50 …, high_50 …: `interval_coverage` with a band of CHANCE.
    backtest_crps, compared_crps: promised and live CRPS of the pairs whose lead and rung the backtest measured.
    excess_t: t statistic of their difference by issue time, positive where live is worse (see `diebold_mariano`);
    left out with fewer than 10 issue times or four spans that do not overlap.
    """
    scores = score(found.forecast, found.observed).overall
    kept = {name: float(value) for name, value in scores.items() if name == "crps" or name.startswith("coverage_")}
    bands = [percent for percent in INTERVALS if np.isfinite(scores.get(f"coverage_{percent}", np.nan))]
    return kept | {"values": float(scores["n"])} | _calibration(found, bands) | _promise(found)


def _calibration(found: Scored, bands: list[int]) -> dict[str, float]:
    from windcast.evaluation.reliability import interval_coverage  # SciPy takes a quarter of the start

    shares = [percent / 100 for percent in bands]
    coverages = interval_coverage(found.forecast, found.observed, probabilities=shares, band=CHANCE)
    kept: dict[str, float] = {}
    for percent, fair in zip(bands, coverages, strict=True):
        kept |= {f"fair_{percent}": fair.frequency, f"low_{percent}": fair.low, f"high_{percent}": fair.high}
    return kept


def _promise(found: Scored) -> dict[str, float]:
    from windcast.evaluation.significance import diebold_mariano, overlap

    live = crps(found.forecast, found.observed)
    both = np.isfinite(live) & np.isfinite(found.promised)
    if not both.any():
        return {}
    rows, task = both.any(axis=1), found.forecast.task
    shared = overlap(found.forecast.issue_times[rows], task.resolution, steps=task.horizon)
    ours, promised = (_by_issue(losses[rows], both[rows]) for losses in (live, found.promised))
    statistic = diebold_mariano(ours, promised, overlap=shared).statistic
    return {
        "backtest_crps": float(found.promised[both].mean()),
        "compared_crps": float(live[both].mean()),
    } | ({"excess_t": statistic} if np.isfinite(statistic) else {})


def _by_issue(losses: NDArray[np.float64], both: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[B] means over the leads that count, at least one each."""
    means: NDArray[np.float64] = np.where(both, losses, 0).sum(axis=1) / both.sum(axis=1)
    return means
