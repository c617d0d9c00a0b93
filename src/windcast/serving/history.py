"""A store filled from data on file, as if the service had been running: values, then the forecasts of the last days."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl

from windcast.data.farm import FarmData, Times
from windcast.data.task import ForecastTask
from windcast.registry.production import CATCH_UP, floor, grid
from windcast.serving.state import Service

EVERY = timedelta(hours=6)  # between the issue times that are filled in, at most
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

    What is there already stays, so a filling that was cut off goes on where it stopped: first the values that are
    missing, then the issue times that have no forecast. Every value is known from when it was known then. Raises
    DataContractError where data and bundle do not fit.
    """
    operator, store = service.operator, service.store
    record = store.farm(name)
    served = operator.served_for(record)
    served.bundle.check_farm(data)
    task = served.bundle.forecaster.task
    last = last_issue(data, task.horizon)
    issues = [one for one in _issue_times(task, last, days) if store.forecast_at(name, issue_time=one) is None]
    if not issues:
        return 0
    start = last - timedelta(days=days) - CATCH_UP
    _store_power(service, name, data.known_until(last).power.filter(pl.col("time") > start), data.power_delay)
    _store_weather(service, name, data.weather.filter(pl.col("valid_time") > start), before=start)
    for done, issue in enumerate(issues):
        if service.closing.is_set():
            return done
        on_progress(done, len(issues))
        now = service.now()
        afterwards = now >= issue + record.resolution
        service.issuer.account(operator.issue(name, issue, now=now, from_history=afterwards))
    on_progress(len(issues), len(issues))
    return len(issues)


def _issue_times(task: ForecastTask, last: datetime, days: float) -> list[datetime]:
    """So close that one forecast follows where another ends; the last is always among them."""
    every = max(min(EVERY, task.horizon * task.resolution), task.resolution)
    times = [time.item().replace(tzinfo=UTC) for time in grid(last - timedelta(days=days), last, every)]
    return [*(time for time in times if time < last), last]


def last_issue(data: FarmData, horizon: int) -> datetime:
    """The last issue time whose power is on file, and whose weather too, as far as the file has weather."""
    ends = [data.end + data.power_delay]
    if not data.weather.is_empty():
        ends.append(data.weather["valid_time"][-1] - horizon * data.resolution)
    return floor(min(ends), data.resolution)


def _store_power(service: Service, name: str, power: pl.DataFrame, delay: timedelta) -> None:
    if "available_at" not in power.columns:
        power = power.with_columns(available_at=pl.col("time") + delay)
    power = _missing(power, service.store.power, name, "time")
    times, known, values = _times(power["time"]), _times(power["available_at"]), power["power_mw"].to_numpy()
    for part in _chunks(power.height):
        service.store.append_power(
            name, times=times[part], power_mw=values[part], available_at=known[part], received_at=service.now()
        )


def _store_weather(service: Service, name: str, weather: pl.DataFrame, *, before: datetime) -> None:
    """Reanalysis has no time at which it became known: it counts as known before everything."""
    weather = weather.with_columns(pl.col("available_at").fill_null(before))
    weather = _missing(weather, service.store.weather, name, "valid_time")
    valid, known = _times(weather["valid_time"]), _times(weather["available_at"])
    values = weather.drop("valid_time", "available_at").to_numpy()
    for part in _chunks(weather.height):
        service.store.append_weather(
            name, valid_times=valid[part], values=values[part], available_at=known[part], received_at=service.now()
        )


def _missing(table: pl.DataFrame, stored: Callable[..., pl.DataFrame], name: str, key: str) -> pl.DataFrame:
    """The rows of a table, in the order of `key`, whose version the store does not hold."""
    if table.is_empty():
        return table
    held = stored(name, start=table[key][0] - timedelta(microseconds=1), end=table[key][-1])
    return table.join(held.select(key, "available_at"), on=[key, "available_at"], how="anti", maintain_order="left")


def _times(column: pl.Series) -> Times:
    times: Times = column.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    return times


def _chunks(count: int) -> list[slice]:
    return [slice(first, first + CHUNK) for first in range(0, count, CHUNK)]
