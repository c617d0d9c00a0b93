"""A stranger's table made a farm that a bundle can forecast: what the columns mean is guessed from their names and
values, and what the farm is, the bundle knows.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from windcast.data import contracts
from windcast.data.farm import FarmData
from windcast.data.sources import files, guess, mapping, reading, stamps
from windcast.data.sources.mapping import FarmMapping, WeatherMapping
from windcast.data.sources.reading import Table
from windcast.data.sources.sheets import Sheet
from windcast.errors import WindcastError
from windcast.registry.bundles import Bundle
from windcast.registry.production import reach
from windcast.serving import columns
from windcast.serving.problems import Unprocessable

log = logging.getLogger("windcast.service")

MOST_COLUMNS = 1000
PAST = timedelta(days=4)  # what is shown of the power before the issue time, with a margin
FUTURE = timedelta(days=2)  # beyond the last lead: weather on a coarser grid is interpolated
ASK_ZONE = "For another zone, ask with time_zone=, such as time_zone=Europe/Copenhagen."
FIRST_YEAR, LAST_YEAR = 1950, 2100


@dataclass(frozen=True)
class UploadedFarm:
    """farm: the part of the table that a forecast after its last known power can see.

    missing: a sentence for each thing that the bundle expects and the table has not.  said: how it was understood.
    """

    farm: FarmData
    missing: tuple[str, ...]
    said: tuple[str, ...]


def own_mapping(bundle: Bundle) -> FarmMapping | None:
    """How the files that the bundle was trained on are mapped; None where it was trained otherwise, or the
    description is gone.
    """
    data = (bundle.manifest.get("config") or {}).get("data") or {}
    if data.get("source") != "files" or not data.get("config"):
        return None
    try:
        return mapping.read(data["config"])
    except WindcastError:
        return None


def farm_from_table(
    data: bytes,
    name: str,
    *,
    bundle: Bundle,
    own: FarmMapping | None = None,
    time_zone: str | None = None,
    max_mb: float = mapping.MAX_MB,
) -> UploadedFarm:
    """The farm in the bytes of a CSV or Parquet, fit for `production.forecast` with this bundle.

    name: for messages.  own: as `own_mapping` gives it; its columns are looked for first.  time_zone: of stamps
    without an offset; else that of `own`, else guessed.
    Raises a WindcastError with one sentence for whatever is no such table.
    """
    try:
        return _farm(data, name, bundle, own, time_zone, max_mb)
    except WindcastError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ArithmeticError, ValueError, TypeError) as error:
        log.exception("an upload was refused for an error that was not foreseen")
        raise Unprocessable(
            f"{name}: cannot be understood as a table of power and weather ({type(error).__name__}). Send a CSV with a "
            "header row, a column of times such as 2020-01-31 13:00, and a column 'power'."
        ) from None


def _farm(
    data: bytes, name: str, bundle: Bundle, own: FarmMapping | None, zone: str | None, max_mb: float
) -> UploadedFarm:
    contract = bundle.manifest["contract"]
    repairs: list[str] = []
    as_written = () if own is None else files.as_written(own)
    table = reading.parse(data, Path(name), max_mb=max_mb, repairs=repairs, texts=as_written, most_columns=MOST_COLUMNS)
    said: list[str] = []
    found = None if own is None else columns.mapped(own, table, contract)
    zones = Zones(zone, None if own is None else own.time_zone)
    if found is None:
        _check_times(table)
        found = _guessed(table, name, contract, zones, said)
    else:
        found = _in_zone(found, table, name, zones, said)
    described = FarmMapping(
        name=bundle.manifest["farm"],
        capacity_mw=contract["capacity_mw"],
        resolution=contract["resolution_minutes"],
        interval=bundle.manifest.get("interval", "end"),
        time_zone=found.time_zone,
        power=found.power,
        weather=found.weather,
    )
    farm = files.from_table(table, described, span=lambda last: _span(bundle, last), repairs=repairs)
    missing: list[str] = []
    return UploadedFarm(_as_trained(farm, bundle, found.weather, missing), tuple(missing), tuple(said))


@dataclass(frozen=True)
class Zones:
    """Of stamps without an offset: what the client asked for, and what the bundle's own files are in."""

    asked: str | None
    own: str | None

    def known(self, time: str) -> str | None:
        """Of a column of times; None where it must be guessed."""
        says_utc = "utc" in time.lower() or "gmt" in time.lower()
        return self.asked or (None if says_utc else self.own)

    def sentence(self, name: str, zone: str) -> str:
        why = "as was asked for" if self.asked else "as those of the files that this bundle was trained on"
        return f"{name}: stamps without an offset are read in {zone}, {why}. {ASK_ZONE}"


def _in_zone(found: columns.Found, table: Table, name: str, zones: Zones, said: list[str]) -> columns.Found:
    """What the description of the bundle's own files finds, in the zone that was asked for, if one was."""
    zone = zones.asked or found.time_zone
    if stamps.wall_clock(table, found.power.time) is not None:
        said.append(zones.sentence(name, zone))
    weather = found.weather
    if zones.asked and weather is not None:
        weather = replace(weather, time_zone=None)
    return replace(found, time_zone=zone, weather=weather)


def _guessed(table: Table, name: str, contract: dict[str, object], zones: Zones, said: list[str]) -> columns.Found:
    try:
        sheet = Sheet.of(table, name, said)
    except WindcastError:
        columns.check_broken_times(table)
        raise
    columns.check_refused(sheet)
    time = sheet.measured_time()
    if len(sheet.times[time]) > 1:
        ways = " or as ".join(way.format for way in sheet.times[time])
        raise Unprocessable(
            f"{name}: times such as '{table.frame[time][0]}' can be read as {ways}. Write them like 2020-01-31 13:00."
        )
    step = guess.resolution_of(sheet, time, said)
    _check_step(name, step, contract)
    zone, wall = zones.known(time), stamps.wall_clock(table, time)
    if zone is not None and wall is not None:
        said.append(zones.sentence(name, zone))
    else:
        zone = guess.zone_of(sheet, time, step, said)
        said += [] if wall is None else [ASK_ZONE]
    power = columns.power_of(sheet, time, contract, said)
    return columns.Found(zone, power, columns.weather_of(sheet, time, contract, said))


def _check_times(table: Table) -> None:
    """Raises Unprocessable for a stored time that no farm can have."""
    for column in table.frame.iter_columns():
        if column.dtype not in (pl.Date, pl.Datetime):
            continue
        odd = ~column.dt.year().is_between(FIRST_YEAR, LAST_YEAR).fill_null(True)
        if odd.any():
            raise Unprocessable(
                f"{table.path}: column '{column.name}' has {reading.counted(int(odd.sum()), 'time')} outside "
                f"{FIRST_YEAR} to {LAST_YEAR}, the first in row {table.rows.filter(odd)[0]}. Correct them."
            )


def _check_step(name: str, step: timedelta | None, contract: dict[str, object]) -> None:
    minutes = float(contract["resolution_minutes"])  # type: ignore[arg-type]
    if step is not None and step != timedelta(minutes=minutes):
        raise Unprocessable(
            f"{name}: most rows are {step / timedelta(minutes=1):g} minutes apart, but this bundle forecasts in steps "
            f"of {minutes:g} minutes. Average the values onto that grid, or choose another bundle."
        )


def _span(bundle: Bundle, last: datetime) -> tuple[datetime, datetime]:
    """What a forecast after the last known power looks at, and what is shown of the past."""
    task = bundle.forecaster.task
    ahead = (task.horizon + task.weather_lookahead) * task.resolution
    return min(reach(bundle, last), last - PAST) - timedelta(days=1), last + ahead + FUTURE


def _as_trained(farm: FarmData, bundle: Bundle, mapped: WeatherMapping | None, missing: list[str]) -> FarmData:
    """The farm with the weather variables of the contract in their order, those that it has not all unknown."""
    contract = bundle.manifest["contract"]
    wanted, kind = contract["variables"], contract["weather_kind"]
    if kind == "none":
        return farm
    if mapped is None or farm.weather.is_empty():
        missing.append(
            "The table has no weather for these hours; the bundle expects "
            f"{', '.join(wanted)}. The forecast stands on recent power alone."
        )
        return farm if farm.weather.is_empty() else replace(farm, weather=contracts.empty_weather())
    gone = [v for v in wanted if v not in farm.variables]
    missing += [f"The table has no {v}, or it is not clear which column holds it." for v in gone]
    weather = farm.weather
    if kind == "forecast" and mapped.kind == "reanalysis":
        last = farm.power.filter(pl.col("power_mw").is_not_null())["time"].max()
        missing.append(
            "Nothing says when the weather was known: that of hours after the last power is taken as known then, that "
            "of earlier hours as known when they came."
        )
        weather = weather.with_columns(available_at=pl.min_horizontal("valid_time", pl.lit(last, contracts.UTC)))
    if not gone and weather is farm.weather and kind == farm.weather_kind and list(farm.variables) == list(wanted):
        return farm
    weather = weather.with_columns(pl.lit(None, pl.Float64).alias(v) for v in gone)
    return replace(farm, weather=weather.select("valid_time", "available_at", *wanted), weather_kind=kind)
