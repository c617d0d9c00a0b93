"""What a column's name and magnitude suggest: power, weather variables, units, families of lead times."""

import re
from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from windcast.data.sources.mapping import LEAD, PowerUnit

_POWER = re.compile(
    r"power|leistung|effekt|puissance|production|generation|output|feed_?in"
    r"|(^|_)(p|pwr|mw|kw|prod|gen|active)\d*(_|$)"
)
_NOT_POWER = re.compile(r"reactive|theor|potential|setpoint|set_point|curtail|forecast|capacity|installed|price|avail")
_ISSUE = re.compile(r"issue|init|run|reference|(^|_)ref|base|analysis|cycle|forecast_?(time|date)|creat|publish")
_WEATHER = {
    "wind_direction": re.compile(r"dir|richtung|azimut|(^|_)(wd|dd)(_|\d|$)"),
    "wind_u": re.compile(r"(^|_)u_?(\d+_?m?)?(_|$)|wind_?u(_|\d|$)|u_?(comp|wind)"),
    "wind_v": re.compile(r"(^|_)v_?(\d+_?m?)?(_|$)|wind_?v(_|\d|$)|v_?(comp|wind)"),
    "wind_speed": re.compile(r"speed|wspd|geschw|hastighed|(^|_)(ws|ff|spd|wind)(_|\d|$)"),
    "temperature": re.compile(r"temp|(^|_)(t|2t|tas)(_|\d|$)"),
    "pressure": re.compile(r"pres|druck|(^|_)(sp|msl|mslp|ps)(_|$)"),
}
_NOT_WEATHER = re.compile(r"rotor|generator|gen_?s|std|gust|pitch|oil|bearing|gear|power")
_HEIGHT = re.compile(r"(?<!\d)(\d{1,3})_?m(?![a-z])|(?<=[a-z_])(\d{2,3})$")
_LEAD_STEPS = (1, 2, 3, 6, 12, 24)


def plain(name: str) -> str:
    """Lower case, every other sign than letters and digits an underscore."""
    return re.sub(r"[^a-zäöüæøå0-9]+", "_", name.lower())


def is_power(name: str) -> bool:
    return bool(_POWER.search(plain(name))) and not _NOT_POWER.search(plain(name))


def is_issue_time(name: str) -> bool:
    return bool(_ISSUE.search(plain(name)))


def quantity_named(name: str) -> str | None:
    """The canonical quantity that a column's name, lead time left out, stands for."""
    text = plain(name.replace(LEAD, "")).strip("_")
    if _NOT_WEATHER.search(text):
        return None
    return next((quantity for quantity, pattern in _WEATHER.items() if pattern.search(text)), None)


def variable_named(name: str, quantity: str) -> str:
    """The quantity with the height that the name tells: `wind_u_100m` for `u100`."""
    height = _HEIGHT.search(plain(name.replace(LEAD, "")).strip("_"))
    return f"{quantity}_{height[1] or height[2]}m" if height else quantity


def lead_families(columns: Sequence[str]) -> dict[str, list[int]]:
    """Patterns such as `Ws{lead}` -> their lead times, for columns that differ in one evenly counted
    number.
    """
    found: dict[str, set[int]] = {}
    for name in columns:
        for digits in re.finditer(r"\d+", name):
            after = name[digits.end() :]
            if re.match(r"_?m(?!in)", after, re.IGNORECASE):  # a height, not a lead time
                continue
            found.setdefault(f"{name[: digits.start()]}{LEAD}{after}", set()).add(int(digits[0]))
    return {pattern: sorted(leads) for pattern, leads in found.items() if _counted(sorted(leads))}


def lead_columns(pattern: str, columns: Sequence[str]) -> list[tuple[int, str]]:
    """Lead time and name of every column that a pattern such as `Ws{lead}` fits."""
    before, after = (re.escape(part) for part in pattern.split(LEAD))
    return [(int(m[1]), c) for c in columns if (m := re.fullmatch(f"{before}(\\d+){after}", c))]


def _counted(leads: list[int]) -> bool:
    """1, 2, 3 or 0, 6, 12; not 10, 100, which are heights."""
    if len(leads) < 2:
        return False
    step = leads[1] - leads[0]
    even = all(b - a == step for a, b in pairwise(leads))
    return even and step in _LEAD_STEPS and leads[0] in (0, step)


def power_unit(name: str, values: pl.Series) -> tuple[PowerUnit, str]:
    """A unit, and what suggests it."""
    text, top = plain(name), largest(values)
    named: tuple[tuple[str, PowerUnit], ...] = (
        (r"(^|_)kw(_|$)", "kW"),
        (r"(^|_)mw(_|$)", "MW"),
        (r"(^|_)w(_|$)", "W"),
        (r"percent|pct|prozent", "percent"),
        (r"fraction|normali[sz]ed|(^|_)(pu|cf|norm)(_|$)", "fraction"),
    )
    if "%" in name:
        return "percent", "its name says so"
    for pattern, unit in named:
        if re.search(pattern, text):
            return unit, "its name says so"
    for limit, unit in ((1.05, "fraction"), (1500.0, "MW"), (5e6, "kW")):
        if top <= limit:
            return unit, f"its largest value is {top:g}"
    return "W", f"its largest value is {top:g}"


def weather_unit(name: str, quantity: str, values: pl.Series) -> tuple[str, str]:
    """A unit, and what suggests it."""
    text = plain(name.replace(LEAD, ""))
    top = max(largest(values), -_least(values))
    seen = f"values reach {top:g}"
    if quantity in ("wind_speed", "wind_u", "wind_v"):
        for pattern, unit in (
            (r"km_?h|kph", "km/h"),
            (r"(^|_)(kn|kt|kts|knots?)(_|$)", "knots"),
            (r"mph", "mph"),
        ):
            if re.search(pattern, text):
                return unit, "the name says so"
        return ("km/h", seen) if top > 60 else ("m/s", seen)
    if quantity == "wind_direction":
        return ("radians" if top <= 6.3 else "degrees"), seen
    if quantity == "temperature":
        return ("K" if _mostly_above(values, 180) else "C" if top <= 55 else "F"), seen
    return ("Pa" if _mostly_above(values, 40_000) else "hPa"), seen


def _mostly_above(values: pl.Series, limit: float) -> bool:
    """Whether the median is above the limit; the extremes tell of nearly every column."""
    if _least(values) > limit or largest(values) <= limit:
        return _least(values) > limit
    return float(values.median() or 0.0) > limit  # type: ignore[arg-type]


def largest(values: pl.Series) -> float:
    top = values.max()
    return float(top) if isinstance(top, int | float) else 0.0


def _least(values: pl.Series) -> float:
    low = values.min()
    return float(low) if isinstance(low, int | float) else 0.0
