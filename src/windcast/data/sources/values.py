"""Texts to numbers in SI units and MW: markers of missing values, decimal commas, sentinels, units."""

from collections.abc import Collection
from difflib import get_close_matches
from math import isfinite

import polars as pl

from windcast.data.contracts import WEATHER_RANGES
from windcast.data.sources.numeric import MISSING
from windcast.data.sources.reading import Table, counted
from windcast.errors import DataContractError

# numbers that loggers and archives write for "no value"; none of them is weather or power
SENTINELS = (-999.0, -999.9, -999.99, -9999.0, -9999.9, -99999.0, -999999.0, 9.969209968386869e36, 1e20)
_HIGHEST_BELOW = max(s for s in SENTINELS if s < 0)
_LOWEST_ABOVE = min(s for s in SENTINELS if s > 0)

# what a value in MW is divided by
POWER_DIVISORS = {"MW": 1.0, "kW": 1e3, "W": 1e6}

# unit -> (factor, offset): value in SI = value × factor + offset
_SPEED = {"m/s": (1.0, 0.0), "km/h": (1 / 3.6, 0.0), "knots": (1852 / 3600, 0.0), "mph": (0.44704, 0.0)}
WEATHER_UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "wind_speed": _SPEED,
    "wind_direction": {"degrees": (1.0, 0.0), "radians": (57.29577951308232, 0.0)},
    "wind_u": _SPEED,
    "wind_v": _SPEED,
    "temperature": {"K": (1.0, 0.0), "C": (1.0, 273.15), "F": (5 / 9, 459.67 * 5 / 9)},
    "pressure": {"Pa": (1.0, 0.0), "hPa": (100.0, 0.0)},
}


def quantity_of(variable: str) -> str | None:
    """`wind_speed` of `wind_speed_100m`; None for a variable that the contract does not know."""
    for quantity in WEATHER_UNITS:
        if variable == quantity or variable.startswith(f"{quantity}_"):
            return quantity
    return None


def weather_name_mistaken(variable: str) -> bool:
    """Whether the name only just misses a known quantity, as `windspeed_100m` does."""
    head = [variable.removesuffix(f"_{variable.rsplit('_', 1)[-1]}"), variable]
    starts = any(variable.startswith(quantity) for quantity in WEATHER_RANGES)
    return starts or any(get_close_matches(h.lower(), WEATHER_UNITS, n=1, cutoff=0.85) for h in head)


def numbers(table: Table, column: str, *, decimal: str = ".", missing: Collection[str] = ()) -> pl.Series:
    """The column as Float64, null where a marker of MISSING or of `missing` stands.

    Raises DataContractError naming count, first text, row and remedy where a text is no finite number.
    """
    raw = table.frame[column]
    if raw.dtype.is_nested() or raw.dtype in (pl.Binary, pl.Object):
        raise DataContractError(f"{table.path}: column '{column}' holds {raw.dtype}, not numbers. Write plain numbers.")
    if raw.dtype.is_numeric() or raw.dtype == pl.Boolean or raw.dtype == pl.Null:
        found = raw.cast(pl.Float64)
        if isfinite(found.sum() or 0.0):  # neither NaN nor infinite
            return found
        found = found.fill_nan(None)
        texts = found.cast(pl.String)
    elif raw.dtype == pl.String and decimal == "." and (plain := _plainly(raw, missing)) is not None:
        return plain.alias(column)
    else:
        texts = raw.cast(pl.String).str.strip_chars()
        marked = texts.str.to_lowercase().is_in([*MISSING, *(m.lower() for m in missing)])
        texts = texts.set(marked.fill_null(True), None)
        found = _plain(texts, decimal).cast(pl.Float64, strict=False)
    bad = texts.is_not_null() & ~found.is_finite().fill_null(False)
    if bad.any():
        at = int(bad.arg_max() or 0)
        count = int(bad.sum())
        amount = counted(count, "text") + (" that is no number" if count == 1 else " that are no numbers, the first")
        raise DataContractError(
            f"{table.path}: column '{column}' has {amount}: '{texts[at][:40]}' in row {table.rows[at]}. "
            f"{_remedy(texts[at], decimal)}"
        )
    return found.alias(column)


def _plainly(raw: pl.Series, missing: Collection[str]) -> pl.Series | None:
    """The numbers where every text is one, or stands for no value; None where one needs a closer look."""
    if any(_is_float(marker) for marker in missing):
        return None
    found = raw.cast(pl.Float64, strict=False).fill_nan(None)
    rest = raw.filter(found.is_null() & raw.is_not_null()).unique().str.strip_chars().str.to_lowercase()
    if not rest.is_in([*MISSING, *(m.lower() for m in missing)]).all() or not found.is_finite().all():
        return None
    return found


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(texts: pl.Series, decimal: str) -> pl.Series:
    """Numbers with a point, from numbers with this decimal separator; anything else becomes no number."""
    if decimal == ".":
        return texts
    grouped = texts.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+,\d+$")
    pointed = texts.str.contains(".", literal=True) & ~grouped
    plain = texts.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return plain.set(pointed.fill_null(False), "with a point")


def _remedy(text: str, decimal: str) -> str:
    if decimal == "." and "," in text and text.replace(",", "").lstrip("+-").isdigit():
        return "If that is a decimal comma, set decimal: ',' in the mapping."
    if decimal == "," and "." in text and text.replace(".", "").lstrip("+-").isdigit():
        return "The mapping says decimal: ','. Set decimal: '.', or write the numbers without thousands points."
    return "Correct it, or list it under missing: in the mapping if it means no value."


def without_sentinels(table: Table, column: str, values: pl.Series, repairs: list[str]) -> pl.Series:
    """The values with every sentinel such as −999 made missing and reported."""
    if not _beyond_weather(values):
        return values
    hit = values.is_in(SENTINELS).fill_null(False)
    if not hit.any():
        return values
    at = int(hit.arg_max() or 0)
    count = int(hit.sum())
    repairs.append(
        f"{table.path}: column '{column}': {counted(count, 'value')} like {values[at]:g} "
        f"(first in row {table.rows[at]}) taken as missing."
    )
    return values.set(hit, None)


def _beyond_weather(values: pl.Series) -> bool:
    """Whether a value lies where the sentinels do."""
    low, high = values.min(), values.max()
    return isinstance(low, float) and isinstance(high, float) and (low <= _HIGHEST_BELOW or high >= _LOWEST_ABOVE)


def megawatts(values: pl.Series, unit: str, capacity_mw: float) -> pl.Series:
    if unit in ("fraction", "percent"):
        return values * capacity_mw / (1.0 if unit == "fraction" else 100.0)
    return values / POWER_DIVISORS[unit]


def weather_si(table: Table, column: str, values: pl.Series, variable: str, unit: str | None) -> pl.Series:
    """The values in SI units, directions turned into [0, 360].

    Raises DataContractError naming count, first value, row and the unit it looks like where one is
    implausible.
    """
    quantity = quantity_of(variable)
    if quantity is None or unit is None:
        return values
    si, low, high = WEATHER_RANGES[quantity]
    least, most = values.min(), values.max()
    if isinstance(least, float) and isinstance(most, float) and not (quantity == "wind_direction" and least < 0):
        factor, offset = WEATHER_UNITS[quantity][unit]
        if low <= least * factor + offset and most * factor + offset <= high:
            return values if (factor, offset) == (1.0, 0.0) else values * factor + offset
    converted = _convert(values, quantity, unit)
    bad = ~converted.is_between(low, high).fill_null(True)
    if bad.any():
        at, count = int(bad.arg_max() or 0), int(bad.sum())
        fitting = [u for u in WEATHER_UNITS[quantity] if _convert(values, quantity, u).is_between(low, high).all()]
        hint = f"It looks like {fitting[0]}: set the unit." if fitting else "Correct the values or their unit."
        raise DataContractError(
            f"{table.path}: column '{column}' ({variable}, unit {unit}) has "
            f"{counted(count, 'value')} outside [{low:g}, {high:g}] {si}, the first "
            f"{values[at]:g} {unit} "
            f"in row {table.rows[at]}. {hint}"
        )
    return converted


def _convert(values: pl.Series, quantity: str, unit: str) -> pl.Series:
    factor, offset = WEATHER_UNITS[quantity][unit]
    converted = values * factor + offset
    if quantity == "wind_direction":
        # some models count from −180 to 180; −90 and 270 are the same direction
        west = converted.is_between(-180.0, 0.0, closed="left").fill_null(False)
        return converted.zip_with(~west, converted + 360.0)
    return converted
