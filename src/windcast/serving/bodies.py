"""Tables in a request's body: JSON (an object of columns), CSV or Parquet, as Polars frames with typed columns."""

import csv
import io
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import orjson
import polars as pl
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from windcast.data.farm import Times
from windcast.errors import unknown_name
from windcast.serving.problems import BadRequest, TooLarge, Unprocessable, Unsupported

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
UTC_TIME = pl.Datetime("us", "UTC")
MOST_COLUMNS = 300
MOST_CELLS = 20_000_000  # of a table once it is unpacked
LONGEST_HEADER = 64_000  # bytes of a CSV's first row
WRITING = "Write it with commas between columns and a point in decimals."
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
FIRST, LAST = np.datetime64("1970-01-01", "us"), np.datetime64("2200-01-01", "us")
# of 2015-07-01T06:00:00Z: the least and the greatest letter at each place, and days until the first of each month
LEAST = np.frombuffer(b"0000-00-00T00:00:00Z", np.uint8)
SPAN = np.frombuffer(b"9999-99-99T99:99:99Z", np.uint8) - LEAST
MONTHS = np.arange("1970-01", "2200-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
Model = TypeVar("Model", bound=BaseModel)


def media_type(header: str | None, known: Sequence[str] = (JSON, CSV, PARQUET)) -> str:
    """The media type of a Content-Type header. Raises Unsupported for one that is not known."""
    named = (header or JSON).partition(";")[0].strip().lower()
    named = {"application/parquet": PARQUET, "application/x-parquet": PARQUET, "application/csv": CSV}.get(named, named)
    if named not in known:
        raise Unsupported(f"Content-Type '{named[:80]}' is not read here. Send {', '.join(known)}.")
    return named


def json_object(body: bytes) -> dict[str, Any]:
    """Raises BadRequest if the body is not a JSON object."""
    _check_empty(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        first = body[:200].partition(b"\n")[0]
        like_csv = b"," in first and not first.lstrip().startswith((b"{", b"["))
        hint = " It looks like CSV: send it with Content-Type: text/csv." if like_csv else ""
        raise BadRequest(f"the body is not JSON: {error}.{hint}") from None
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object.")
    return document


def model(body: bytes, kind: type[Model]) -> Model:
    """What a JSON body says. Raises RequestValidationError naming the first thing that is wrong."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None


@dataclass(frozen=True, eq=False)
class Columns:
    """A table by column: arrays where numbers or times are known to be such, Polars series otherwise.

    first: number of its first row, as errors count; the header of a CSV is row 1.
    """

    values: dict[str, NDArray[Any] | pl.Series]
    height: int
    first: int = 1

    @classmethod
    def of(cls, frame: pl.DataFrame, first: int = 1) -> "Columns":
        return cls(dict(frame.to_dict()), frame.height, first)

    @property
    def names(self) -> list[str]:
        return list(self.values)


def table(body: bytes, kind: str) -> Columns:
    """The columns of a body of that media type. Raises BadRequest or Unprocessable where it cannot be read."""
    if kind == JSON:
        return columns(json_object(body), "the body")
    return Columns.of(frame(body, kind), first=2 if kind == CSV else 1)


def frame(body: bytes, kind: str) -> pl.DataFrame:
    """The same of CSV or Parquet, as a frame."""
    _check_empty(body)
    try:
        found = _csv(body) if kind == CSV else _parquet(body)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else "empty"
        raise BadRequest(f"the body cannot be read as {kind}: {reason}.") from None
    return found.rename({name: name.strip() for name in found.columns if name.strip() not in found.columns})


def _check_empty(body: bytes) -> None:
    if not body.strip():
        raise BadRequest("the body is empty. Is the file that was to be sent there, and is it not empty?")


def _csv(body: bytes) -> pl.DataFrame:
    """The header is counted first: a million columns take gigabytes to read."""
    head = io.StringIO(body[:LONGEST_HEADER].decode(errors="replace"), newline="")
    try:
        header = next(csv.reader(itertools.islice(head, MOST_COLUMNS)), [])
    except csv.Error:
        raise BadRequest(f"the header of the CSV is not one, or longer than {LONGEST_HEADER:,} bytes.") from None
    _check_width(len(header))
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and sign in header[0]:
            raise BadRequest(f"the CSV has {name} between its columns. {WRITING}")
    try:
        return pl.read_csv(body, infer_schema=False)
    except pl.exceptions.ComputeError as error:
        if "found more fields" not in str(error):
            raise
        raise BadRequest(f"the CSV has rows with more fields than its header. {WRITING}") from None


def _parquet(body: bytes) -> pl.DataFrame:
    """What it unpacks to is counted first: a column of equal values is a thousand times smaller than in memory."""
    scan = pl.scan_parquet(io.BytesIO(body))
    width = len(scan.collect_schema())
    _check_width(width)
    cells = scan.select(pl.len()).collect().item() * width
    if cells > MOST_CELLS:
        raise TooLarge(f"the table has {cells:,} values; at most {MOST_CELLS:,} are read. Send it in parts.")
    return scan.collect()


def _check_width(width: int) -> None:
    if width > MOST_COLUMNS:
        raise Unprocessable(f"the table has {width:,} columns or more; at most {MOST_COLUMNS} are read.")


def columns(document: Any, where: str) -> Columns:
    """Columns of {"column": [values] or one value for all rows}. Raises Unprocessable naming the column."""
    if not isinstance(document, dict) or not document:
        raise Unprocessable(f'{where} must be an object of columns, such as {{"time": […], "power_mw": […]}}.')
    if len(document) > MOST_COLUMNS:
        raise Unprocessable(f"{where} has {len(document):,} columns; at most {MOST_COLUMNS} are read.")
    lengths = {name: len(values) for name, values in document.items() if isinstance(values, list)}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name[:40]} {count}" for name, count in list(lengths.items())[:6]) or "no column is a list"
        raise Unprocessable(f"{where}: columns must be lists of one length; found {said}.")
    height = next(iter(lengths.values()))
    return Columns({name: _column(values, height, name, where) for name, values in document.items()}, height)


def _column(values: Any, height: int, name: str, where: str) -> NDArray[Any] | pl.Series:
    listed = values if isinstance(values, list) else [values] * height
    kinds = set(map(type, listed))
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        try:
            return np.array(listed, np.float64)  # None becomes NaN
        except OverflowError:
            raise Unprocessable(f"{where}: column '{name[:60]}' has a number that is far too large.") from None
    if kinds == {str} and (moments := usual_times(listed)) is not None:
        return moments
    if not kinds <= {str, bool, type(None)}:
        plain = kinds <= {str, int, float, bool, type(None)}
        said = "mixes kinds of values. Send numbers or texts" if plain else "must hold plain values"
        raise Unprocessable(f"{where}: column '{name[:60]}' {said}.")
    try:
        return pl.Series(name, listed, strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        raise Unprocessable(f"{where}: column '{name[:60]}' mixes kinds of values. Send numbers or texts.") from None


def times(table: Columns, name: str) -> Times:
    """[N] UTC, NaT where null. Raises Unprocessable naming the row."""
    column = needed(table, name)
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        moments = column
    elif isinstance(column, np.ndarray):
        raise Unprocessable(f"column '{name}' holds numbers, not times. Write 2015-07-01T06:00:00Z.")
    elif isinstance(column.dtype, pl.Datetime):
        zoned = column if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        moments = zoned.dt.convert_time_zone("UTC").dt.replace_time_zone(None).dt.cast_time_unit("us").to_numpy()
    elif column.dtype == pl.String:
        moments = parsed_times(column.to_list(), name, table.first)
    elif column.null_count() == len(column):
        moments = np.full(len(column), "NaT", "datetime64[us]")
    else:
        raise Unprocessable(f"column '{name}' holds {column.dtype}, not times. Write 2015-07-01T06:00:00Z.")
    odd = (moments < FIRST) | (moments > LAST)
    if odd.any():
        row = int(odd.argmax())
        where = f"column '{name}', row {row + table.first}"
        raise Unprocessable(f"{where}: {moments[row]} is not between 1970 and 2200.")
    return moments


def utc(times: Times) -> pl.Series:
    """NaT becomes null."""
    moments = times.astype("datetime64[us]")
    unknown = np.isnat(moments)
    if len(moments) and unknown.all():
        return pl.Series([None], dtype=UTC_TIME).new_from_index(0, len(moments))
    if unknown.any():
        return pl.Series(moments).dt.replace_time_zone("UTC")
    return pl.Series(moments.view(np.int64)).cast(UTC_TIME)  # a tenth of the time


def parsed_times(texts: Sequence[str | None], name: str, first: int = 1) -> Times:
    """Times [N] from ISO 8601 texts; without an offset they are UTC. first: number of the first row."""
    usual = usual_times(texts)
    if usual is not None:
        return usual
    moments = np.full(len(texts), "NaT", "datetime64[us]")
    for row, text in enumerate(texts):
        if text:
            moments[row] = _moment(text, f"column '{name}', row {row + first}")
    return moments


def usual_times(texts: Sequence[str | None]) -> Times | None:
    """Times all written in 20 letters that end with Z, as 2015-07-01T06:00:00Z, 1970 to 2199; None where one is not."""
    try:
        letters = "".join(texts).encode("ascii")  # type: ignore[arg-type]
    except (TypeError, UnicodeEncodeError):
        return None
    if len(letters) != 20 * len(texts):
        return None
    if not texts:
        return np.empty(0, "datetime64[us]")
    places = np.frombuffer(letters, np.uint8).reshape(-1, 20) - LEAST  # a lesser letter becomes large
    if (places > SPAN).any():
        return None
    digits = places.T.astype(np.int32, order="C")
    pairs = 10 * digits[[2, 5, 8, 11, 14, 17]] + digits[[3, 6, 9, 12, 15, 18]]
    if (pairs[1:] > [[12], [31], [23], [59], [59]]).any() or not pairs[1:3].all():
        return None
    months = 12 * (1000 * digits[0] + 100 * digits[1] + pairs[0] - 1970) + pairs[1] - 1
    if months.min() < 0 or months.max() >= len(MONTHS) - 1:
        return None
    days = MONTHS[months] + pairs[2] - 1
    if (days >= MONTHS[months + 1]).any():
        return None
    seconds = days.astype(np.int64) * 86_400 + (60 * pairs[3] + pairs[4]) * 60 + pairs[5]
    moments: Times = (seconds * 1_000_000).view("datetime64[us]")
    return moments


def moment(text: str, where: str) -> datetime:
    """One time, UTC."""
    time = _moment(text, where)
    if not FIRST <= time <= LAST:
        raise Unprocessable(f"{where}: {time} is not between 1970 and 2200.")
    found: datetime = time.astype(datetime).replace(tzinfo=UTC)
    return found


def _moment(text: str, where: str) -> np.datetime64:
    try:
        time = datetime.fromisoformat(text.strip()) if len(text) > 9 else None
        if time is not None:
            time = time.astimezone(UTC) if time.tzinfo else time
            return np.datetime64(time.replace(tzinfo=None), "us")
    except (ValueError, OverflowError):
        pass
    raise Unprocessable(f"{where}: '{text[:40]}' is not a time. Write 2015-07-01T06:00:00Z (UTC).")


def numbers(table: Columns, name: str) -> NDArray[np.float64]:
    """[N], NaN where null or empty. Raises Unprocessable naming the row of what is no finite number."""
    column = needed(table, name)
    values = column if isinstance(column, np.ndarray) else _from_series(column, name, table.first)
    if values.dtype.kind == "M":
        raise Unprocessable(f"column '{name}' holds times, not numbers.")
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax()) + table.first
        raise Unprocessable(f"column '{name}', row {row}: infinite. Leave it empty if unknown.")
    return values


def _from_series(column: pl.Series, name: str, first: int) -> NDArray[np.float64]:
    if column.dtype == pl.String:
        stripped = column.str.strip_chars()
        found = stripped.cast(pl.Float64, strict=False)
        wrong = found.is_null() & stripped.is_not_null() & (stripped != "")
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            said = str(column[row])[:40]
            remedy = "Write decimals with a point" if DECIMAL_COMMA.fullmatch(said.strip()) else "Correct it"
            raise Unprocessable(
                f"column '{name}', row {row + first}: '{said}' is not a number. {remedy} or leave it empty."
            )
    elif column.dtype.is_numeric() or column.dtype == pl.Null:
        found = column.cast(pl.Float64)
    else:
        raise Unprocessable(f"column '{name}' holds {column.dtype}, not numbers.")
    values: NDArray[np.float64] = found.to_numpy().astype(np.float64)
    return values


def needed(table: Columns, name: str) -> NDArray[Any] | pl.Series:
    """Raises Unprocessable, naming what there is, if the column is absent."""
    if name not in table.values:
        raise absent(name, table.names)
    return table.values[name]


def absent(name: str, found: Sequence[str]) -> Unprocessable:
    """The error for a column that is not there."""
    return Unprocessable(f"column '{name}' is missing. Found: {', '.join(column[:40] for column in found[:20])}.")


def checked(table: Columns, known: Sequence[str], where: str) -> Columns:
    """Raises Unprocessable for a column that nobody would read."""
    known_names(table.names, known, where)
    if not table.height:
        raise Unprocessable(f"{where} has no rows.")
    return table


def known_names(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Raises Unprocessable, with the nearest, for a name that is not known."""
    for name in names:
        if name not in known:
            raise Unprocessable(f"{where}: {unknown_name('column', name[:60], known)}")


def levels(text: str | None, known: Sequence[float]) -> tuple[float, ...] | None:
    """Quantile levels from `0.05,0.5,0.95`; None for none given. Raises Unprocessable outside of what is forecast."""
    if text is None:
        return None
    try:
        found = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        raise Unprocessable(f"levels '{text[:60]}': write numbers such as 0.05,0.5,0.95.") from None
    if not all(math.isfinite(x) and known[0] - 1e-9 <= x <= known[-1] + 1e-9 for x in found):
        raise Unprocessable(f"levels '{text[:60]}': the model forecasts levels {known[0]:g} to {known[-1]:g}.")
    return found
