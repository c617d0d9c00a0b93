"""Which column of a stranger's table is which variable of a bundle: by name, else by quantity and height."""

import re
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from windcast.data.sources import guess, names, stamps, values
from windcast.data.sources.mapping import LEAD, FarmMapping, PowerMapping, PowerUnit, VariableMapping, WeatherMapping
from windcast.data.sources.reading import Table
from windcast.data.sources.sheets import Sheet
from windcast.errors import SourceError
from windcast.serving.problems import Unprocessable

MANY = 1000  # rows in which a farm comes near its capacity
OVERSHOOT = 1.01
_HEIGHT = re.compile(r"_(\d+)m(?:_|$)")

Contract = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a table's columns mean. weather: variables under the contract's names, None where there is none."""

    time_zone: str
    power: PowerMapping
    weather: WeatherMapping | None


def mapped(own: FarmMapping, table: Table, contract: Contract) -> Found | None:
    """By the description that the bundle was trained with; None where the table is not laid out like that."""
    header = table.frame.columns
    if own.power.time not in header or own.power.column not in header:
        return None
    power = replace(own.power, file=str(table.path), separator=table.separator)
    said, weather = own.weather, None
    if said is not None and contract["weather_kind"] != "none":
        here = {
            name: v
            for name, v in said.variables.items()
            if name in contract["variables"]
            and (v.column in header if v.pattern is None else names.lead_columns(v.pattern, header))
        }
        valid = said.valid_time if said.valid_time in header else own.power.time
        if here and said.issue_time in (None, *header):
            weather = replace(said, file=None, valid_time=valid, separator=None, variables=here)
        elif any(names.quantity_named(column) for column in header):
            return None  # other weather than was described: perhaps its names tell
    return Found(own.time_zone, power, weather)


def check_broken_times(table: Table) -> None:
    """Raises DataContractError naming the row where a column of times has one that cannot be read."""
    for column in table.frame.iter_columns():
        if column.dtype == pl.String and stamps.writing_of(column.drop_nulls().head(1)):
            stamps.utc(table, column.name, zone="UTC")


def check_refused(sheet: Sheet) -> None:
    """Raises DataContractError for a column of power or weather in which a few texts stand among numbers, and for the
    only column of power if it holds no numbers.
    """
    only_power = not any(names.is_power(column) for column in sheet.numbers)
    for column, error in sheet.refused.items():
        raw = sheet.table.frame[column]
        among = raw.dtype == pl.String and raw.cast(pl.Float64, strict=False).count() > raw.count() / 2
        if (names.is_power(column) and (only_power or among)) or (among and names.quantity_named(column)):
            raise error


def power_of(sheet: Sheet, time: str, contract: Contract, said: list[str]) -> PowerMapping:
    """The power column, in the unit that the bundle's capacity suggests. Raises Unprocessable if there is none."""
    try:
        column = guess.power_columns(sheet)[0]
    except SourceError:
        frame = sheet.table.frame
        for empty in (c for c in frame.columns if names.is_power(c) and c not in sheet.times):
            raise Unprocessable(
                f"{sheet.table.path}: column '{empty}' has no value in any of {frame.height} rows, and a forecast "
                "begins after the last known power. Fill it in."
            ) from None
        raise Unprocessable(
            f"{sheet.table.path}: no column looks like power. The columns are {', '.join(frame.columns)[:300]}. "
            "Name one 'power'."
        ) from None
    unit, why = power_unit(column, sheet.numbers[column], contract["capacity_mw"])
    said.append(f"{sheet.file}: power is column '{column}', in {unit}, because {why}.")
    return PowerMapping(file=sheet.file, time=time, column=column, unit=unit, **sheet.layout(time, said))


def power_unit(column: str, power: pl.Series, capacity_mw: float) -> tuple[PowerUnit, str]:
    """A unit in which the values suit the capacity, and what suggests it.

    A long record comes near the capacity; a short one need not, and is in MW unless it would be far above it.
    """
    unit, why = names.power_unit(column, power)
    if "name" in why:
        return unit, why
    top = names.largest(power)
    share: dict[PowerUnit, float] = {
        "MW": top / capacity_mw,
        "kW": top / 1e3 / capacity_mw,
        "W": top / 1e6 / capacity_mw,
        "fraction": top,
        "percent": top / 100,
    }
    why = f"its largest value is {top:g} and the capacity {capacity_mw:g} MW"
    if len(power) - power.null_count() >= MANY and not 0.3 <= share["MW"] <= OVERSHOOT:
        nearest = max((u for u in share if share[u] <= OVERSHOOT), key=lambda u: share[u])
        if share[nearest] >= 0.3:
            return nearest, why
    if share["MW"] <= 3:
        return "MW", why
    return ("kW" if share["kW"] <= 3 else "W"), why


def weather_of(sheet: Sheet, time: str, contract: Contract, said: list[str]) -> WeatherMapping | None:
    """The weather that the bundle knows, under its names; None where the table has none of it.

    Plain columns, of which nothing says when they were known, come as kind: reanalysis.
    """
    wanted, kind = list(contract["variables"]), contract["weather_kind"]
    if kind == "none" or not wanted:
        return None
    others = [c for c in sheet.numbers if not names.is_power(c)]
    families = names.lead_families(others)
    in_family = {c for pattern in families for _, c in names.lead_columns(pattern, others)}
    by_lead = _matched(sheet, dict(families), wanted, said)
    plain = _matched(sheet, {c: [] for c in others if c not in in_family or c in wanted}, wanted, said)
    if by_lead and (kind == "forecast" or len(plain) < len(by_lead)):
        return WeatherMapping(variables=by_lead)
    if not plain:
        return None
    issue = next((c for c in sheet.times if c != time and names.is_issue_time(c)), None)
    if issue is not None:
        return WeatherMapping(variables=plain, issue_time=issue)
    return WeatherMapping(variables=plain, kind="reanalysis")


def _matched(
    sheet: Sheet, columns: dict[str, list[int]], wanted: list[str], said: list[str]
) -> dict[str, VariableMapping]:
    """The wanted variables that these columns or patterns hold."""
    exact = {v: c for c in columns for v in wanted if names.plain(c.replace(LEAD, "")).strip("_") == names.plain(v)}
    rest = {c: leads for c, leads in columns.items() if c not in exact.values() and names.quantity_named(c)}
    guessed = guess.variables_of(sheet, rest, [])
    found = {v: _variable(sheet, c, columns[c], v) for v, c in exact.items()}
    open_ones = [v for v in wanted if v not in exact]
    for v in open_ones:
        fits = [g for g in guessed if _alike(v, g)]
        rivals = [w for w in open_ones if any(_alike(w, g) for g in fits)]
        if v in guessed:
            found[v] = guessed[v]
        elif len(fits) == 1 and rivals == [v]:
            found[v] = guessed[fits[0]]
    said += [
        f"{sheet.file}: {v} is '{m.pattern or m.column}', in {m.unit or 'its own unit'}." for v, m in found.items()
    ]
    return {v: found[v] for v in wanted if v in found}


def _alike(one: str, other: str) -> bool:
    """Whether two variables can be the same: of one quantity, and not of two heights."""
    heights = {h[1] for name in (one, other) if (h := _HEIGHT.search(name))}
    return values.quantity_of(one) == values.quantity_of(other) and len(heights) < 2


def _variable(sheet: Sheet, column: str, leads: list[int], variable: str) -> VariableMapping:
    quantity = values.quantity_of(variable)
    unit = None
    if quantity is not None:
        sample = [c for _, c in names.lead_columns(column, list(sheet.numbers))] if leads else [column]
        unit = names.weather_unit(column, quantity, pl.concat(sheet.numbers[c] for c in sample))[0]
    return VariableMapping(pattern=column, unit=unit) if leads else VariableMapping(column=column, unit=unit)
