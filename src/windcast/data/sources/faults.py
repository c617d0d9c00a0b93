"""Faults that farms have, injected on purpose: each a pure function from FarmData to FarmData.

A fault touches the intervals that end, or the weather runs that become available, after `start` and up to
`end`; None means from the first or to the last. It leaves every other value as it is.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from windcast.data.farm import FarmData
from windcast.errors import ConfigError, unknown_name

Moment = datetime | str | None


def inject(farm: FarmData, faults: Sequence[Mapping[str, Any]]) -> FarmData:
    """The farm with faults injected in order, each given as `{"name": …, "start": …, …}`.

    Raises ConfigError for an unknown fault or key, naming the nearest known one, or an impossible value.
    """
    for given in faults:
        settings = dict(given)
        name = str(settings.pop("name", ""))
        if name not in FAULTS:
            raise ConfigError(unknown_name("fault", name, FAULTS))
        known = [p for p in inspect.signature(FAULTS[name]).parameters if p != "farm"]
        for key in settings:
            if key not in known:
                raise ConfigError(unknown_name(f"key of fault '{name}'", key, known))
        farm = FAULTS[name](farm, **settings)
    return farm


def drift(farm: FarmData, *, start: Moment = None, end: Moment = None, loss: float = 0.1) -> FarmData:
    """Power sinks evenly from `start` until it lacks the share `loss` at `end`, and stays that low."""
    _share("drift", "loss", loss)
    first, last = _span("drift", start or farm.start, end or farm.end)
    progress = (pl.col("time") - pl.lit(first)) / (last - first)
    return _with_power(farm, pl.col("power_mw") * (1 - loss * progress.clip(0, 1)))


def curtailment(
    farm: FarmData, *, start: Moment = None, end: Moment = None, limit: float = 0.5, told: bool = True
) -> FarmData:
    """Power is held at `limit`, a share of capacity; where `told`, the curtailment table tells."""
    _share("curtailment", "limit", limit)
    within = _within("curtailment", "time", start, end)
    above = within & (pl.col("power_mw") > limit * farm.capacity_mw)
    result = _with_power(farm, pl.when(above).then(limit * farm.capacity_mw).otherwise(pl.col("power_mw")))
    if not told:
        return result
    held = pl.DataFrame(
        {"time": farm.power["time"], "curtailed_mw": farm.power["power_mw"] - result.power["power_mw"]}
    ).filter(pl.col("curtailed_mw") > 0)
    held = held.unique("time", keep="last", maintain_order=True)
    all_held = held if farm.curtailment is None else pl.concat([farm.curtailment, held])
    return replace(result, curtailment=all_held.group_by("time").agg(pl.col("curtailed_mw").sum()))


def icing(
    farm: FarmData,
    *,
    start: Moment = None,
    end: Moment = None,
    below_kelvin: float = 273.15,
    loss: float = 0.3,
) -> FarmData:
    """Power lacks the share `loss` where the last forecast of the temperature was below `below_kelvin`."""
    _share("icing", "loss", loss)
    names = [v for v in farm.variables if v.startswith("temperature")]
    if not names:
        known = ", ".join(farm.variables) or "no weather"
        raise ConfigError(f"fault 'icing' needs a temperature in the weather; {farm.name} has {known}.")
    latest = farm.weather.group_by("valid_time", maintain_order=True).agg(pl.col(names[0]).last().alias("kelvin"))
    kelvin = farm.power.join_asof(latest.sort("valid_time"), left_on="time", right_on="valid_time")["kelvin"]
    iced = (kelvin < below_kelvin).fill_null(False)
    lessened = pl.when(_within("icing", "time", start, end) & iced).then(pl.col("power_mw") * (1 - loss))
    return _with_power(farm, lessened.otherwise(pl.col("power_mw")))


def stuck_sensor(farm: FarmData, *, start: Moment = None, end: Moment = None) -> FarmData:
    """Power repeats the first value within the span."""
    within = _within("stuck_sensor", "time", start, end)
    values = farm.power.filter(within)["power_mw"].drop_nulls()
    held = pl.lit(values[0] if len(values) else None, pl.Float64)
    return _with_power(farm, pl.when(within).then(held).otherwise(pl.col("power_mw")))


def missing_power(farm: FarmData, *, start: Moment = None, end: Moment = None) -> FarmData:
    """Power is null; its rows stay."""
    within = _within("missing_power", "time", start, end)
    return _with_power(farm, pl.when(~within).then(pl.col("power_mw")))


def late_weather(farm: FarmData, *, start: Moment = None, end: Moment = None, hours: float = 6.0) -> FarmData:
    """Runs become available `hours` later; one that arrives together with a newer run gives way to it."""
    if hours < 0:
        raise ConfigError(f"fault 'late_weather': hours is {hours}; a run cannot arrive before it was made.")
    return _with_moved("late_weather", farm, "available_at", hours, start, end)


def time_shift(farm: FarmData, *, start: Moment = None, end: Moment = None, hours: float = 1.0) -> FarmData:
    """Runs speak of a time `hours` later than they should, as in a wrong time zone; earlier if negative."""
    return _with_moved("time_shift", farm, "valid_time", hours, start, end)


def missing_runs(
    farm: FarmData, *, start: Moment = None, end: Moment = None, share: float = 1.0, seed: int = 0
) -> FarmData:
    """A `share` of the runs, drawn by `seed`, never comes."""
    _share("missing_runs", "share", share)
    within = _within("missing_runs", "available_at", start, end)
    runs = farm.weather.filter(within)["available_at"].unique().sort()
    drawn = np.random.default_rng(seed).permutation(len(runs))[: round(share * len(runs))]
    lost = runs[np.sort(drawn)]
    return replace(farm, weather=farm.weather.filter(~pl.col("available_at").is_in(lost.implode(), nulls_equal=True)))


FAULTS: dict[str, Callable[..., FarmData]] = {
    fault.__name__: fault
    for fault in (
        drift,
        curtailment,
        icing,
        stuck_sensor,
        missing_power,
        late_weather,
        time_shift,
        missing_runs,
    )
}


def _with_power(farm: FarmData, power_mw: pl.Expr) -> FarmData:
    return replace(farm, power=farm.power.with_columns(power_mw.alias("power_mw")))


def _with_moved(fault: str, farm: FarmData, column: str, hours: float, start: Moment, end: Moment) -> FarmData:
    moved = pl.when(_within(fault, "available_at", start, end)).then(pl.col(column) + timedelta(hours=hours))
    weather = farm.weather.with_columns(moved.otherwise(pl.col(column)).alias(column))
    # a run delayed onto the arrival of the next one is never the newest
    return replace(farm, weather=weather.unique(["valid_time", "available_at"], keep="last", maintain_order=True))


def _within(fault: str, column: str, start: Moment, end: Moment) -> pl.Expr:
    first, last = _span(fault, start or datetime.min, end or datetime.max)
    after = pl.lit(True) if start is None else pl.col(column) > first
    return after if end is None else after & (pl.col(column) <= last)


def _span(fault: str, start: datetime | str, end: datetime | str) -> tuple[datetime, datetime]:
    first, last = _moment(fault, "start", start), _moment(fault, "end", end)
    if first >= last:
        raise ConfigError(f"fault '{fault}': start {first:%Y-%m-%d %H:%M} is not before {last:%Y-%m-%d %H:%M}.")
    return first, last


def _moment(fault: str, key: str, value: datetime | str) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ConfigError(f"fault '{fault}': {key} is '{value}'; write a time such as 2020-03-01T06:00.") from None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _share(fault: str, key: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"fault '{fault}': {key} is {value}; it is a share between 0 and 1.")
