"""A first mapping for files nobody has described: every guess with a sentence that says what it saw."""

import re
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from math import ceil, floor, log10
from pathlib import Path
from textwrap import fill
from typing import Any

import polars as pl

from windcast.data.sources import cleaning, names, stamps, values, zones
from windcast.data.sources.mapping import (
    LEAD,
    MAX_MB,
    FarmMapping,
    PowerMapping,
    SeriesMapping,
    VariableMapping,
    WeatherMapping,
    to_yaml,
)
from windcast.data.sources.sheets import Sheet
from windcast.errors import ConfigError, SourceError


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A guessed mapping, the sentences to print, and the YAML file it was written to."""

    mapping: FarmMapping
    sentences: tuple[str, ...]
    path: Path


def init(
    power_file: str | Path,
    weather_file: str | Path | None = None,
    out: str | Path = Path("farm.yaml"),
    *,
    max_mb: float = MAX_MB,
) -> Guess:
    """Writes the guessed mapping of the files to `out`, the sentences as comments above it.

    Raises ConfigError if `out` exists, SourceError if no time or power can be found.
    """
    out = Path(out).expanduser()
    if out.exists():
        raise ConfigError(f"{out}: exists. Remove it first, or write to another file.")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: the folder {out.parent} does not exist. Make it first.")
    mapping, sentences = guess(power_file, weather=weather_file, folder=out.parent, max_mb=max_mb)
    comments = "\n".join(fill(s, 100, initial_indent="# - ", subsequent_indent="#   ") for s in sentences)
    head = "# Guessed by `windcast data init`. Confirm or correct each line; this is what was seen:\n"
    part = out.with_name(f".{out.name}.part")
    part.write_text(f"{head}{comments}\n{to_yaml(mapping)}", encoding="utf-8")
    part.replace(out)
    return Guess(mapping=mapping, sentences=tuple(sentences), path=out)


def guess(
    path: str | Path,
    *,
    weather: str | Path | None = None,
    folder: Path = Path(),
    max_mb: float = MAX_MB,
) -> tuple[FarmMapping, list[str]]:
    """A mapping of a power file, and of a weather file if there is one, with a sentence for each guess.

    File names in the mapping are relative to `folder`. Raises SourceError if no time or power column can be
    found.
    """
    said: list[str] = []
    sheet = Sheet.read(Path(path).expanduser(), folder, max_mb, said)
    time = sheet.measured_time()
    step = resolution_of(sheet, time, said)
    zone = zone_of(sheet, time, step, said)
    power, top_mw = _power(sheet, time, said)
    mapping = FarmMapping(
        name=Path(path).stem,
        capacity_mw=_capacity(top_mw, said),
        resolution=None if step is None else step / timedelta(minutes=1),
        interval=_interval(time, said),
        time_zone=zone,
        power=power,
        availability=_availability(sheet, said),
    )
    other = None if weather is None else Sheet.read(Path(weather).expanduser(), folder, max_mb, said)
    found = (
        weather_of(sheet, time, said, own_file=False) if other is None else weather_of(other, None, said, own_file=True)
    )
    mapping = replace(mapping, weather=found)
    if other is not None:
        said.append(f"{other.file}: if its stamps are not in {zone}, give weather a time_zone of its own, such as UTC.")
    _say_what_is_left(sheet if other is None else other, mapping, said)
    return mapping, said


def _say_what_is_left(sheet: Sheet, mapping: FarmMapping, said: list[str]) -> None:
    """Columns that nothing was made of, and weather without wind, are said aloud: they are what a user must add."""
    used = [re.escape(word).replace(r"\{lead\}", r"\d+") for word in _words(asdict(mapping))]
    left = [c for c in sheet.table.frame.columns if not any(re.fullmatch(word, c) for word in used)]
    if left:
        said.append(f"{sheet.file}: not used: {', '.join(left)}. Add those that are weather under weather.variables.")
    if mapping.weather is not None and not any(v.startswith("wind_") for v in mapping.weather.variables):
        said.append("No wind was recognised, and wind power cannot be forecast without it: add wind_speed by hand.")


def _words(node: Any) -> list[str]:
    """Every text in a nest of dictionaries and lists."""
    if isinstance(node, dict):
        return [word for value in node.values() for word in _words(value)]
    if isinstance(node, list | tuple):
        return [word for value in node for word in _words(value)]
    return [node] if isinstance(node, str) else []


def resolution_of(sheet: Sheet, time: str, said: list[str]) -> timedelta | None:
    wall = stamps.wall_clock(sheet.table, time)
    times = stamps.utc(sheet.table, time, zone="UTC", pattern=None) if wall is None else wall
    step = cleaning.common_step(times)
    if step is None or timedelta(days=1) % step:
        said.append(f"{sheet.file}: the resolution cannot be seen; set resolution: in minutes.")
        return None
    said.append(f"{sheet.file}: most rows are {step / timedelta(minutes=1):g} minutes apart: the resolution.")
    return step


def zone_of(sheet: Sheet, time: str, step: timedelta | None, said: list[str]) -> str:
    wall = stamps.wall_clock(sheet.table, time)
    if wall is None:
        said.append(f"{sheet.file}: stamps carry their offset from UTC, so no time zone is needed.")
        return "UTC"
    if "utc" in time.lower() or "gmt" in time.lower():
        said.append(f"{sheet.file}: time_zone is UTC, as the name of column '{time}' says.")
        return "UTC"
    traces = None if step is None else zones.local_zone(wall, step)
    if traces is None:
        said.append(
            f"{sheet.file}: stamps carry no offset and follow no daylight saving that is known, so time_zone "
            "is "
            "guessed as UTC. Confirm; if it is standard time all year, write for example Etc/GMT-1 for UTC+1."
        )
        return "UTC"
    said.append(
        f"{sheet.file}: stamps carry no offset, skip the hour of the clock change in {traces.springs} "
        "springs and "
        f"repeat it in {traces.autumns} autumns, as in {zones.CANDIDATES[traces.zone]}. Confirm that "
        "time_zone is "
        f"{traces.zone}."
    )
    return traces.zone


def _interval(time: str, said: list[str]) -> Any:
    text = names.plain(time)
    if any(word in text for word in ("start", "begin", "from")):
        said.append(f"A stamp is taken as the start of its interval, as the name '{time}' says.")
        return "start"
    said.append("A stamp is taken as the end of its interval. If it is the start, set interval: start.")
    return "end"


def power_columns(sheet: Sheet) -> list[str]:
    """The columns that could be the power, the likeliest first. Raises SourceError if none could."""
    named = [c for c in sheet.numbers if names.is_power(c)]
    others = [c for c in sheet.numbers if names.quantity_named(c) is None]
    if not named and len(others) != 1:
        raise SourceError(
            f"{sheet.table.path}: no column looks like power. The columns are "
            f"{', '.join(sheet.table.frame.columns)}. "
            "Name one 'power', or write the mapping by hand."
        )
    return named or others


def _power(sheet: Sheet, time: str, said: list[str]) -> tuple[PowerMapping, float | None]:
    """The power column, and its largest value in MW if the unit tells."""
    column, *others = power_columns(sheet)
    series = sheet.numbers[column]
    unit, why = names.power_unit(column, series)
    rest = f" ({', '.join(others)} could be it as well)" if others else ""
    said.append(f"{sheet.file}: power is column '{column}'{rest}, in {unit}, because {why}.")
    top = None if unit in ("fraction", "percent") else float(values.megawatts(series, unit, 1.0).max())  # type: ignore[arg-type]
    return PowerMapping(file=sheet.file, time=time, column=column, unit=unit, **sheet.layout(time, said)), top


def _capacity(top_mw: float | None, said: list[str]) -> float:
    """The largest power rounded up to two digits; 1 MW where power is relative."""
    if top_mw is None or top_mw <= 0:
        said.append("capacity_mw is set to 1 because power is relative to it. Write the installed capacity.")
        return 1.0
    digits = 1 - floor(log10(top_mw))
    capacity = round(ceil(round(top_mw * 10.0**digits, 6)) / 10.0**digits, max(digits, 0))
    said.append(
        f"capacity_mw is {capacity:g}: the largest power is {top_mw:.6g} MW, rounded up. It is a guess; "
        "write the "
        "installed capacity."
    )
    return capacity


def _availability(sheet: Sheet, said: list[str]) -> SeriesMapping | None:
    for column, series in sheet.numbers.items():
        top = float(series.max())  # type: ignore[arg-type]
        if "avail" not in column.lower() or not (top <= 1 or 50 < top <= 100):
            continue
        said.append(f"{sheet.file}: availability is column '{column}', because of its name and values up to {top:g}.")
        return SeriesMapping(column=column, unit="fraction" if top <= 1 else "percent")
    return None


def weather_of(sheet: Sheet, time: str | None, said: list[str], *, own_file: bool) -> WeatherMapping | None:
    families = {p: leads for p, leads in names.lead_families(list(sheet.numbers)).items() if names.quantity_named(p)}
    issue = None if families or len(sheet.times) < 2 else _issue_time(sheet)
    columns = families or {c: [] for c in sheet.numbers if names.quantity_named(c)}
    if not columns:
        said.append(f"{sheet.file}: no column looks like weather.")
        return None
    if not (families or issue or own_file):
        said.append(
            f"{sheet.file}: {', '.join(columns)} look like weather, but nothing says when they were known: "
            "left out. If "
            "they are measured or reanalysed, they can be mapped with kind: reanalysis."
        )
        return None
    variables = variables_of(sheet, columns, said)
    valid = time if time is not None and time != issue else next(c for c in sheet.times if c != issue)
    if issue:
        said.append(
            f"{sheet.file}: '{issue}' is when a forecast was issued, '{valid}' what it is for. delay_minutes "
            "is 0, as "
            "if it could be used at once; weather services take hours: write how long until you have it."
        )
    elif families:
        said.append(
            f"{sheet.file}: a number k in the place of {LEAD} means: known k hours before the row's time. "
            "If it counts something else, set lead_unit or remove the weather."
        )
    else:
        said.append(
            f"{sheet.file}: nothing says when the weather was known. Add issue_time, or kind: reanalysis if "
            "it is "
            "measured or reanalysed; it cannot be loaded before."
        )
    own = {"file": sheet.file, "valid_time": valid, **sheet.layout(valid, said)} if own_file else {}
    if not own_file and issue:
        own = {"valid_time": valid}
    return WeatherMapping(variables=variables, issue_time=issue, **own)


def _issue_time(sheet: Sheet) -> str:
    """Of two time columns the issue time: by its name, else the one with fewer different times."""
    named = [c for c in sheet.times if names.is_issue_time(c)]
    return named[0] if named else min(sheet.times, key=lambda c: sheet.table.frame[c].n_unique())


def variables_of(sheet: Sheet, columns: dict[str, list[int]], said: list[str]) -> dict[str, VariableMapping]:
    found: dict[str, VariableMapping] = {}
    for name, leads in columns.items():
        quantity = names.quantity_named(name) or ""
        variable = names.variable_named(name, quantity)
        if variable in found:
            said.append(f"{sheet.file}: '{name}' looks like {variable} as well; left out.")
            continue
        sample = [c for _, c in names.lead_columns(name, list(sheet.numbers))] if leads else [name]
        unit, why = names.weather_unit(name, quantity, pl.concat(sheet.numbers[c] for c in sample))
        found[variable] = VariableMapping(pattern=name, unit=unit) if leads else VariableMapping(column=name, unit=unit)
        of = f" for leads {leads[0]} to {leads[-1]}" if leads else ""
        said.append(f"{sheet.file}: {variable} is '{name}'{of}, in {unit}, because {why}.")
    return found
