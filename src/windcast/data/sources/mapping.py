"""FarmMapping: what the columns of the user's own files mean. A small YAML in, frozen dataclasses out, and
back.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, available_timezones

import yaml  # type: ignore[import-untyped, unused-ignore]

from windcast.data.sources.values import WEATHER_UNITS, quantity_of, weather_name_mistaken
from windcast.errors import ConfigError, unknown_name

PowerUnit = Literal["MW", "kW", "W", "fraction", "percent"]
Decimal = Literal[".", ","]
MAX_MB = 512.0
MAX_CONFIG_BYTES = 1 << 20
LEAD = "{lead}"


@dataclass(frozen=True, kw_only=True)
class SeriesMapping:
    """One measured column. Where `file` is not given it is the power's, and so are time, format, separator
    and decimal.

    format: of the time stamps, in strftime's letters; recognised where absent.  missing: texts that mean no
    value.
    """

    file: str | None = None
    time: str | None = None
    column: str
    unit: PowerUnit
    format: str | None = None
    separator: str | None = None
    decimal: Decimal | None = None
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_separator(self.separator)


@dataclass(frozen=True, kw_only=True)
class PowerMapping(SeriesMapping):
    """The power column; `file` and `time` must be said."""

    file: str
    time: str


@dataclass(frozen=True, kw_only=True)
class VariableMapping:
    """Where one weather variable stands: a `column`, or a `pattern` such as `Ws{lead}` for a column per lead
    time.
    """

    column: str | None = None
    pattern: str | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        if (self.column is None) == (self.pattern is None):
            raise ConfigError("give either column or pattern (a column name with {lead} in it).")
        if self.pattern is not None and self.pattern.count(LEAD) != 1:
            raise ConfigError(f"pattern '{self.pattern}' must hold {LEAD} once, as in Ws{LEAD}.")


@dataclass(frozen=True, kw_only=True)
class WeatherMapping:
    """The weather, in one of three shapes; times are instants and are never shifted by `interval`.

    patterns: a row is for its valid_time, the value of lead k was available k `lead_unit` before.
    issue_time: a row was issued at issue_time and became available `delay_minutes` later.
    kind: reanalysis: plain columns at valid_time, treated as known in advance and marked so in every score.
    """

    file: str | None = None
    valid_time: str | None = None
    issue_time: str | None = None
    delay_minutes: float = 0.0
    lead_unit: Literal["hours", "minutes", "steps"] = "hours"
    kind: Literal["forecast", "reanalysis"] = "forecast"
    time_zone: str | None = None
    format: str | None = None
    separator: str | None = None
    decimal: Decimal | None = None
    missing: tuple[str, ...] = ()
    variables: dict[str, VariableMapping]

    def __post_init__(self) -> None:
        _check_separator(self.separator)
        _check_zone(self.time_zone)
        if self.delay_minutes < 0:
            raise ConfigError(f"delay_minutes is {self.delay_minutes:g}; it must be 0 or more.")
        if not self.variables:
            raise ConfigError("variables is empty; map at least one, or leave the weather out.")
        for name, variable in self.variables.items():
            _check_variable(name, variable)
        patterned = [v.pattern is not None for v in self.variables.values()]
        if any(patterned) and (not all(patterned) or self.issue_time or self.kind == "reanalysis"):
            raise ConfigError(
                f"a {LEAD} pattern says when a value was known, so it goes with neither plain columns, "
                "issue_time "
                "nor kind: reanalysis. Keep one of the three ways."
            )
        if self.issue_time and self.kind == "reanalysis":
            raise ConfigError("kind: reanalysis has no issue_time. Drop one of the two.")


@dataclass(frozen=True, kw_only=True)
class FarmMapping:
    """A farm's files. Times without an offset are in `time_zone`; `resolution` in minutes is guessed where
    absent."""

    name: str
    capacity_mw: float
    resolution: float | None = None
    interval: Literal["start", "end"] = "end"
    time_zone: str = "UTC"
    power_delay_minutes: float = 0.0
    max_mb: float = MAX_MB
    power: PowerMapping
    weather: WeatherMapping | None = None
    availability: SeriesMapping | None = None
    curtailment: SeriesMapping | None = None

    def __post_init__(self) -> None:
        for name in ("capacity_mw", "resolution", "max_mb"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value:g}; it must be a positive number.")
        if self.power_delay_minutes < 0:
            raise ConfigError(f"power_delay_minutes is {self.power_delay_minutes:g}; it must be 0 or more.")
        if self.availability and self.availability.unit not in ("fraction", "percent"):
            raise ConfigError(f"availability.unit is '{self.availability.unit}'. Use fraction or percent.")
        _check_zone(self.time_zone)


def read(path: str | Path) -> FarmMapping:
    """The mapping in a YAML file. Raises ConfigError with the key, what is wrong and the nearest known
    name.
    """
    path = Path(path).expanduser()
    made_by = "Make one with `windcast data init POWER_FILE`."
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: is larger than 1 MB, so it is not the YAML that maps columns. {made_by}")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). {made_by}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8, so not the YAML that maps columns. {made_by}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError(f"{path}: is no valid YAML{line}: {problem}. Put texts with ':' or '#' in quotes.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds no mapping of keys to values. {made_by}")
    try:
        return parse(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse(document: Mapping[str, Any]) -> FarmMapping:
    """The mapping in a document as YAML gives it. Raises ConfigError."""
    mapping: FarmMapping = _build(FarmMapping, document, "")
    return mapping


def to_yaml(mapping: FarmMapping) -> str:
    """The YAML that `parse` reads back as an equal mapping; keys at their defaults are left out."""
    text: str = yaml.safe_dump(_document(mapping), sort_keys=False, allow_unicode=True)
    return text


def _document(value: Any) -> Any:
    if is_dataclass(value):
        return {
            f.name: _document(v)
            for f in fields(value)
            if (v := getattr(value, f.name)) is not None and (f.default is MISSING or v != f.default)
        }
    if isinstance(value, dict):
        return {k: _document(v) for k, v in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _build(cls: Any, document: Any, where: str) -> Any:
    """A dataclass from a document, every key and type checked."""
    at = f"{where}: " if where else ""
    if not isinstance(document, dict):
        raise ConfigError(f"{where} must hold keys and values, but is {_said(document)}.")
    hints = get_type_hints(cls)
    for key in document:
        if key not in hints:
            raise ConfigError(at + unknown_name("key", str(key), hints))
    missing = [f.name for f in fields(cls) if f.default is MISSING and document.get(f.name) is None]
    if missing:
        raise ConfigError(f"{at}'{missing[0]}' is not given. Add it.")
    dotted = f"{where}." if where else ""
    given = {k: _value(hints[k], v, f"{dotted}{k}") for k, v in document.items() if v is not None}
    try:
        return cls(**given)
    except ConfigError as error:
        raise ConfigError(f"{at}{error}") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (h for h in get_args(hint) if h is not type(None))
    if is_dataclass(hint):
        return _build(hint, value, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(unknown_name(where, _said(value).strip("'"), get_args(hint)))
        return value
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must map names to columns, but is {_said(value)}.")
        return {str(k): _build(get_args(hint)[1], v, f"{where}.{k}") for k, v in value.items()}
    if get_origin(hint) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(str(item) for item in items if not isinstance(item, dict | list))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str):
        return value
    kind = "a number" if hint is float else "a text; put it in quotes"
    raise ConfigError(f"{where} is {_said(value)}; it must be {kind}.")


def _said(value: Any) -> str:
    """A scalar as written; a container by its kind, because aliases can make its text endless."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a mapping"
    return f"'{str(value)[:60]}'"


def _check_separator(separator: str | None) -> None:
    if separator is not None and (len(separator) != 1 or not separator.isascii()):
        raise ConfigError(f"""separator is '{separator}'; it must be one character such as ";", "," or "\\t".""")


def _check_zone(zone: str | None) -> None:
    try:
        ZoneInfo(zone or "UTC")
    except (KeyError, ValueError, OSError):
        near = (z for z in available_timezones() if z.count("/") == 1 and not z.startswith("Etc"))
        message = unknown_name("time_zone", str(zone), near).split(" Known:")[0]
        raise ConfigError(f"{message} Give an IANA name such as Europe/Copenhagen or UTC.") from None


def _check_variable(name: str, variable: VariableMapping) -> None:
    quantity = quantity_of(name)
    if quantity is None:
        if weather_name_mistaken(name) or variable.unit is not None:
            raise ConfigError(unknown_name("weather variable", name, WEATHER_UNITS))
        return
    units = WEATHER_UNITS[quantity]
    if variable.unit is None:
        raise ConfigError(f"variables.{name}: 'unit' is not given. Say which of {', '.join(units)}.")
    if variable.unit not in units:
        raise ConfigError(f"variables.{name}: {unknown_name('unit', variable.unit, units)}")
