"""A store filled from data on file, as if the service had been running: values, then the forecasts of the last days."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from windcast.data.farm import FarmData, Times
from windcast.registry.production import CATCH_UP, floor, grid
from windcast.serving.state import Service

EVERY = timedelta(hours=6)  # between the issue times that are filled in
CHUNK = 20_000  # rows stored at once


def fill(
    service: Service,
    name: str,
    data: FarmData,
    *,
    days: float,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Stores what is on file of a farm and issues for its last `days`; returns how many forecasts.

    A farm that has values already is left alone. Every value is known from when it was known then. Raises
    DataContractError where data and bundle do not fit.
    """
    operator, store = service.operator, service.store
    record = store.farm(name)
    served = operator.served_for(record)
    served.bundle.check_farm(data)
    if record.revision:
        return 0
    last = last_issue(data, served.bundle.forecaster.task.horizon)
    start = last - timedelta(days=days) - CATCH_UP
    _store_power(service, name, data.known_until(last).power.filter(pl.col("time") > start), data.power_delay)
    _store_weather(service, name, data.weather.filter(pl.col("valid_time") > start), before=start)
    every = max(EVERY, record.resolution)
    times = grid(last - timedelta(days=days), last - every, every)
    issues = [*(time.item().replace(tzinfo=UTC) for time in times), last]
    for done, issue in enumerate(issues):
        if service.closing.is_set():
            return done
        on_progress(done, len(issues))
        service.issuer.account(operator.issue(name, issue, now=service.now()))
    on_progress(len(issues), len(issues))
    return len(issues)


def last_issue(data: FarmData, horizon: int) -> datetime:
    """The last issue time whose power is on file, and whose weather too, as far as the file has weather."""
    ends = [data.end + data.power_delay]
    if not data.weather.is_empty():
        ends.append(data.weather["valid_time"][-1] - horizon * data.resolution)
    return floor(min(ends), data.resolution)


def _store_power(service: Service, name: str, power: pl.DataFrame, delay: timedelta) -> None:
    times, values = _times(power["time"]), power["power_mw"].to_numpy()
    known = _times(power["available_at"]) if "available_at" in power.columns else times + np.timedelta64(delay, "us")
    for part in _chunks(power.height):
        service.store.append_power(
            name, times=times[part], power_mw=values[part], available_at=known[part], received_at=service.now()
        )


def _store_weather(service: Service, name: str, weather: pl.DataFrame, *, before: datetime) -> None:
    """Reanalysis has no time at which it became known: it counts as known before everything."""
    valid, known = _times(weather["valid_time"]), _times(weather["available_at"])
    known = np.where(np.isnat(known), np.datetime64(before.replace(tzinfo=None), "us"), known)
    values = weather.drop("valid_time", "available_at").to_numpy()
    for part in _chunks(weather.height):
        service.store.append_weather(
            name, valid_times=valid[part], values=values[part], available_at=known[part], received_at=service.now()
        )


def _times(column: pl.Series) -> Times:
    times: Times = column.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    return times


def _chunks(count: int) -> list[slice]:
    return [slice(first, first + CHUNK) for first in range(0, count, CHUNK)]
