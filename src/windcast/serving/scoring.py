"""How good the issued forecasts turned out, once the truth has arrived."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.errors import TaskError
from windcast.evaluation.scores import INTERVALS, score
from windcast.models.forecast import Forecast, Rung
from windcast.serving.documents import promised_by_lead, stamp
from windcast.serving.operating import Operator
from windcast.serving.problems import NotFound
from windcast.serving.store import StoredForecast


@dataclass(frozen=True, eq=False)
class Scored:
    """Forecasts of one farm [B], what was observed [B, H] MW, and what the backtests promised [B, H] (NaN: nothing)."""

    forecast: Forecast
    observed: NDArray[np.float32]
    promised: NDArray[np.float64]
    last_power: NDArray[np.float64]


def scored(operator: Operator, farm: str, start: datetime, end: datetime) -> Scored:
    """The last forecast of every issue time in (start, end]. Raises NotFound where none can be scored yet."""
    record = operator.store.farm(farm)
    served = operator.served_for(record)
    task = served.bundle.forecaster.task
    shape = (task.horizon, len(task.levels))
    stored = operator.store.forecasts_between(farm, start=start, end=end)
    stored = [one for one in stored if one.values.shape == shape and tuple(one.document["levels"]) == task.levels]
    if stored:
        forecast = Forecast(
            task=task,
            issue_times=np.array([np.datetime64(one.issue_time.replace(tzinfo=None), "us") for one in stored]),
            values=np.stack([one.values for one in stored]),
            rung=np.stack([one.rung for one in stored]),
            reanalysis=record.weather_kind == "reanalysis",
        )
        observed = operator.store.truth(farm, times=forecast.valid_times)
        if np.isfinite(observed).any():
            promised = np.array([_promised(served, one) for one in stored])
            last = operator.store.truth(farm, times=np.array([_newest_power(one) for one in stored]))
            return Scored(forecast, observed, promised, last.astype(np.float64))
    raise NotFound(f"no forecast of {farm} issued since {start:%Y-%m-%d %H:%M} UTC has met its truth yet.")


def _promised(served: Any, stored: StoredForecast) -> list[float]:
    found = promised_by_lead(served, stored.rung.tolist()) or [None] * len(stored.rung)
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
        "pairs": int(known.sum()),
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


def overall(found: Scored) -> dict[str, float]:
    """For metrics: crps, coverage_50 …, and backtest_crps where it was measured."""
    scores = dict(score(found.forecast, found.observed).overall)
    kept = {name: float(value) for name, value in scores.items() if name == "crps" or name.startswith("coverage_")}
    both = np.isfinite(found.observed) & np.isfinite(found.promised)
    return kept | ({"backtest_crps": float(found.promised[both].mean())} if both.any() else {})


def _by_lead(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _skill(found: Scored) -> float | None:
    """1 − mean error of the median / mean error of the last known power, where both are known."""
    truth = found.observed.astype(np.float64)
    naive = np.abs(truth - found.last_power[:, None])
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
