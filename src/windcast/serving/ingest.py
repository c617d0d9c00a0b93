"""What arrives, checked against the farm's contract before anything of it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.contracts import range_of
from windcast.data.farm import Times
from windcast.serving import bodies, schemas
from windcast.serving.operating import record_of
from windcast.serving.problems import Unprocessable
from windcast.serving.shelf import Served
from windcast.serving.store import FarmRecord, Receipt, Store

AHEAD = timedelta(minutes=5)  # by which another clock may be ahead of ours
FURTHEST = timedelta(days=20)  # weather ahead of now


@dataclass(frozen=True)
class Taken:
    """known_at: when the newest of the values became known."""

    receipt: Receipt
    known_at: datetime


Take = Callable[[Store, Served, FarmRecord, bytes, str, datetime], Taken]


def power(store: Store, _served: Served, farm: FarmRecord, body: bytes, kind: str, now: datetime) -> Taken:
    """Stores a table of time, power_mw and perhaps available_at. Raises Unprocessable naming the first wrong row."""
    table = bodies.checked(bodies.table(body, kind), ("time", "power_mw", "available_at"), "power")
    shift = farm.resolution if farm.interval == "start" else timedelta(0)
    times = bodies.times(table, "time") + np.timedelta64(shift, "us")
    values = bodies.numbers(table, "power_mw")
    known = _available(table, now)
    _every_time(times, "time")
    _on_grid(times, "time", farm.resolution, timedelta(0))
    outside = (values < 0) | (values > farm.capacity_mw)
    _refuse(outside, lambda row: f"power_mw {values[row]:g} is outside 0 to {farm.capacity_mw:g} MW. Correct its unit.")
    end, until = _latest(times), np.datetime64((now + AHEAD).replace(tzinfo=None), "us")
    _refuse(times > until, lambda row: f"time {times[row]} has not come yet; it is {now:%Y-%m-%d %H:%M} UTC.")
    early = ~np.isnat(known) & (known < times)
    _refuse(early, lambda row: f"available_at {known[row]} is before the interval ended ({times[row]}).")
    receipt = store.append_power(farm.name, times=times, power_mw=values, available_at=known, received_at=now)
    return Taken(receipt, _known_at(known, end, now))


def weather(store: Store, served: Served, farm: FarmRecord, body: bytes, kind: str, now: datetime) -> Taken:
    """Stores a table of valid_time, the farm's variables and perhaps available_at."""
    known_columns = ("valid_time", "available_at", *farm.variables)
    if not farm.variables:
        raise Unprocessable(
            f"{farm.name} is forecast without weather, by bundle '{farm.bundle}'. Send its power alone."
        )
    table = bodies.checked(bodies.table(body, kind), known_columns, "weather")
    valid = bodies.times(table, "valid_time")
    known = _available(table, now)
    _every_time(valid, "valid_time")
    step, phase = served.weather_grid
    if step >= farm.resolution:
        _on_grid(valid, "valid_time", step, phase)
    furthest = np.datetime64((now + FURTHEST).replace(tzinfo=None), "us")
    _refuse(valid > furthest, lambda row: f"valid_time {valid[row]} is more than {FURTHEST.days} days ahead.")
    values = np.full((table.height, len(farm.variables)), np.nan)
    for place, name in enumerate(farm.variables):
        if name in table.names:
            values[:, place] = _plausible(bodies.numbers(table, name), name)
    if np.isnan(values).all():
        raise Unprocessable(f"weather has none of the farm's variables: {', '.join(farm.variables)}.")
    rows = ~np.isnan(values).all(axis=1)  # a row without a value is no forecast
    receipt = store.append_weather(
        farm.name, valid_times=valid[rows], values=values[rows], available_at=known[rows], received_at=now
    )
    return Taken(receipt, _known_at(known[rows], None, now))


def record(name: str, settings: schemas.FarmSettings, served: Served) -> FarmRecord:
    """A farm as it is asked for. Raises Unprocessable if it cannot be issued so."""
    base = record_of(served)
    every = settings.issue_every_minutes
    grace = base.grace if settings.grace_minutes is None else timedelta(minutes=settings.grace_minutes)
    if every is not None and (1440 % every or timedelta(minutes=every) % base.resolution):
        step = base.resolution / timedelta(minutes=1)
        raise Unprocessable(f"issue_every_minutes is {every}; give a multiple of {step:g} that divides a day.")
    if grace > base.resolution:
        raise Unprocessable(f"grace_minutes is {settings.grace_minutes:g}; at most one step of {base.resolution}.")
    changes: dict[str, Any] = {
        "name": name,
        "title": settings.title or (base.title if name == base.name else name),
        "grace": grace,
        "issue_on_arrival": settings.issue_on_arrival,
        "issue_every": None if every is None else timedelta(minutes=every),
    }
    return FarmRecord(**{**vars(base), **changes})


def _available(table: bodies.Columns, now: datetime) -> Times:
    """[N] when each row became known, NaT where nothing is said. Raises Unprocessable for one in the future."""
    if "available_at" not in table.names:
        return np.full(table.height, "NaT", "datetime64[us]")
    known = bodies.times(table, "available_at")
    until = np.datetime64((now + AHEAD).replace(tzinfo=None), "us")
    _refuse(known > until, lambda row: f"available_at {known[row]} has not come yet; it is {now:%Y-%m-%d %H:%M} UTC.")
    return known


def _plausible(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    limits = range_of(name)
    if limits is not None:
        unit, low, high = limits
        wrong = (values < low) | (values > high)
        _refuse(wrong, lambda row: f"{name} {values[row]:g} is outside {low:g} to {high:g} {unit}. Correct its unit.")
    return values


def _every_time(times: Times, name: str) -> None:
    _refuse(np.isnat(times), lambda _: f"{name} is missing. Every row needs one.")


def _on_grid(times: Times, name: str, step: timedelta, phase: timedelta) -> None:
    width = int(step / timedelta(microseconds=1))
    off = (times.astype(np.int64) - int(phase / timedelta(microseconds=1))) % width != 0
    _refuse(off, lambda row: f"{name} {times[row]} is off the grid of {step}. Resample it.")


def _refuse(wrong: NDArray[np.bool_], sentence: Callable[[int], str]) -> None:
    """Raises Unprocessable with the sentence of the first wrong row, and how many there are."""
    if wrong.any():
        row, count = int(wrong.argmax()), int(wrong.sum())
        more = f" ({count:,} rows like it.)" if count > 1 else ""
        raise Unprocessable(f"row {row + 1}: {sentence(row)}{more} Nothing was stored.")


def _latest(times: Times) -> datetime:
    return times.max().item().replace(tzinfo=UTC)  # type: ignore[no-any-return]


def _known_at(known: Times, end: datetime | None, now: datetime) -> datetime:
    """When the newest value became known: as said, else now."""
    if np.isnat(known).any():
        return now
    latest = _latest(known)
    return latest if end is None else max(latest, end)
