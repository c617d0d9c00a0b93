"""Whether a challenger takes the champion's place: both forecasts of the same issue times, and what was observed.

The challenger has to show that it is better, and must not be worse where a mean would hide it. Of what is seen by
chance, nothing counts against it: a lead time, a coverage is worse only where a test says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from numpy.typing import ArrayLike, NDArray

from windcast.errors import TaskError
from windcast.evaluation.reliability import pit
from windcast.evaluation.scores import crps, lead_minutes
from windcast.evaluation.significance import DieboldMariano, compare, diebold_mariano, holm, overlap
from windcast.models.forecast import Forecast

Array = NDArray[np.float64]

WEEK = timedelta(days=7)
BANDS = (50, 90)
STEADY = 0.1  # of the mean spread: the least by which a loss is divided


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What a challenger is held to, and why.

    level: of the two one-sided tests that its CRPS is lower, plain and weighted, together (see `accuracy`): an equal
        passes in at most 5 %.
    plain_level: of the plain test in any case, so that calm hours alone let none pass.
    lead_level: at which some lead time is found worse, for all of them together: one chance in twenty.
    coverage_margin: how much further than the champion's a band's coverage may be from its level; two points of a
        hundred is what a reader of a reliability plot would not see.
    week_margin: by which its worst week may be worse than the champion's worst, as a share. A single week is chance.
    size, latency: most times the champion's. Below `light_mb` and `quick_ms` nobody would notice either.
    least_days: fewer days of issue times show one kind of weather.
    """

    level: float = 0.05
    plain_level: float = 0.25
    lead_level: float = 0.05
    coverage_margin: float = 0.02
    week_margin: float = 0.2
    size: float = 3.0
    light_mb: float = 20.0
    latency: float = 3.0
    quick_ms: float = 250.0
    least_days: float = 28.0


CRITERIA = Criteria()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One criterion: whether it is met, and a sentence with the figures. vital: no force moves an alias without it."""

    name: str
    passed: bool
    said: str
    figures: dict[str, float] = field(default_factory=dict)
    vital: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """size_mb: of the bundle on disk. latency_ms: of a forecast on the production path, the quickest of a few."""

    size_mb: float
    latency_ms: float


def judge(
    challenger: Forecast, champion: Forecast, observed: ArrayLike, criteria: Criteria = CRITERIA
) -> list[Finding]:
    """What two forecasts of the same issue times show against observed [B, H] MW, NaN where unknown.

    Raises TaskError if they are of other issue times, horizons or resolutions.
    """
    first, other = challenger.task, champion.task
    same = np.array_equal(challenger.issue_times, champion.issue_times)
    if not same or (first.horizon, first.resolution) != (other.horizon, other.resolution):
        raise TaskError("the two forecasts are of other issue times or leads. Forecast the same with both.")
    ours, theirs = crps(challenger, observed), crps(champion, observed)
    return [
        accuracy(challenger, champion, ours, theirs, criteria),
        lead_times(challenger, ours, theirs, criteria),
        *(coverage(band, challenger, champion, observed, criteria) for band in BANDS),
        worst_week(ours, theirs, challenger, criteria),
    ]


def accuracy(
    challenger: Forecast,
    champion: Forecast,
    ours: Array,
    theirs: Array,
    criteria: Criteria = CRITERIA,
    *,
    against: str = "the champion",
) -> Finding:
    """Whether CRPS [B, H] `ours` is lower than `theirs`: in the mean, and beyond chance.

    Most of what differs by chance comes from the hours in which power is hardest to tell. So there are two tests: of
    the mean, and of the differences divided by how wide both forecasts were, which was known when they were issued.
    The second finds a challenger that is better everywhere more often, the first one that is better where most is at
    stake. Either will do, at half the level (Bonferroni).
    """
    times, resolution = challenger.issue_times, challenger.task.resolution
    both = np.isfinite(ours) & np.isfinite(theirs)
    difference = np.where(both, ours - theirs, np.nan)
    width = (spread(challenger) + spread(champion)) / 2
    floored = width + STEADY * width.mean()
    sharing = overlap(times, resolution, steps=challenger.task.horizon)
    plain, weighted = (
        diebold_mariano(_by_issue(losses), np.zeros(len(times)), overlap=sharing)
        for losses in (difference, difference / (floored if floored.any() else 1.0))
    )
    reference = _mean(theirs[both])
    change = _mean(difference) / reference if reference else np.nan
    p_plain, p_weighted = one_sided(plain, worse=False), one_sided(weighted, worse=False)
    p_better = min(1.0, 2 * min(p_plain, p_weighted))
    word = "lower" if change < 0 else "higher"
    return Finding(
        name="accuracy" if against == "the champion" else f"better than {against}",
        passed=bool(change < 0 and p_plain < criteria.plain_level and p_better < criteria.level),
        said=f"CRPS {100 * abs(change):.1f} % {word} than that of {against} over {plain.n:,} issue times; that it is "
        f"lower has p = {p_better:.2g}, due: below {criteria.level:g} (Diebold-Mariano, one-sided, the better of two "
        f"tests doubled: of the mean {p_plain:.2g}, weighted {p_weighted:.2g}).",
        figures={
            "change": change,
            "p_value": p_better,
            "p_plain": p_plain,
            "p_weighted": p_weighted,
            "n": plain.n,
            "crps": _mean(ours[both]),
        },
    )


def spread(forecast: Forecast) -> Array:
    """[B, H] mean distance of the quantiles from the median, a fraction of capacity."""
    distance = np.abs(forecast.values - forecast.median[..., None]).mean(axis=-1, dtype=np.float64)
    found: Array = distance / forecast.task.capacity_mw
    return found


def lead_times(challenger: Forecast, ours: Array, theirs: Array, criteria: Criteria = CRITERIA) -> Finding:
    """No lead time of CRPS [B, H] is worse, beyond chance."""
    result = compare(ours, theirs, issue_times=challenger.issue_times, resolution=challenger.task.resolution)
    statistics, p_values = (result.leads[name].fill_null(np.nan).to_numpy() for name in ("statistic", "p_value"))
    worse = holm(np.where(statistics > 0, p_values / 2, 1 - p_values / 2))
    bad = np.flatnonzero(worse < criteria.lead_level)
    hours = ", ".join(f"{minutes / 60:g} h" for minutes in lead_minutes(challenger.task)[bad])
    told = np.isfinite(worse)
    least = float(worse[told].min()) if told.any() else np.nan
    said = f"worse beyond chance at {hours}" if len(bad) else f"none of {len(worse)} is worse beyond chance"
    return Finding(
        name="lead times",
        passed=bool(told.any()) and not len(bad),
        said=f"{said} (Diebold-Mariano by lead, Holm over {len(worse)}; smallest p = {least:.2g}).",
        figures={"p_value": least, "worse": len(bad)},
    )


def coverage(
    band: int, challenger: Forecast, champion: Forecast, observed: ArrayLike, criteria: Criteria = CRITERIA
) -> Finding:
    """Whether a central band covers as it should, or misses by little more than the champion's.

    Counted by the randomised PIT, so power of exactly 0 or capacity is fair to both. Refused where the excess of the
    misses over the margin is more than chance, one-sided at 5 %.
    """
    ours, theirs = (_hits(forecast, observed, band / 100) for forecast in (challenger, champion))
    covered, before = _mean(ours), _mean(theirs)
    signs = np.sign([covered - band / 100, before - band / 100])
    excess = signs[0] * (ours - band / 100) - signs[1] * (theirs - band / 100) - criteria.coverage_margin
    steps = challenger.task.horizon
    sharing = overlap(challenger.issue_times, challenger.task.resolution, steps=steps)
    test = diebold_mariano(excess, np.zeros(len(excess)), overlap=sharing)
    p_worse = one_sided(test, worse=True)
    return Finding(
        name=f"coverage of the {band} % band",
        passed=not p_worse < 0.05,
        said=f"{100 * covered:.1f} %, the champion's {100 * before:.1f} %; allowed is a miss that is "
        f"{100 * criteria.coverage_margin:g} points larger, and chance (p = {p_worse:.2g}).",
        figures={"coverage": covered, "champion": before, "p_value": p_worse},
    )


def worst_week(ours: Array, theirs: Array, forecast: Forecast, criteria: Criteria = CRITERIA) -> Finding:
    """The highest mean CRPS of a week of issue times, against the champion's highest."""
    known = np.isfinite(ours) & np.isfinite(theirs)
    times = forecast.issue_times
    weeks = ((times - times[0]) // np.timedelta64(WEEK, "us")).astype(np.int64)
    count = np.bincount(weeks, known.sum(axis=1))
    counted = count >= 0.5 * count.max(initial=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [np.bincount(weeks, np.where(known, loss, 0).sum(axis=1)) / count for loss in (ours, theirs)]
    mine, champions = (np.where(counted, mean, -np.inf) for mean in means)
    worst, before = float(mine.max(initial=-np.inf)), float(champions.max(initial=-np.inf))
    begins = times[0] + int(mine.argmax()) * np.timedelta64(WEEK, "us")
    return Finding(
        name="worst week",
        passed=worst <= (1 + criteria.week_margin) * before,
        said=f"CRPS {100 * worst:.1f} % of capacity in the week from {str(begins)[:10]}, the champion's worst "
        f"{100 * before:.1f} %; allowed is {100 * criteria.week_margin:g} % more.",
        figures={"crps": worst, "champion": before},
    )


def costs(challenger: Costs, champion: Costs, criteria: Criteria = CRITERIA) -> list[Finding]:
    """Size on disk and time for a forecast, against the champion's."""
    size, latency = criteria.size * champion.size_mb, criteria.latency * champion.latency_ms
    return [
        Finding(
            name="bundle size",
            passed=challenger.size_mb <= max(size, criteria.light_mb),
            said=f"{challenger.size_mb:.2f} MB, the champion's {champion.size_mb:.2f} MB; allowed is "
            f"{criteria.size:g} times that, or {criteria.light_mb:g} MB.",
            figures={"size_mb": challenger.size_mb, "champion": champion.size_mb},
        ),
        Finding(
            name="latency",
            passed=challenger.latency_ms <= max(latency, criteria.quick_ms),
            said=f"{challenger.latency_ms:.1f} ms for a forecast, the champion's {champion.latency_ms:.1f} ms; allowed "
            f"is {criteria.latency:g} times that, or {criteria.quick_ms:g} ms.",
            figures={"latency_ms": challenger.latency_ms, "champion": champion.latency_ms},
        ),
    ]


def passes(findings: Sequence[Finding]) -> bool:
    return all(finding.passed for finding in findings)


def one_sided(test: DieboldMariano, *, worse: bool) -> float:
    """The p-value that the mean difference is above 0 (worse) or below it; NaN where there is too little to say."""
    towards = test.statistic > 0 if worse else test.statistic < 0
    return test.p_value / 2 if towards else 1 - test.p_value / 2


def _hits(forecast: Forecast, observed: ArrayLike, share: float) -> Array:
    """[B] share of an issue time's leads whose observation fell within the central band; NaN where none is known."""
    transform = pit(forecast, observed)
    known = np.isfinite(transform)
    inside = known & (np.abs(np.where(known, transform, 0) - 0.5) <= share / 2)
    with np.errstate(invalid="ignore"):
        hits: Array = inside.sum(axis=1) / known.sum(axis=1)
    return hits


def _by_issue(losses: Array) -> Array:
    """[B] mean over the known leads of an issue time; NaN where none is."""
    known = np.isfinite(losses)
    with np.errstate(invalid="ignore"):
        means: Array = np.where(known, losses, 0).sum(axis=1) / known.sum(axis=1)
    return means


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
