"""Time stamps of unknown writing to UTC: formats, offsets, and the two odd hours of a local year."""

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import product

import polars as pl

from windcast.data.contracts import UTC
from windcast.data.sources.reading import Table, counted
from windcast.errors import ConfigError, DataContractError

_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d.%m.%y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y%m%d",
)
_CLOCKS = (" %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "")
FORMATS = (*(d + c for d, c in product(_DATES, _CLOCKS)), "%Y%m%d%H%M", "%Y%m%d%H%M%S")
_SAMPLE = 5000
_EARLIEST, _END = datetime(1950, 1, 1), datetime(2101, 1, 1)

_OFFSET = r"\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_AWARE = r"(?:\d:\d\d(?:[:.,\d]*)|[T ]\d\d)" + _OFFSET


@dataclass(frozen=True)
class Writing:
    """How a column writes time. format: strftime's letters, "unix" or "unix_ms".  aware: stamps carry an
    offset.
    """

    format: str
    aware: bool


def writing_of(texts: pl.Series) -> tuple[Writing, ...]:
    """Every way in which all of the texts can be read as times; empty if there is none, two if day and month
    could be either way round.
    """
    return tuple(writing for writing, _ in _readings(texts.str.strip_chars()))


def ways_of(table: Table, column: str) -> tuple[Writing, ...]:
    """As `writing_of` for a whole column of texts."""
    return tuple(writing for writing, _ in _known(table, column))


def _known(table: Table, column: str) -> list[tuple[Writing, pl.Series | None]]:
    key = ("readings", column)
    if key not in table.memo:
        table.memo[key] = _readings(table.frame[column].str.strip_chars())
    found: list[tuple[Writing, pl.Series | None]] = table.memo[key]
    return found


def _readings(texts: pl.Series) -> list[tuple[Writing, pl.Series | None]]:
    """Each way to read all of the texts, with the naive times it gives; none for Unix time."""
    # one text settles nearly every column
    aware = bool(_says_offset(texts.head(1)) and _says_offset(texts))
    bodies = _bodies(texts) if aware else texts
    found = _ways(bodies, aware) if _spaced(bodies.head(1)).equals(bodies.head(1)) else None
    if found is None:
        found = _ways(_spaced(bodies), aware) or []
    if not found and texts.head(1).str.contains(r"^\d{10}(\d{3})?$").all():
        unix = {10: "unix", 13: "unix_ms"}
        lengths = texts.str.len_chars().unique()
        if texts.str.contains(r"^\d+$").all() and len(lengths) == 1 and lengths[0] in unix:
            return [(Writing(unix[lengths[0]], True), None)]
    return found


def _ways(bodies: pl.Series, aware: bool) -> list[tuple[Writing, pl.Series | None]] | None:
    """The formats that all texts are written in; None if one suits the first text but not all."""
    found: list[tuple[Writing, pl.Series | None]] = []
    misfit = False
    for pattern in _fitting(bodies.head(1)):
        times = _parsed(bodies, pattern)
        misfit |= bool(times.null_count())
        if not times.null_count() and not any(other is not None and times.equals(other) for _, other in found):
            found.append((Writing(pattern, aware), times))
    return None if misfit and not found else found


def _says_offset(texts: pl.Series) -> bool:
    return bool(texts.str.contains(_AWARE).all())


def utc(
    table: Table, column: str, *, zone: str, pattern: str | None = None, within: pl.Series | None = None
) -> pl.Series:
    """The column as Datetime[us, UTC]; stamps without an offset are wall-clock time in `zone`.

    within: what makes a repeated hour one sequence, such as the issue time of a weather run.
    Raises DataContractError naming row and text for a stamp that is missing, unreadable, ambiguous, or
    that does not exist; ConfigError for a pattern that cannot be used.
    """
    raw = table.frame[column]
    if pattern is None and raw.dtype == pl.String and not raw.null_count():
        known = _known(table, column)
        if len(known) == 1 and known[0][1] is not None and not known[0][0].aware:
            return local_to_utc(table, column, known[0][1], zone, within)
    _check_complete(table, column, raw)
    if isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone:
        return raw.dt.convert_time_zone("UTC").cast(UTC)
    if raw.dtype in (pl.Datetime, pl.Date):
        return local_to_utc(table, column, raw.cast(pl.Datetime("us")), zone, within)
    texts = raw.cast(pl.String).str.strip_chars()
    _check_offsets(table, column, texts)
    if pattern is None:
        writing = _only(table, column, texts)
    else:
        writing = Writing(pattern, bool(texts.str.contains(_AWARE).all()))
    if writing.format.startswith("unix"):
        unit = 1000 if writing.format == "unix_ms" else 1_000_000
        return (texts.cast(pl.Int64) * unit).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    try:
        naive = _naive(texts, writing, explicit=pattern is not None)
    except pl.exceptions.ComputeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{table.path}: column '{column}': format '{pattern}' cannot be used: {reason}") from None
    if naive.null_count():
        _unreadable(table, column, texts, naive, writing.format)
    if writing.aware:
        return (naive - _offsets(texts)).dt.replace_time_zone("UTC").cast(UTC)
    return local_to_utc(table, column, naive, zone, within)


def wall_clock(table: Table, column: str) -> pl.Series | None:
    """The stamps as written, without zone, to look for traces of daylight saving; None if they carry an
    offset."""
    raw = table.frame[column]
    if raw.dtype in (pl.Datetime, pl.Date):
        return None if getattr(raw.dtype, "time_zone", None) else raw.cast(pl.Datetime("us"))
    if raw.dtype != pl.String:
        raw = raw.cast(pl.String)
        known = _readings(raw.str.strip_chars())
    else:
        known = _known(table, column)
    return None if not known or known[0][0].aware else known[0][1]


def _check_complete(table: Table, column: str, raw: pl.Series) -> None:
    gone = raw.is_null()
    if raw.dtype == pl.String:
        gone |= raw.str.strip_chars() == ""
    if gone.any():
        raise DataContractError(
            f"{table.path}: column '{column}' has {counted(int(gone.sum()), 'missing time stamp')}, the "
            "first in row "
            f"{table.rows.filter(gone)[0]}. Drop those rows or fill in the time."
        )


def _check_offsets(table: Table, column: str, texts: pl.Series) -> None:
    aware = texts.str.contains(_AWARE)
    if aware.any() and not aware.all():
        a, b = int(aware.arg_max() or 0), int((~aware).arg_max() or 0)
        raise DataContractError(
            f"{table.path}: column '{column}' mixes stamps with an offset ('{texts[a]}' in row "
            f"{table.rows[a]}) and "
            f"without ('{texts[b]}' in row {table.rows[b]}). Write all of them with an offset, or none."
        )


def _only(table: Table, column: str, texts: pl.Series) -> Writing:
    ways = writing_of(texts)
    if len(ways) == 1:
        return ways[0]
    if ways:
        raise DataContractError(
            f"{table.path}: column '{column}': stamps such as '{texts[0]}' can be read as "
            f"{' and as '.join(w.format for w in ways)}. Say which with format: in the mapping."
        )
    # report the first row that the best format cannot read
    bodies = _bodies(texts) if texts.str.contains(_AWARE).all() else _spaced(texts)
    best = next(iter(_fitting(bodies.head(_SAMPLE))), FORMATS[0])
    _unreadable(table, column, texts, _parsed(bodies, best), best)
    raise AssertionError("unreachable")  # pragma: no cover


def _unreadable(table: Table, column: str, texts: pl.Series, naive: pl.Series, pattern: str) -> None:
    bad = naive.is_null()
    at, count = int(bad.arg_max() or 0), int(bad.sum())
    tried = "in any known way" if count == len(texts) else f"as {pattern}"
    raise DataContractError(
        f"{table.path}: column '{column}' has {counted(count, 'stamp')} that cannot be "
        "read "
        f"{tried}, the first '{texts[at][:40]}' in row {table.rows[at]}. Correct the column's name or the "
        "stamp, or "
        "give format: in the mapping, such as '%d.%m.%Y %H:%M'."
    )


def _spaced(texts: pl.Series) -> pl.Series:
    """One space between date and clock, whatever stood there."""
    if not (texts.str.contains("T", literal=True) | texts.str.contains("  ", literal=True)).any():
        return texts
    return texts.str.replace(r"^([\d./-]+)(?:T|\s+)(\d)", "$1 $2")


def _bodies(texts: pl.Series) -> pl.Series:
    return _spaced(texts.str.replace(_OFFSET, ""))


def _fitting(bodies: pl.Series) -> list[str]:
    """The formats in which the most of the texts can be read, if any can."""
    patterns = FORMATS if len(bodies) > 1 else _conceivable(str(bodies[0])) if len(bodies) else []
    if not patterns:
        return []
    frame = bodies.alias("text").to_frame()
    counts = frame.select(_parsing(pattern).count().alias(pattern) for pattern in patterns).row(0)
    return [pattern for pattern, count in zip(patterns, counts, strict=True) if count and count == max(counts)]


def _conceivable(text: str) -> list[str]:
    """The formats that have the signs of a text: all others are certain to fail."""
    worded, year_first = any(c.isalpha() for c in text), text[:4].isdecimal()
    return [
        pattern
        for pattern in FORMATS
        if worded == pattern.endswith("%p")
        and year_first == pattern.startswith("%Y")
        and all(text.count(sign) == pattern.count(sign) for sign in "-/:")
        and (text.count(".") == pattern.count(".") or ("%.f" in pattern and text.count(".") == pattern.count(".") - 1))
    ]


def _parsing(pattern: str) -> pl.Expr:
    times = pl.col("text").str.to_datetime(pattern, strict=False, time_unit="us", exact=True)
    return pl.when(times.dt.year().is_between(1950, 2100)).then(times)


def _parsed(bodies: pl.Series, pattern: str) -> pl.Series:
    """The times, null where a text is not so written or the year is beyond belief."""
    if bodies.null_count() == 0:
        # without fractions of a second, and without a cache of texts that are all different, it is several times faster
        plain = pattern.replace("%.f", "")
        times = bodies.str.to_datetime(plain, strict=False, time_unit="us", exact=True, cache=False)
        low, high = times.min(), times.max()
        if not times.null_count() and isinstance(low, datetime) and low >= _EARLIEST and high < _END:  # type: ignore[operator]
            return times
    return bodies.alias("text").to_frame().select(_parsing(pattern))["text"]


def _naive(texts: pl.Series, writing: Writing, *, explicit: bool) -> pl.Series:
    if explicit:
        bodies = texts.str.replace(_OFFSET, "") if writing.aware else texts
        return _parsed(bodies, re.sub(r"\s*%:?z$", "", writing.format))
    return _parsed(_bodies(texts) if writing.aware else _spaced(texts), writing.format)


def _offsets(texts: pl.Series) -> pl.Series:
    """Offset from UTC as a duration."""
    mark = texts.str.extract(_OFFSET, 1)
    hours = mark.str.extract(r"^[+-](\d{2})", 1).cast(pl.Int64).fill_null(0)
    minutes = mark.str.extract(r"^[+-]\d{2}:?(\d{2})$", 1).cast(pl.Int64).fill_null(0)
    sign = mark.str.starts_with("-").cast(pl.Int64) * -2 + 1
    return (sign * (hours * 60 + minutes) * 60_000_000).cast(pl.Duration("us"))


def local_to_utc(table: Table, column: str, naive: pl.Series, zone: str, within: pl.Series | None = None) -> pl.Series:
    """Wall-clock times of `zone` in UTC; the hour repeated in autumn is told apart by the order of the
    rows.
    """
    if zone == "UTC":
        return naive.dt.replace_time_zone("UTC").cast(UTC)
    early = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    late = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    gone = early.is_null()
    if gone.any():
        at = int(gone.arg_max() or 0)
        raise DataContractError(
            f"{table.path}: column '{column}' has {counted(int(gone.sum()), 'stamp')} in the hour that "
            f"{zone} skips in "
            "spring, "
            f"the first {naive[at]:%Y-%m-%d %H:%M} in row {table.rows[at]}. The file is in another zone, or "
            "in "
            "standard time all year: set time_zone to UTC or to a fixed offset such as Etc/GMT-1 (one hour "
            "ahead)."
        )
    twice = early != late
    if twice.any():
        late_half = _late_half(table, column, naive, twice, zone, within)
        early = early.zip_with(~late_half, late)
    return early.dt.convert_time_zone("UTC").cast(UTC)


def _late_half(
    table: Table, column: str, naive: pl.Series, twice: pl.Series, zone: str, within: pl.Series | None
) -> pl.Series:
    """True where a repeated stamp is its second occurrence in time. Raises where that cannot be known."""
    group = within if within is not None else pl.repeat(0, len(naive), eager=True)
    frame = pl.DataFrame({"row": table.rows, "time": naive, "twice": twice, "group": group})
    step = pl.col("time").diff().over("group")
    steps = frame.filter(~pl.col("twice")).select(step.alias("step"))["step"].drop_nulls().dt.total_microseconds()
    ascending, descending = bool((steps >= 0).all()), bool((steps <= 0).all())
    count = pl.len().over("group", "time")
    odd = frame.filter(pl.col("twice") & ((count != 2) | pl.lit(not (ascending or descending))))
    if odd.height:
        row, time = odd.row(0)[:2]
        reason = "once" if ascending or descending else "and the rows are not in time order"
        raise DataContractError(
            f"{table.path}: column '{column}': {time:%Y-%m-%d %H:%M} in row {row} is in the hour that {zone} "
            f"repeats in autumn, {f'but stands there {reason}' if reason == 'once' else reason}, so which of "
            "the two "
            "it means is not known. Write the stamps in UTC or with their offset, or drop the rows of that "
            "hour."
        )
    occurrence = pl.col("time").cum_count(reverse=not ascending).over("group", "time")
    return frame.select((pl.col("twice") & (occurrence == 2)).alias("late"))["late"]
