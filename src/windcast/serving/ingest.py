"""What arrives, checked against the farm's contract before anything of it is stored."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.contracts import range_of
from windcast.data.farm import Times
from windcast.data.sources.cleaning import MOST_OVERSHOOT, MOST_STANDBY
from windcast.serving import bodies, schemas
from windcast.serving.operating import record_of
from windcast.serving.problems import Conflict, Unprocessable
from windcast.serving.shelf import Served
from windcast.serving.store import FarmRecord, Receipt, Store

AHEAD = timedelta(minutes=5)  # by which another clock may be ahead of ours
FURTHEST = timedelta(days=20)  # weather ahead of now


@dataclass(frozen=True)
class Taken:
    """known_at: when the newest of the values became known.

    set_to_zero, set_to_capacity: values a little outside of what the farm can produce.
    """

    receipt: Receipt
    known_at: datetime
    set_to_zero: int = 0
    set_to_capacity: int = 0


Take = Callable[[Store, Served, FarmRecord, bytes, str, datetime], Taken]


def power(store: Store, _served: Served, farm: FarmRecord, body: bytes, kind: str, now: datetime) -> Taken:
    """Stores a table of time, power_mw and perhaps available_at. Raises Unprocessable naming the first wrong row.

    As with files, standby consumption becomes 0 and a tiny overshoot the capacity.
    """
    table = bodies.checked(bodies.table(body, kind), ("time", "power_mw", "available_at"), "power")
    shift = farm.resolution if farm.interval == "start" else timedelta(0)
    times = bodies.times(table, "time") + np.timedelta64(shift, "us")
    values = bodies.numbers(table, "power_mw")
    known = _available(table, now)
    refuse = _Refusing(table)
    _every_time(times, "time", refuse)
    _on_grid(times, "time", farm.resolution, timedelta(0), refuse)
    low, high = -MOST_STANDBY * farm.capacity_mw, (1 + MOST_OVERSHOOT) * farm.capacity_mw
    outside = (values < low) | (values > high)
    refuse(outside, lambda row: f"power_mw {values[row]:g} is outside 0 to {farm.capacity_mw:g} MW. Correct its unit.")
    end, until = _latest(times), np.datetime64((now + AHEAD).replace(tzinfo=None), "us")
    refuse(times > until, lambda row: f"time {times[row]} has not come yet; it is {now:%Y-%m-%d %H:%M} UTC.")
    early = ~np.isnat(known) & (known < times)
    refuse(early, lambda row: f"available_at {known[row]} is before the interval ended ({times[row]}).")
    below, above = int((values < 0).sum()), int((values > farm.capacity_mw).sum())
    values = values.clip(0, farm.capacity_mw)
    _check_twice(times, known, values[:, None], "time", table)
    receipt = store.append_power(farm.name, times=times, power_mw=values, available_at=known, received_at=now)
    return Taken(receipt, _known_at(known, end, now), set_to_zero=below, set_to_capacity=above)


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
    refuse = _Refusing(table)
    _every_time(valid, "valid_time", refuse)
    step, phase = served.weather_grid
    if step >= farm.resolution:
        _on_grid(valid, "valid_time", step, phase, refuse)
    furthest = np.datetime64((now + FURTHEST).replace(tzinfo=None), "us")
    refuse(valid > furthest, lambda row: f"valid_time {valid[row]} is more than {FURTHEST.days} days ahead.")
    values = np.full((table.height, len(farm.variables)), np.nan)
    for place, name in enumerate(farm.variables):
        if name in table.names:
            values[:, place] = _plausible(bodies.numbers(table, name), name, refuse)
    if np.isnan(values).all():
        raise Unprocessable(f"weather has none of the farm's variables: {', '.join(farm.variables)}.")
    _check_twice(valid, known, values, "valid_time", table)
    rows = ~np.isnan(values).all(axis=1)  # a row without a value is no forecast
    receipt = store.append_weather(
        farm.name, valid_times=valid[rows], values=values[rows], available_at=known[rows], received_at=now
    )
    return Taken(receipt, _known_at(known[rows], None, now))


def record(name: str, settings: schemas.FarmSettings, served: Served, before: FarmRecord | None) -> FarmRecord:
    """A farm as it is asked for; what is not said stays as `before`. Raises Unprocessable if it cannot be issued so."""
    base = record_of(served)
    changes: dict[str, Any] = {"name": name, "title": base.title if name == base.name else name}
    if before is not None:
        changes |= {key: getattr(before, key) for key in ("title", "issue_on_arrival", "issue_every")}
    if before is not None and before.resolution == base.resolution:
        changes["grace"] = before.grace
    said = settings.model_fields_set
    if settings.title:
        changes["title"] = settings.title
    if settings.grace_minutes is not None:
        changes["grace"] = timedelta(minutes=settings.grace_minutes)
    if "issue_on_arrival" in said:
        changes["issue_on_arrival"] = settings.issue_on_arrival
    every = settings.issue_every_minutes
    if "issue_every_minutes" in said:
        changes["issue_every"] = None if every is None else timedelta(minutes=every)
    if every is not None and (1440 % every or timedelta(minutes=every) % base.resolution):
        step = base.resolution / timedelta(minutes=1)
        raise Unprocessable(f"issue_every_minutes is {every}; give a multiple of {step:g} that divides a day.")
    found = FarmRecord(**{**vars(base), **changes})
    if found.grace > base.resolution:
        minutes = found.grace / timedelta(minutes=1)
        raise Unprocessable(f"grace_minutes is {minutes:g}; at most one step of {base.resolution}.")
    return found


def _available(table: bodies.Columns, now: datetime) -> Times:
    """[N] when each row became known, NaT where nothing is said. Raises Unprocessable for one in the future."""
    if "available_at" not in table.names:
        return np.full(table.height, "NaT", "datetime64[us]")
    known = bodies.times(table, "available_at")
    until = np.datetime64((now + AHEAD).replace(tzinfo=None), "us")
    refuse = _Refusing(table)
    refuse(known > until, lambda row: f"available_at {known[row]} has not come yet; it is {now:%Y-%m-%d %H:%M} UTC.")
    return known


def _plausible(values: NDArray[np.float64], name: str, refuse: "_Refusing") -> NDArray[np.float64]:
    limits = range_of(name)
    if limits is not None:
        unit, low, high = limits
        wrong = (values < low) | (values > high)
        refuse(wrong, lambda row: f"{name} {values[row]:g} is outside {low:g} to {high:g} {unit}. Correct its unit.")
    return values


def _every_time(times: Times, name: str, refuse: "_Refusing") -> None:
    refuse(np.isnat(times), lambda _: f"{name} is missing. Every row needs one.")


def _on_grid(times: Times, name: str, step: timedelta, phase: timedelta, refuse: "_Refusing") -> None:
    width = int(step / timedelta(microseconds=1))
    off = (times.astype(np.int64) - int(phase / timedelta(microseconds=1))) % width != 0
    refuse(off, lambda row: f"{name} {times[row]} is off the grid of {step}. Resample it.")


def _check_twice(times: Times, known: Times, values: NDArray[np.float64], name: str, table: bodies.Columns) -> None:
    """Raises Conflict, naming both rows, where a body has different values for one time and one available_at."""
    order = np.lexsort((known.view(np.int64), times.view(np.int64)))
    first, second = order[:-1], order[1:]
    same = (times[first] == times[second]) & (known[first].view(np.int64) == known[second].view(np.int64))
    differ = same & ~np.isclose(values[first], values[second], rtol=0, atol=0, equal_nan=True).all(axis=1)
    if differ.any():
        place = int(differ.argmax())
        rows = f"rows {first[place] + table.first} and {second[place] + table.first}"
        count = int(differ.sum())
        more = f" ({count:,} pairs like it.)" if count > 1 else ""
        raise Conflict(
            f"{rows} are both for {name} {bodies.times(table, name)[first[place]]} and differ. Keep one, or give "
            f"the later one a later available_at.{more} Nothing was stored."
        )


@dataclass(frozen=True, eq=False)
class _Refusing:
    """Raises Unprocessable with the sentence of the first wrong row, and how many there are."""

    table: bodies.Columns

    def __call__(self, wrong: NDArray[np.bool_], sentence: Callable[[int], str]) -> None:
        if wrong.any():
            row, count = int(wrong.argmax()), int(wrong.sum())
            more = f" ({count:,} rows like it.)" if count > 1 else ""
            raise Unprocessable(f"row {row + self.table.first}: {sentence(row)}{more} Nothing was stored.")


def _latest(times: Times) -> datetime:
    return times.max().item().replace(tzinfo=UTC)  # type: ignore[no-any-return]


def _known_at(known: Times, end: datetime | None, now: datetime) -> datetime:
    """When the newest value became known: as said, else now."""
    if np.isnat(known).any():
        return now
    latest = _latest(known)
    return latest if end is None else max(latest, end)
