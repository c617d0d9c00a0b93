"""A user's own CSV or Parquet, mapped by a small YAML, as FarmData. `windcast data init FILE` writes the
YAML.

Reading repairs what has one meaning and reports it in FarmData.repairs; anything else is refused in one
sentence with its place and remedy. Stamps become UTC and mark interval ends, power MW, weather SI.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from windcast.data import contracts
from windcast.data.farm import FarmData
from windcast.data.sources import cleaning, mapping, reading, stamps, values
from windcast.data.sources.mapping import LEAD, FarmMapping, SeriesMapping, WeatherMapping
from windcast.data.sources.names import lead_columns
from windcast.data.sources.reading import Table, counted
from windcast.errors import ConfigError, DataContractError

Numbers = Callable[[str, str], pl.Series]
# from the time of the last known power, the first and the last time that are wanted
Span = Callable[[datetime], tuple[datetime, datetime]]


def load(
    *,
    config: str | Path | None = None,
    power: str | Path | None = None,
    weather: str | Path | None = None,
) -> FarmData:
    """The farm that the YAML `config` describes; `power` and `weather` stand in for the files it names.

    Paths in the YAML are relative to its folder. Raises ConfigError, SourceError or DataContractError.
    """
    if config is None:
        raise ConfigError("source 'files' needs config. Make one with `windcast data init POWER_FILE`.")
    config = Path(config).expanduser()
    said = mapping.read(config)
    if weather is not None and said.weather is None:
        raise ConfigError(f"{config}: a weather file is given, but no weather is mapped. Add weather:.")
    power_file = config.parent / Path(said.power.file).expanduser() if power is None else Path(power).expanduser()
    weather_file = None if weather is None else Path(weather).expanduser()
    return _Loader(said, config, power_file, weather_file).farm()


def from_table(table: Table, said: FarmMapping, *, span: Span, repairs: list[str]) -> FarmData:
    """The part of the farm that `span` wants, from a table that holds all of it; every row is checked none the less.

    said.power.file, and no other file, stands for the table. Raises ConfigError or DataContractError.
    """
    place = Path(said.power.file)
    loader = _Loader(said, place, place, None, repairs, {(place, said.power.separator): table})
    return loader.farm(span)


@dataclass(frozen=True)
class _Place:
    """A table and how it is written."""

    table: Table
    time: str | None
    format: str | None
    decimal: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Loader:
    """Reads one farm's files, each once, and collects the repairs."""

    said: FarmMapping
    config: Path
    power_file: Path
    weather_file: Path | None
    repairs: list[str] = field(default_factory=list)
    tables: dict[tuple[Path, str | None], Table] = field(default_factory=dict)
    times: dict[tuple[Path, str, str, str | None], pl.Series] = field(default_factory=dict)

    def farm(self, span: Span | None = None) -> FarmData:
        said = self.said
        power, resolution = self._power(said.power)
        weather, step = contracts.empty_weather(), timedelta(0)
        wanted = None
        if span is not None:
            known = power.filter(pl.col("power_mw").is_not_null())["time"]
            wanted = span(known.max())  # type: ignore[arg-type]
            power = cleaning.between(power, "time", *wanted)
        if said.weather is not None:
            weather, step = self._weather(said.weather, resolution, wanted)
        return FarmData(
            name=said.name,
            capacity_mw=said.capacity_mw,
            resolution=resolution,
            power=power,
            weather=weather,
            weather_kind="none" if said.weather is None else said.weather.kind,
            weather_resolution=step,
            availability=self._series(said.availability, "availability", "availability", 1.0, resolution),
            curtailment=self._series(said.curtailment, "curtailment", "curtailed_mw", said.capacity_mw, resolution),
            interval=said.interval,
            power_delay=timedelta(minutes=said.power_delay_minutes),
            repairs=tuple(dict.fromkeys(self.repairs)),
        )

    def _place(self, section: SeriesMapping | WeatherMapping, time: str | None, file: Path | None = None) -> _Place:
        """Where a section's columns stand. In the power's own file, what it leaves open the power section
        says."""
        power = self.said.power
        shared = file is None and (section.file is None or section.file == power.file)
        if file is None:
            file = self.power_file if shared else self.config.parent / Path(section.file or "").expanduser()
        separator = section.separator or (power.separator if shared else None)
        if (file, separator) not in self.tables:
            self.tables[file, separator] = reading.read(
                file, separator=separator, max_mb=self.said.max_mb, repairs=self.repairs, texts=as_written(self.said)
            )
        return _Place(
            table=self.tables[file, separator],
            time=time or (power.time if shared else None),
            format=section.format or (power.format if shared else None),
            decimal=section.decimal or (power.decimal if shared else None) or ".",
            missing=(*section.missing, *power.missing) if shared else section.missing,
        )

    def _numbers(self, place: _Place, column: str) -> pl.Series:
        found = values.numbers(place.table, column, decimal=place.decimal, missing=place.missing)
        return values.without_sentinels(place.table, column, found, self.repairs)

    def _times(self, place: _Place, column: str, zone: str | None, within: pl.Series | None = None) -> pl.Series:
        """A time column in UTC. One without `within` is read once, however many sections name it."""
        zone = zone or self.said.time_zone
        if within is not None:
            return stamps.utc(place.table, column, zone=zone, pattern=place.format, within=within)
        key = (place.table.path, column, zone, place.format)
        if key not in self.times:
            self.times[key] = stamps.utc(place.table, column, zone=zone, pattern=place.format)
        return self.times[key]

    def _measured(self, section: SeriesMapping, key: str) -> tuple[Table, pl.DataFrame]:
        """The table, and row, time (UTC, as labelled) and value, each time once."""
        place = self._place(section, section.time)
        table = place.table
        if place.time is None:
            raise ConfigError(f"{self.config}: {key}.time is not given. Name the time column of {table.path}.")
        time = table.need(place.time, f"{key}.time")
        times = self._times(place, time, None)
        numbers = self._numbers(place, table.need(section.column, f"{key}.column"))
        frame = pl.DataFrame({"row": table.rows, "time": times, "value": numbers})
        return table, cleaning.rows_once(frame, table, ["time"], self.repairs)

    def _power(self, section: SeriesMapping) -> tuple[pl.DataFrame, timedelta]:
        table, frame = self._measured(section, "power")
        resolution = cleaning.resolution_of(frame["time"], self.said.resolution, table)
        cleaning.on_grid(frame, "time", resolution, table)
        capacity = self.said.capacity_mw
        in_mw = values.megawatts(frame["value"], section.unit, capacity)
        frame = frame.select("row", "time", in_mw.alias("power_mw"))
        frame = cleaning.within_capacity(frame, table, section.column, section.unit, capacity, self.repairs)
        return frame.select(self._interval_end(resolution), "power_mw"), resolution

    def _series(
        self, section: SeriesMapping | None, key: str, name: str, most: float, resolution: timedelta
    ) -> pl.DataFrame | None:
        """Availability or curtailment, in [0, most]."""
        if section is None:
            return None
        table, frame = self._measured(section, key)
        cleaning.on_grid(frame, "time", resolution, table)
        scaled = values.megawatts(frame["value"], section.unit, most)
        bad = ~scaled.is_between(0.0, most).fill_null(True)
        if bad.any():
            first = frame.filter(bad).row(0, named=True)
            raise DataContractError(
                f"{table.path}: {key} column '{section.column}' has {counted(int(bad.sum()), 'value')} "
                "outside [0, "
                f"{most:g}] "
                f"when read as {section.unit}, the first {first['value']:g} in row {first['row']}. "
                "Correct the values or their unit."
            )
        return frame.with_columns(scaled.alias(name)).select(self._interval_end(resolution), name)

    def _interval_end(self, resolution: timedelta) -> pl.Expr:
        return pl.col("time") + (resolution if self.said.interval == "start" else timedelta(0))

    def _weather(
        self, section: WeatherMapping, resolution: timedelta, wanted: tuple[datetime, datetime] | None
    ) -> tuple[pl.DataFrame, timedelta]:
        """The weather, of all or of the wanted times, and its step if that can be seen in all of it only, else 0."""
        place = self._place(section, section.valid_time, self.weather_file)
        table, valid_time = place.table, place.time
        if valid_time is None:
            raise ConfigError(f"{self.config}: weather.valid_time is not given. Name the time column of {table.path}.")

        def numbers(column: str, name: str) -> pl.Series:
            found = self._numbers(place, column)
            return values.weather_si(table, column, found, name, section.variables[name].unit)

        def times(column: str, key: str, within: pl.Series | None = None) -> pl.Series:
            return self._times(place, table.need(column, f"weather.{key}"), section.time_zone, within)

        if any(v.pattern for v in section.variables.values()):
            valid = times(valid_time, "valid_time")
            return self._by_lead(section, table, valid, numbers, resolution, wanted)
        elif section.issue_time is not None:
            issued = times(section.issue_time, "issue_time")
            valid = times(valid_time, "valid_time", issued)
            frame = self._by_issue(section, table, issued, valid, numbers)
        elif section.kind == "reanalysis":
            frame = self._plain(section, table, {"valid_time": times(valid_time, "valid_time")}, numbers)
            frame = frame.with_columns(pl.lit(None, contracts.UTC).alias("available_at"))
        else:
            raise ConfigError(
                f"{self.config}: weather: nothing says when a value was known. Give issue_time, or patterns "
                "with "
                f"{LEAD}; or say kind: reanalysis for measured or reanalysed weather, which is then treated "
                "as known "
                "in advance and marked so in every score."
            )
        cleaning.even(frame, "valid_time", resolution, table)
        return _of_interest(frame.select("valid_time", "available_at", *section.variables), wanted)

    def _plain(
        self, section: WeatherMapping, table: Table, keys: dict[str, pl.Series], numbers: Numbers
    ) -> pl.DataFrame:
        columns = {
            name: numbers(table.need(v.column or "", f"weather.variables.{name}"), name)
            for name, v in section.variables.items()
        }
        frame = pl.DataFrame({"row": table.rows, **keys, **columns})
        return cleaning.rows_once(frame, table, list(keys), self.repairs)

    def _by_issue(
        self, section: WeatherMapping, table: Table, issued: pl.Series, valid: pl.Series, numbers: Numbers
    ) -> pl.DataFrame:
        late = int((issued > valid).sum())
        if late > len(valid) / 2:
            raise DataContractError(
                f"{table.path}: {late} of {len(valid)} rows have their issue_time after their valid_time. "
                "Exchange the two columns in the mapping."
            )
        available = issued + timedelta(minutes=section.delay_minutes)
        return self._plain(section, table, {"valid_time": valid, "available_at": available}, numbers)

    def _by_lead(
        self,
        section: WeatherMapping,
        table: Table,
        valid: pl.Series,
        numbers: Numbers,
        resolution: timedelta,
        wanted: tuple[datetime, datetime] | None,
    ) -> tuple[pl.DataFrame, timedelta]:
        """A column per lead time made rows: the value of lead k became available k units before its valid
        time.
        """
        columns = {name: _lead_columns(table, name, v.pattern or "") for name, v in section.variables.items()}
        wide = {(name, k): numbers(c, name) for name, by_lead in columns.items() for k, c in by_lead.items()}
        named = {f"{name} of lead {k}": series for (name, k), series in wide.items()}
        frame = pl.DataFrame({"row": table.rows, "valid_time": valid, **named})
        frame = cleaning.rows_once(frame, table, ["valid_time"], self.repairs)
        cleaning.even(frame, "valid_time", resolution, table)
        frame, step = _of_interest(frame, wanted)
        unit = {"hours": timedelta(hours=1), "minutes": timedelta(minutes=1), "steps": resolution}[section.lead_unit]
        empty = pl.lit(None, pl.Float64)
        by_lead = [
            frame.select(
                "valid_time",
                (pl.col("valid_time") - lead * unit).alias("available_at"),
                *(
                    (pl.col(f"{name} of lead {lead}") if lead in columns[name] else empty).alias(name)
                    for name in columns
                ),
            )
            for lead in sorted({lead for by_lead in columns.values() for lead in by_lead})
        ]
        return pl.concat(by_lead), step


def _of_interest(frame: pl.DataFrame, wanted: tuple[datetime, datetime] | None) -> tuple[pl.DataFrame, timedelta]:
    """The rows of the wanted times, and the step of all rows that hold a value; all rows and 0 if all are wanted."""
    if wanted is None:
        return frame, timedelta(0)
    values = frame.drop("row", "valid_time", "available_at", strict=False)
    # nearly always, the variable that is known most often shows the step of all rows, and none can be smaller
    fullest = min(values.iter_columns(), key=pl.Series.null_count)
    step = cleaning.smallest_step(frame["valid_time"].filter(fullest.is_not_null()))
    if step is None or step != cleaning.smallest_step(frame["valid_time"]):
        known = values.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        step = cleaning.smallest_step(frame["valid_time"].filter(known))
    return cleaning.between(frame, "valid_time", *wanted), step or timedelta(0)


def as_written(said: FarmMapping) -> set[str] | None:
    """The columns to read as they are written; None for all, where numbers are written otherwise than usual."""
    sections = [s for s in (said.power, said.weather, said.availability, said.curtailment) if s is not None]
    if any(s.decimal == "," or s.missing for s in sections):
        return None
    times = {s.valid_time if isinstance(s, WeatherMapping) else s.time for s in sections}
    return {time for time in (*times, said.weather and said.weather.issue_time) if time}


def _lead_columns(table: Table, name: str, pattern: str) -> dict[int, str]:
    """Lead -> column. Raises ConfigError if the pattern fits no column, or two columns of one lead."""
    fits = lead_columns(pattern, table.frame.columns)
    key = f"{table.path}: weather.variables.{name}: pattern '{pattern}'"
    if not fits:
        raise ConfigError(f"{key} fits no column. The columns are {', '.join(table.frame.columns)}.")
    if len({lead for lead, _ in fits}) < len(fits):
        raise ConfigError(f"{key} fits two columns of one lead time: {', '.join(c for _, c in fits)}. Rename one.")
    return dict(fits)
