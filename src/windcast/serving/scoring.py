"""How good the issued forecasts turned out, once the truth has arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import Times
from windcast.errors import TaskError
from windcast.evaluation.scores import INTERVALS, score
from windcast.models.forecast import Forecast, Rung
from windcast.serving.documents import promised_by_lead, stamp
from windcast.serving.operating import Operator
from windcast.serving.problems import NotFound
from windcast.serving.shelf import Served
from windcast.serving.store import StoredForecast


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecasts of one farm [B]: of each lead, the last that was made before its time.

    observed [B, H] MW, NaN where it is not known or no forecast came in time.  promised [B, H]: CRPS of the backtests,
    NaN where they promise nothing.  last_power [B, H] MW: the newest that the forecast knew.
    filled_in: issue times whose forecast was made afterwards from data on file.
    """

    forecast: Forecast
    observed: NDArray[np.float32]
    promised: NDArray[np.float64]
    last_power: NDArray[np.float64]
    filled_in: int
    measured: tuple[np.datetime64, np.datetime64]


def scored(operator: Operator, farm: str, start: datetime, end: datetime) -> Scored:
    """The forecasts of every issue time in (start, end], as far as they came in time and the truth has come since.

    Raises NotFound where none can be scored yet.
    """
    record = operator.store.farm(farm)
    served = operator.served_for(record)
    task = served.bundle.forecaster.task
    shape = (task.horizon, len(task.levels))
    stored = operator.store.forecasts_between(farm, start=start, end=end)
    stored = [one for one in stored if one.values.shape == shape and tuple(one.document["levels"]) == task.levels]
    steps = np.timedelta64(task.resolution, "us") * np.arange(1, task.horizon + 1)
    joined = [_in_time(list(group), steps) for _, group in groupby(stored, key=lambda one: one.issue_time)]
    joined = [one for one in joined if one.known.any()]
    if joined:
        forecast = Forecast(
            task=task,
            issue_times=np.array([_us(one.issue_time) for one in joined]),
            values=np.stack([one.values for one in joined]),
            rung=np.stack([one.rung for one in joined]),
            reanalysis=record.weather_kind == "reanalysis",
        )
        observed = operator.store.truth(farm, times=forecast.valid_times)
        observed[~np.stack([one.known for one in joined])] = np.nan
        met = np.isfinite(observed)
        if met.any():
            promised = np.array([_promised(served, one.rung) for one in joined])
            last = operator.store.truth(farm, times=np.stack([one.newest_power for one in joined]))
            kept: NDArray[np.bool_] = np.asarray(met.any(axis=1))
            times = forecast.valid_times[met]
            return Scored(
                forecast=forecast.take(kept),
                observed=observed[kept],
                promised=promised[kept],
                last_power=last[kept].astype(np.float64),
                filled_in=sum(one.filled_in for one, some in zip(joined, kept.tolist(), strict=True) if some),
                measured=(times.min(), times.max()),
            )
    raise NotFound(f"no forecast of {farm} issued since {start:%Y-%m-%d %H:%M} UTC has met its truth yet.")


@dataclass(frozen=True, eq=False)
class _InTime:
    """Of one issue time and each lead, the last forecast that was made before its time.

    known [H]: whether there is one.  values [H, Q], rung [H], newest_power [H]: time of the newest power that it knew.
    """

    issue_time: datetime
    known: NDArray[np.bool_]
    values: NDArray[np.float32]
    rung: NDArray[np.int8]
    newest_power: Times
    filled_in: bool


def _in_time(made: Sequence[StoredForecast], steps: NDArray[np.timedelta64]) -> _InTime:
    """made: all of an issue time, in their order. What was filled in from data on file counts for every lead."""
    first = made[0]
    joined = _InTime(
        issue_time=first.issue_time,
        known=np.zeros(len(steps), bool),
        values=first.values.copy(),
        rung=first.rung.copy(),
        newest_power=np.full(len(steps), "NaT", "datetime64[us]"),
        filled_in=any(one.document.get("from_history", False) for one in made),
    )
    for one in made:
        counts = _us(one.made_at) < _us(one.issue_time) + steps
        if one.document.get("from_history", False):
            counts[:] = True
        joined.known[counts] = True
        joined.values[counts], joined.rung[counts] = one.values[counts], one.rung[counts]
        joined.newest_power[counts] = _newest_power(one)
    return joined


def _us(time: datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


def _promised(served: Served, rung: NDArray[np.int8]) -> list[float]:
    found = promised_by_lead(served, rung.tolist()) or [None] * len(rung)
    return [np.nan if crps is None else crps for crps in found]


def _newest_power(stored: StoredForecast) -> np.datetime64:
    newest = stored.document["inputs"]["newest_power"]
    return np.datetime64("NaT") if newest is None else np.datetime64(newest.removesuffix("Z"), "us")


def document(farm: str, found: Scored, start: datetime, end: datetime) -> dict[str, Any]:
    """As GET …/scores answers."""
    forecast, observed = found.forecast, found.observed
    scores = score(forecast, observed)
    known = np.isfinite(observed)
    both = known & np.isfinite(found.promised)
    leads = scores.leads.with_columns(pl.Series("backtest_crps", _by_lead(found.promised, both), nan_to_null=True))
    columns = ["lead_minutes", "n", "crps", "nmae", "coverage_90", "backtest_crps"]
    return {
        "farm": farm,
        "start": stamp(start),
        "end": stamp(end),
        "forecasts": len(forecast),
        "filled_in": found.filled_in,
        "pairs": int(known.sum()),
        "measured_start": stamp(found.measured[0]),
        "measured_end": stamp(found.measured[1]),
        **{name: _rounded(scores.overall[name]) for name in ("crps", "nmae", "bias")},
        "backtest_crps": _rounded(found.promised[both].mean()) if both.sum() == known.sum() else None,
        "skill_persistence": _skill(found),
        "coverage": {str(p): _rounded(scores.overall.get(f"coverage_{p}", np.nan)) for p in INTERVALS},
        "rungs": {
            rung.name.lower(): int((forecast.rung.max(axis=1) == rung).sum())
            for rung in Rung
            if (forecast.rung.max(axis=1) == rung).any()
        },
        "leads": leads.select([name for name in columns if name in leads.columns]).to_dicts(),
        "reliability": _reliability(forecast, observed),
        "reanalysis": forecast.reanalysis,
    }


def _by_lead(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _skill(found: Scored) -> float | None:
    """1 − mean error of the median / mean error of the last known power, where both are known."""
    truth = found.observed.astype(np.float64)
    naive = np.abs(truth - found.last_power)
    ours = np.abs(truth - found.forecast.median)
    both = np.isfinite(naive) & np.isfinite(ours)
    if not both.any() or not naive[both].mean():
        return None
    return _rounded(1 - ours[both].mean() / naive[both].mean())


def _reliability(forecast: Forecast, observed: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Of every tenth of the levels: observed share below it, and the band in which it would lie if calibrated."""
    from windcast.evaluation.reliability import reliability  # SciPy's special functions take a quarter of the start

    try:
        found = reliability(forecast, observed, lead_groups=1).levels
    except TaskError:
        return []
    wanted = found.filter(pl.col("frequency").is_not_null())
    places = np.linspace(0, wanted.height - 1, min(19, wanted.height)).astype(int)
    return [
        {"level": row["level"], "observed": row["frequency"], "low": row["low"], "high": row["high"]}
        for row in wanted[np.unique(places)].iter_rows(named=True)
    ]


def _rounded(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)
