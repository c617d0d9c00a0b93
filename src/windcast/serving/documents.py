"""A forecast as the documents that the service answers with: JSON, CSV, Parquet, PNG, SVG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import Interval, Times
from windcast.data.task import ForecastTask
from windcast.data.windows import Windows
from windcast.models.forecast import Forecast, Rung, power_lag
from windcast.serving.problems import NotAcceptable
from windcast.serving.shelf import Served

TWENTIETHS = tuple(round(k / 20, 2) for k in range(1, 20))
MEDIA = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "png": "image/png",
    "svg": "image/svg+xml",
}
REANALYSIS = "The weather is reanalysis, made afterwards, which no live forecast has."
FILLED_IN = "It was filled in afterwards from data on file, with what had been known at its issue time."
ON_TRAINING = "The model was trained on data later than this issue time, so it is no fair test of it."


@dataclass(frozen=True, kw_only=True)
class Issued:
    """One forecast (of a single issue time) and all that is said about it.

    inputs: see `inputs_of`. past: times [N] and MW [N] of what was measured before. observed [H] MW, NaN where unknown.
    """

    served: Served
    farm: str
    title: str
    forecast: Forecast
    made_at: datetime
    inputs: dict[str, Any]
    interval: Interval = "end"
    id: int | None = None
    notes: tuple[str, ...] = ()
    past: tuple[Times, NDArray[np.float32]] | None = None
    observed: NDArray[np.float32] | None = field(default=None)


def past_steps(task: ForecastTask) -> int:
    """Steps of measured power shown before a forecast: twice its length, within half a day to three days."""
    hour = timedelta(hours=1) / task.resolution
    return max(12, min(int(72 * hour), max(int(12 * hour), 2 * task.horizon)))


def inputs_of(windows: Windows, forecast: Forecast, served: Served, row: int = 0) -> dict[str, Any]:
    """What the forecast of one issue time stood on, as plain values."""
    task, issue = windows.task, windows.issue_times[row]
    rungs = forecast.rung[row].tolist()
    lag = int(power_lag(windows)[row])
    step = np.timedelta64(task.resolution, "us")
    seen = task.history and lag < task.history
    ages = windows.weather_age[row, windows.future]
    age = None if windows.reanalysis or not np.isfinite(ages).any() else float(np.nanmin(ages))
    by_lead = promised_by_lead(served, rungs)
    known = None if by_lead is None else [crps for crps in by_lead if crps is not None]
    return {
        "rung": Rung(max(rungs)).name.lower(),
        "sentence": Rung(max(rungs)).sentence,
        "rungs": [Rung(r).name.lower() for r in rungs],
        "newest_power": stamp(issue - lag * step) if seen else None,
        "power_age_minutes": lag * task.resolution.total_seconds() / 60 if seen else None,
        "newest_weather": None if age is None else stamp(issue - np.timedelta64(round(age * 3.6e9), "us")),
        "weather_age_minutes": None if age is None else round(age * 60, 1),
        "missing": _missing(windows, rungs, lag),
        "backtest_crps": round(sum(known) / len(known), 6) if known and len(known) == len(rungs) else None,
        "backtest_crps_by_lead": by_lead,
    }


def promised_by_lead(served: Served, rungs: Sequence[int]) -> list[float | None] | None:
    """The CRPS [H] that backtests measured on each lead's rung, a fraction of capacity; None without a backtest."""
    if not served.bundle.manifest.get("ladder"):
        return None
    steps = {rung: served.promised(Rung(rung).name.lower()) for rung in set(rungs)}
    return [None if (step := steps[rung]) is None else step[lead] for lead, rung in enumerate(rungs)]


def _missing(windows: Windows, rungs: list[int], lag: int) -> list[str]:
    """A sentence for each thing that should have been there."""
    sentences = []
    for rung in sorted(set(rungs) - {Rung.FRESH}):
        leads = [lead + 1 for lead, found in enumerate(rungs) if found == rung]
        which = "all leads" if len(leads) == len(rungs) else f"leads {leads[0]} to {leads[-1]}, {len(leads)} of them"
        sentences.append(f"{Rung(rung).sentence.capitalize()} ({which}).")
    if windows.task.history and 0 < lag < windows.task.history:
        sentences.append(f"The newest power is {lag} {'step' if lag == 1 else 'steps'} old.")
    elif windows.task.history and lag >= windows.task.history:
        sentences.append(f"No power is known of the last {windows.task.history} steps.")
    return sentences


def document(issued: Issued, levels: Sequence[float] | None = None) -> dict[str, Any]:
    """As GET …/forecasts/latest answers."""
    forecast, served = issued.forecast, issued.served
    task, chosen = forecast.task, shown(forecast, levels)
    minutes = task.resolution.total_seconds() / 60
    shift = np.timedelta64(task.resolution, "us") if issued.interval == "start" else np.timedelta64(0, "us")
    found: dict[str, Any] = {
        "farm": issued.farm,
        "title": issued.title,
        "bundle": {
            "name": served.name,
            "checksum": served.checksum,
            "model": served.model,
            "trained_until": stamp(served.bundle.trained_until),
        },
        "issue_time": stamp(forecast.issue_times[0]),
        "made_at": stamp(issued.made_at),
        "resolution_minutes": minutes,
        "capacity_mw": task.capacity_mw,
        "interval": issued.interval,
        "levels": list(chosen),
        "valid_times": stamps(forecast.valid_times[0] - shift),
        "lead_minutes": [minutes * lead for lead in range(1, task.horizon + 1)],
        "quantiles_mw": np.ascontiguousarray(forecast.quantiles(chosen)[0]),
        "inputs": issued.inputs,
        "notes": list(issued.notes),
    }
    if issued.id is not None:
        found = {"id": issued.id} | found
    if issued.past is not None:
        found["past"] = {"times": stamps(issued.past[0] - shift), "power_mw": plain(issued.past[1])}
    if issued.observed is not None:
        found["observed_mw"] = plain(issued.observed)
    return found


def shown(forecast: Forecast, levels: Sequence[float] | None) -> tuple[float, ...]:
    """The levels asked for, else twentieths as far as the forecast reaches, else all of its own."""
    if levels is not None:
        return tuple(levels)
    first, last = forecast.task.levels[0] - 1e-9, forecast.task.levels[-1] + 1e-9
    reached = tuple(level for level in TWENTIETHS if first <= level <= last)
    return reached if len(reached) > 1 else forecast.task.levels


def rendered(issued: Issued, form: str, levels: Sequence[float] | None = None) -> tuple[bytes, str]:
    """The forecast in a format of MEDIA, and its media type. Raises NotAcceptable for another."""
    if form not in MEDIA:
        raise NotAcceptable(f"format '{form[:20]}' is not made here. Ask for {', '.join(MEDIA)}.")
    if form == "json":
        return dumps(document(issued, levels)), MEDIA[form]
    if form in ("png", "svg"):
        return picture(issued, form), MEDIA[form]
    frame = issued.forecast.to_frame(shown(issued.forecast, levels), interval=issued.interval)
    return written(frame, form), MEDIA[form]


def written(frame: pl.DataFrame, form: str) -> bytes:
    """A table as CSV (times in UTC with a Z, MW with four decimals) or Parquet."""
    content = io.BytesIO()
    if form == "csv":
        frame.write_csv(content, datetime_format="%Y-%m-%dT%H:%M:%SZ", float_precision=4)
    else:
        frame.write_parquet(content)
    return content.getvalue()


def picture(issued: Issued, form: str) -> bytes:
    """The fan chart."""
    from windcast.evaluation.charts import style
    from windcast.evaluation.charts.fan import fan_chart

    times, power = issued.past if issued.past is not None else (None, None)
    observed = issued.observed if issued.observed is not None and np.isfinite(issued.observed).any() else None
    figure = fan_chart(
        issued.forecast, 0, past_power=power, past_times=times, observed=observed, title=issued.title or issued.farm
    )
    return style.png(figure) if form == "png" else style.svg(figure)


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def stamp(time: datetime | np.datetime64) -> str:
    """2015-07-01T06:00:00Z"""
    moment = time.astype("datetime64[us]").item() if isinstance(time, np.datetime64) else time
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return f"{text}Z"


def stamps(times: Times) -> list[str]:
    """Whole seconds."""
    return [f"{text}Z" for text in np.datetime_as_string(times.astype("datetime64[s]")).tolist()]


def plain(values: NDArray[np.floating]) -> list[float | None]:
    """None where not a number; four decimals, a tenth of a kilowatt."""
    return [None if value != value else round(value, 4) for value in values.tolist()]
