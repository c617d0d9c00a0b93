"""Forecasts without a store: history and weather come with the question, for one or many farms and issue times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from windcast.data.farm import FarmData, Times
from windcast.data.windows import Windows, build_windows
from windcast.errors import WindcastError
from windcast.models.forecast import Forecast
from windcast.registry.production import fitting, floor
from windcast.serving import bodies, plain
from windcast.serving.bodies import Columns
from windcast.serving.documents import ON_TRAINING, REANALYSIS, Issued, inputs_of, shown, written
from windcast.serving.problems import Unprocessable
from windcast.serving.shelf import Served, Shelf

MOST_ISSUE_TIMES = 1000  # in one question
MOST_FARMS = 2000
KEYS = ("bundle", "farm", "issue_times", "power", "weather")
NO_POWER = pl.DataFrame(schema={"time": bodies.UTC_TIME, "power_mw": pl.Float64})
POWER, WEATHER = ("time", "power_mw", "available_at"), ("valid_time", "available_at")


@dataclass(frozen=True, eq=False)
class Question:
    """One farm's, as it came. where: its place in the request.

    power, weather: columns by name, not yet looked at where they are a JSON value. issue_times: None means the last at
    which power is known.
    """

    served: Served
    name: str
    where: str
    power: Any
    weather: Any
    issue_times: Sequence[str] | Times | None

    def __len__(self) -> int:
        return 1 if self.issue_times is None else len(self.issue_times)

    @classmethod
    def windows(cls, asked: "Sequence[Question]") -> list[Windows | WindcastError]:
        """What was known, for questions of one bundle; in the place of a question that is refused, why."""
        together = _together(asked)
        if together is not None:
            return together
        half = len(asked) // 2  # to keep those together that are plain
        return [*cls.windows(asked[:half]), *cls.windows(asked[half:])] if half else [_alone(asked[0])]


def from_json(document: dict[str, Any], shelf: Shelf) -> Iterator[Question]:
    """Questions of {"forecasts": [{"farm", "bundle", "issue_times", "power": columns, "weather": columns}]}, lazily.

    Raises Unprocessable naming the question and column.
    """
    asked = document.get("forecasts")
    if not isinstance(asked, list) or not asked:
        raise Unprocessable('"forecasts" must be a list with at least one {"power": …, "weather": …}.')
    if len(asked) > MOST_FARMS:
        raise Unprocessable(f"{len(asked):,} forecasts in one call; at most {MOST_FARMS:,}. Ask in parts.")
    return (_one(one, f"forecasts[{place}]", shelf) for place, one in enumerate(asked))


def _one(asked: Any, where: str, shelf: Shelf) -> Question:
    if not isinstance(asked, dict):
        raise Unprocessable(f'{where} must be an object with "power" and "weather".')
    for key in asked:
        if key not in KEYS:
            raise Unprocessable(f"{where}: unknown key '{key[:40]}'. Known: {', '.join(KEYS)}.")
    for key in ("bundle", "farm"):
        if not isinstance(asked.get(key), str | None):
            raise Unprocessable(f"{where}.{key} must be a text.")
    served = shelf.only(asked.get("bundle"))
    issues = asked.get("issue_times")
    if issues is not None and not (isinstance(issues, list) and all(isinstance(text, str) for text in issues)):
        raise Unprocessable(f"{where}.issue_times must be a list of times.")
    if issues is not None and not 0 < len(issues) <= MOST_ISSUE_TIMES:
        raise Unprocessable(f"{where}: {len(issues)} issue times; give 1 to {MOST_ISSUE_TIMES}.")
    name = str(asked.get("farm") or served.farm)[:100]
    return Question(served, name, where, asked.get("power"), asked.get("weather"), issues)


def from_table(
    frame: pl.DataFrame, shelf: Shelf, *, bundle: str | None, issue_times: Sequence[str]
) -> Iterator[Question]:
    """Questions of one table: columns time, power_mw, the weather's variables with available_at, farm.

    A row with power is power at its time; a row with weather is weather of its time. Power counts as known at its time.
    """
    served = shelf.only(bundle)
    variables = served.bundle.forecaster.variables
    bodies.known_names(frame.columns, ("farm", "time", "power_mw", "available_at", *variables), "the table")
    if "time" not in frame.columns:
        raise bodies.absent("time", frame.columns)
    times = bodies.parsed_times(list(issue_times), "issue_time") if issue_times else None
    if "farm" not in frame.columns:
        parts = {(served.farm,): frame}
    else:
        parts = {(str(name),): part for (name,), part in frame.group_by("farm", maintain_order=True)}
    if len(parts) > MOST_FARMS:
        raise Unprocessable(f"{len(parts):,} farms in one call; at most {MOST_FARMS:,}. Ask in parts.")
    return (
        Question(served, name[:100], f"farm {name[:40]}", *_split(part, variables), times)
        for (name,), part in parts.items()
    )


def _split(frame: pl.DataFrame, variables: tuple[str, ...]) -> tuple[Columns | None, Columns | None]:
    """The rows that hold power, and those that hold weather."""
    power = None
    if "power_mw" in frame.columns:
        power = Columns.of(frame.filter(_given(frame, ["power_mw"])).select("time", "power_mw"))
    named = [name for name in variables if name in frame.columns]
    if not named:
        return power, None
    weather = frame.filter(_given(frame, named))
    kept = [name for name in ("available_at", *named) if name in frame.columns]
    return power, Columns.of(weather.select(pl.col("time").alias("valid_time"), *kept))


def _given(frame: pl.DataFrame, names: Sequence[str]) -> pl.Expr:
    texts = [name for name in names if frame[name].dtype == pl.String]
    filled = [pl.col(name).is_not_null() for name in names if name not in texts]
    return pl.any_horizontal(*filled, *(pl.col(name).fill_null("").str.strip_chars() != "" for name in texts))


def _together(asked: Sequence[Question]) -> list[Windows | WindcastError] | None:
    """In one pass; None unless all are plain."""
    if not all(isinstance(one.weather, dict) and isinstance(one.power, dict | None) for one in asked):
        return None
    found = plain.windows(
        asked[0].served,
        [one.power for one in asked],
        [one.weather for one in asked],
        [None if one.issue_times is None else list(one.issue_times) for one in asked],
    )
    if found is None:
        return None
    windows, counts = found
    return [windows.take(slice(end - count, end)) for end, count in zip(counts.cumsum(), counts, strict=True)]


def _alone(asked: Question) -> Windows | WindcastError:
    where = asked.where
    try:
        power, weather = (
            table if table is None or isinstance(table, Columns) else bodies.columns(table, f"{where}.{name}")
            for name, table in (("power", asked.power), ("weather", asked.weather))
        )
        return _windows(asked, farm_of(asked.served, asked.name, power, weather, where))
    except WindcastError as error:
        said = str(error)
        return Unprocessable(said if said.startswith(where) else f"{where}: {said}")


def _windows(asked: Question, farm: FarmData) -> Windows:
    farm, task, times = fitting(asked.served.bundle, farm), asked.served.bundle.forecaster.task, asked.issue_times
    if times is None:
        table = farm.power
        known = (table if table["power_mw"].null_count() == 0 else table.drop_nulls("power_mw"))["time"]
        if known.is_empty():
            raise Unprocessable(f"{asked.where}: no power is known, so say for which issue_times to forecast.")
        times = np.array([floor(known[-1], task.resolution).replace(tzinfo=None)], "datetime64[us]")
    elif not isinstance(times, np.ndarray):
        times = bodies.parsed_times(times, f"{asked.where}.issue_times")
    return build_windows(farm, task, times).without_target()


def farm_of(served: Served, name: str, power: Columns | None, weather: Columns | None, where: str) -> FarmData:
    """FarmData under the contract of the bundle. Raises Unprocessable or DataContractError."""
    manifest, task = served.bundle.manifest, served.bundle.forecaster.task
    kind = manifest["contract"]["weather_kind"]
    shift = task.resolution if manifest.get("interval") == "start" else timedelta(0)
    tables: dict[str, Any] = {"power": NO_POWER}
    if power is not None and power.height:
        tables["power"] = power_table(bodies.checked(power, POWER, f"{where}.power"), shift)
    if weather is not None and weather.height:
        tables["weather"] = weather_table(weather, served, where)
        tables |= {"weather_kind": kind, "weather_resolution": served.weather_grid[0]}
    return FarmData(name=name, capacity_mw=task.capacity_mw, resolution=task.resolution, **tables)


def power_table(given: Columns, shift: timedelta = timedelta(0)) -> pl.DataFrame:
    """time, power_mw and, where it is said, available_at. shift: added to time, to make it the interval's end."""
    time = bodies.times(given, "time") + np.timedelta64(shift, "us")
    found = {"time": bodies.utc(time), "power_mw": pl.Series(bodies.numbers(given, "power_mw"))}
    if "available_at" in given.names:
        known = bodies.times(given, "available_at")
        found["available_at"] = bodies.utc(np.where(np.isnat(known), time, known))
    table = pl.DataFrame(found)
    return table if np.isfinite(found["power_mw"].to_numpy()).any() else table.clear()


def weather_table(given: Columns, served: Served, where: str) -> pl.DataFrame:
    """valid_time, available_at, variables. Raises Unprocessable where nothing says when a forecast was known."""
    variables = served.bundle.forecaster.variables
    reanalysis = served.bundle.manifest["contract"]["weather_kind"] == "reanalysis"
    bodies.checked(given, (*WEATHER, *variables), f"{where}.weather")
    valid = bodies.times(given, "valid_time")
    if reanalysis:
        known = np.full(len(valid), "NaT", "datetime64[us]")
    elif "available_at" not in given.names:
        raise Unprocessable(f"{where}.weather: column 'available_at' is missing: when could the run first be used?")
    else:
        known = bodies.times(given, "available_at")
    values = {name: pl.Series(bodies.numbers(given, name)) for name in variables if name in given.names}
    absent = {name: pl.lit(None, pl.Float64).alias(name) for name in variables if name not in given.names}
    found = pl.DataFrame({"valid_time": bodies.utc(valid), "available_at": bodies.utc(known), **values})
    return found.with_columns(absent.values()).select(*WEATHER, *variables) if absent else found


def table(issued: Sequence[Issued], levels: dict[str, tuple[float, ...] | None], form: str) -> bytes:
    """All answers as one CSV or Parquet, with the farm in the first column. levels: by bundle."""
    frames = []
    for one in issued:
        frame = one.forecast.to_frame(shown(one.forecast, levels[one.served.name]), interval=one.interval)
        name = one.farm if form != "csv" else harmless(one.farm)
        frames.append(frame.insert_column(0, pl.Series("farm", [name] * frame.height)))
    joined = pl.concat(frames, how="diagonal")
    return written(joined, form)


def harmless(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def answers(asked: Question, windows: Windows, forecast: Forecast, made_at: datetime) -> list[Issued]:
    """One answer an issue time."""
    served, until = asked.served, asked.served.bundle.trained_until
    found = []
    for row, issue in enumerate(forecast.issue_times):
        notes = [REANALYSIS] if forecast.reanalysis else []
        if issue.item().replace(tzinfo=UTC) < until:
            notes.append(ON_TRAINING)
        found.append(
            Issued(
                served=served,
                farm=asked.name,
                title=asked.name,
                forecast=forecast.take(slice(row, row + 1)),
                made_at=made_at,
                inputs=inputs_of(windows, forecast, served, row),
                interval=served.bundle.manifest.get("interval", "end"),
                notes=tuple(notes),
            )
        )
    return found
