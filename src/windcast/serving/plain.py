"""Questions in JSON that are plainly in order, read all together: one pass of arrays, however many farms they are of.

Plain: values by column, times in UTC as 2015-07-01T06:00:00Z, ascending and on the grid, numbers in range. For whatever
is not, there is no answer here; `asking` then reads each question by itself, and mends or refuses it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windcast.data.contracts import microseconds, range_of
from windcast.data.records import Micros, Records, Versions
from windcast.data.task import ForecastTask
from windcast.data.windows import ALWAYS, Windows, windows_of
from windcast.serving.bodies import usual_times
from windcast.serving.shelf import Served

Table = dict[str, Any]
Numbers = NDArray[np.float64]
Issues = Sequence[str] | None


def windows(
    served: Served, power: Sequence[Table | None], weather: Sequence[Table], times: Sequence[Issues]
) -> tuple[Windows, Micros] | None:
    """The windows of one bundle's questions, one question after the other, and how many issue times each has [Q].

    times: None for the last at which power is known. None unless every one is plain.
    """
    task, grid = served.bundle.forecaster.task, served.weather_grid[0]
    begins = served.bundle.manifest.get("interval") == "start"
    versions = _power(power, task, begins)
    forecasts = _weather(weather, served)
    if versions is None or forecasts is None:
        return None
    chosen = _issue_times(versions, times, task)
    if chosen is None:
        return None
    issues, counts = chosen
    records = Records(
        power=versions,
        weather=forecasts,
        variables=served.bundle.forecaster.variables,
        weather_kind=served.bundle.manifest["contract"]["weather_kind"],
        capacity_mw=task.capacity_mw,
        resolution=task.resolution,
        weather_resolution=grid,
    )
    return windows_of(records, task, issues, np.repeat(np.arange(len(counts)), counts)).without_target(), counts


def _power(tables: Sequence[Table | None], task: ForecastTask, begins: bool) -> Versions | None:
    stacked = _stacked(tables, ("time", "power_mw"))
    if stacked is None:
        return None
    columns, rows = stacked
    times, power = usual_times(columns["time"]), _numbers(columns["power_mw"])
    if times is None or power is None:
        return None
    ends = times.view(np.int64) + begins * microseconds(task.resolution)
    fine = (
        _ascending(rows, ends)
        and not (ends % microseconds(task.resolution)).any()
        and not ((power < 0) | (power > task.capacity_mw)).any()
    )
    return Versions(ends, ends, power.astype(np.float32), rows) if fine else None


def _weather(tables: Sequence[Table], served: Served) -> Versions | None:
    variables, grid = served.bundle.forecaster.variables, microseconds(served.weather_grid[0])
    stacked = _stacked(tables, ("valid_time", "available_at", *variables))
    if stacked is None or not grid or not variables:
        return None
    columns, rows = stacked
    reanalysis = served.bundle.manifest["contract"]["weather_kind"] == "reanalysis"
    times = usual_times(columns["valid_time"])
    known = np.full(rows[-1], ALWAYS).view("datetime64[us]") if reanalysis else usual_times(columns["available_at"])
    if times is None or known is None:
        return None
    values, nothing = np.empty((len(times), len(variables)), np.float32), np.ones(len(times), bool)
    for place, variable in enumerate(variables):
        column = _numbers(columns[variable])
        if column is None:
            return None
        _, lowest, highest = range_of(variable) or ("", -np.finfo(np.float64).max, np.finfo(np.float64).max)
        if ((column < lowest) | (column > highest)).any():
            return None
        nothing &= np.isnan(column)
        values[:, place] = column
    stamps, since = times.view(np.int64), known.view(np.int64)
    off = ((stamps - np.repeat(stamps[rows[:-1]], np.diff(rows))) % grid).any()
    if nothing.any() or off or not _ascending(rows, stamps, since):
        return None
    return Versions(stamps, since, values, rows)


def _issue_times(power: Versions, times: Sequence[Issues], task: ForecastTask) -> tuple[Micros, Micros] | None:
    """[B], question after question, and the number of each one [Q]."""
    counts = np.array([1 if given is None else len(given) for given in times])
    if not counts.all():
        return None
    said = usual_times([text for given in times if given is not None for text in given])
    if said is None:
        return None
    issues = np.empty(counts.sum(), np.int64)
    default = np.repeat([given is None for given in times], counts)
    issues[~default] = said.view(np.int64)
    if default.any():
        wanting = np.flatnonzero([given is None for given in times])
        filled = np.flatnonzero(np.isfinite(power.values))
        newest = np.searchsorted(filled, power.rows[wanting + 1]) - 1
        if (newest < np.searchsorted(filled, power.rows[wanting])).any():
            return None
        issues[default] = power.times[filled[newest]]
    if (issues % microseconds(task.resolution)).any():
        return None
    which = np.repeat(np.arange(len(counts)), counts)
    return issues[np.lexsort((issues, which))], counts


def _stacked(tables: Sequence[Table | None], names: tuple[str, ...]) -> tuple[dict[str, list[Any]], Micros] | None:
    """The columns of all tables, one table after the other, and its rows: table t has rows[t] to rows[t + 1].

    One value stands for all rows, and None for a column that is not there; the first is always a list, and not empty.
    """
    stacked: dict[str, list[Any]] = {name: [] for name in names}
    heights = [0]
    for table in tables:
        if table is None:
            heights.append(0)
            continue
        first = table.get(names[0])
        if not isinstance(first, list) or not first or not table.keys() <= stacked.keys():
            return None
        for name, column in stacked.items():
            values = table.get(name)
            if not isinstance(values, list):
                values = [values] * len(first)
            if len(values) != len(first):
                return None
            column += values
        heights.append(len(first))
    return stacked, np.cumsum(heights)


def _numbers(values: list[Any]) -> Numbers | None:
    if not set(map(type, values)) <= {int, float, type(None)}:
        return None
    try:
        return np.array(values, np.float64)  # None becomes NaN
    except OverflowError:
        return None


def _ascending(rows: Micros, *keys: Micros) -> bool:
    """Whether, within each table, every row comes after the one before it, by the first key and then the next."""
    later = np.zeros(max(len(keys[0]) - 1, 0), bool)
    for key in reversed(keys):
        later = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & later)
    first = rows[(rows > 0) & (rows < len(keys[0]))]
    later[first - 1] = True  # of another table than the row before it
    return bool(later.all())
