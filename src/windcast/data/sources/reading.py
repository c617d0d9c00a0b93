"""Reading a CSV or Parquet of unknown quality, row by row accountable, or saying what the file is instead.

A CSV is read as text; where that says the same, its columns of numbers as numbers, which is several times faster.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from windcast.data.sources import numeric
from windcast.errors import ConfigError, SourceError, unknown_name

SEPARATORS = (";", "\t", ",", "|")

# how a file begins -> what it is, and what to do
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document. Export the table as CSV"),
    (b"\x89PNG", "a PNG picture. Give the table as CSV"),
    (b"\xff\xd8\xff", "a JPEG picture. Give the table as CSV"),
    (b"GIF8", "a GIF picture. Give the table as CSV"),
    (b"PK\x03\x04", "an Excel workbook or ZIP archive. Save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV"),
    (b"\x1f\x8b", "compressed with gzip. Unpack it first"),
    (b"BZh", "compressed with bzip2. Unpack it first"),
    (b"\xfd7zXZ", "compressed with xz. Unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd. Unpack it first"),
    (b"SQLite format 3", "an SQLite database. Export the table as CSV"),
    (b"\x89HDF", "HDF5 or NetCDF. Convert it to CSV or Parquet"),
    (b"CDF\x01", "NetCDF. Convert it to CSV or Parquet"),
    (b"CDF\x02", "NetCDF. Convert it to CSV or Parquet"),
    (b"GRIB", "GRIB. Convert it to CSV or Parquet"),
    (b"ARROW1", "an Arrow file. Convert it to Parquet"),
)
_MARKUP = (
    (
        ("<!doctype html", "<html"),
        "a web page, perhaps an error page saved by a download. Fetch the data again",
    ),
    (("<?xml", "<"), "XML. Convert it to CSV"),
    (("{", "["), "JSON. Convert it to CSV or Parquet"),
)
_CONTROL = bytes(byte for byte in range(32) if byte < 9 or byte > 13)
_DATE_LIKE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


@dataclass(frozen=True)
class Table:
    """A file's rows. frame: texts or numbers for CSV, the stored types for Parquet.  rows: the row of the file each
    stands in. In a CSV the header is row 1; in Parquet the first row is 1.

    path: the name to show.  memo: what was found out about a column, so that it is found out once.
    """

    path: Path
    frame: pl.DataFrame
    rows: pl.Series
    separator: str | None = None
    encoding: str = "utf-8"
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def need(self, column: str, key: str) -> str:
        """The column's name. Raises ConfigError with the nearest one if the file has none, or two, of that
        name.
        """
        names = self.frame.columns
        if column not in names:
            wrong = next((s for s in SEPARATORS if len(names) == 1 and s in names[0] and s != self.separator), None)
            hint = f" Perhaps the separator is {wrong!r}." if wrong else ""
            raise ConfigError(f"{self.path}: {key}: {unknown_name('column', column, names)}{hint}")
        if f"{column}_duplicated_0" in names:
            raise ConfigError(f"{self.path}: {key}: two columns are named '{column}'. Rename one of them.")
        return column


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def read(
    path: Path,
    *,
    separator: str | None = None,
    max_mb: float,
    repairs: list[str],
    texts: Collection[str] | None = None,
) -> Table:
    """The table in a file; see `parse`. Raises SourceError if it is absent or larger than `max_mb` (checked before
    reading), and as `parse` does.
    """
    _check_present(path)
    megabytes = path.stat().st_size / 1e6
    if megabytes > max_mb:
        raise SourceError(f"{path}: {_too_large(megabytes, max_mb)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from None
    return parse(data, path, separator=separator, max_mb=max_mb, repairs=repairs, texts=texts)


def parse(
    data: bytes,
    path: Path,
    *,
    separator: str | None = None,
    max_mb: float,
    repairs: list[str],
    texts: Collection[str] | None = None,
    most_columns: int | None = None,
) -> Table:
    """The table in the bytes of a CSV or Parquet; `path` is the name that messages show.

    texts: columns to keep as they are written while others may be read as numbers; None keeps all.
    Raises SourceError if they are empty, ragged, without header, wider than `most_columns`, or no CSV or Parquet.
    """
    if data.startswith(b"PAR1"):
        return _parquet(path, data, max_mb, most_columns)
    kind = _what_else(data)
    if kind:
        raise SourceError(f"{path}: is {kind}.")
    encoding, data = _as_utf8(path, data, repairs)
    data = data.lstrip(b"\r\n")
    if not data or data.isspace():
        raise SourceError(f"{path}: is empty. Write the export again.")
    header, separator = _header(path, data, separator, most_columns)
    if texts is not None:
        frame = numeric.with_numbers(data, header, separator, texts)
        if frame is not None:
            rows = pl.Series("row", np.arange(2, frame.height + 2, dtype=np.int64))
            return Table(path, frame, rows, separator, encoding)
    return _csv(path, data, header, separator, encoding, repairs)


def _check_present(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise SourceError(f"{path}: is a folder. Give the file in it.")
    if path.exists():
        raise SourceError(f"{path}: is not a regular file. Give a CSV or Parquet file.")
    if not path.parent.is_dir():
        raise SourceError(f"{path}: no such file; the folder {path.parent} does not exist either. Correct the path.")
    there = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    near = get_close_matches(path.name, there, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Nothing in {path.parent} has a similar name."
    raise SourceError(f"{path}: no such file. {hint}")


def _too_large(megabytes: float, max_mb: float) -> str:
    return (
        f"is {megabytes:,.0f} MB, more than the limit of {max_mb:g} MB. "
        "Keep the columns and years that are needed, or raise max_mb in the mapping."
    )


def _parquet(path: Path, data: bytes, max_mb: float, most_columns: int | None) -> Table:
    try:
        scan = pl.scan_parquet(io.BytesIO(data))
        width = len(scan.collect_schema())
        _check_width(path, width, most_columns)
        cells = scan.select(pl.len()).collect().item() * width
        # compressed columns can be a thousand times smaller than what they unpack to
        if cells * 8 / 1e6 > max_mb:
            raise SourceError(f"{path}: unpacked, it {_too_large(cells * 8 / 1e6, max_mb)}")
        frame = scan.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}: is a broken Parquet file ({reason}). Write or fetch it again.") from None
    if frame.is_empty():
        raise SourceError(f"{path}: has columns but no rows. Write the export again.")
    return Table(path, frame, pl.Series("row", np.arange(1, frame.height + 1, dtype=np.int64)))


def _check_width(path: Path, width: int, most_columns: int | None) -> None:
    if most_columns is not None and width > most_columns:
        raise SourceError(f"{path}: has {width:,} columns, more than {most_columns:,}. Keep those that are needed.")


def _what_else(data: bytes) -> str | None:
    """What the bytes seem to be instead of a CSV, with the remedy; None if they may be one."""
    for start, kind in _KINDS:
        if data.startswith(start):
            return kind
    head = data[:4096]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _wide(head):
        return None
    if head != head.translate(None, _CONTROL):
        return "binary data, not text. Give a CSV or Parquet file"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower().decode("latin-1")
    return next((kind for starts, kind in _MARKUP if text.startswith(starts)), None)


def _wide(head: bytes) -> str | None:
    """utf-16-le or utf-16-be where every other byte of plain text is zero."""
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[offset::2], head[1 - offset :: 2]
        if len(head) > 3 and zeros.count(0) > 0.9 * len(zeros) and others.count(0) == 0:
            return encoding
    return None


def _as_utf8(path: Path, data: bytes, repairs: list[str]) -> tuple[str, bytes]:
    """The bytes in UTF-8 without byte order mark, and the encoding they came in."""
    if data.startswith(codecs.BOM_UTF8):
        data = data.removeprefix(codecs.BOM_UTF8)
    wide = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _wide(data[:4096])
    if wide:
        try:
            return wide, data.decode(wide).encode()
        except UnicodeDecodeError:
            raise SourceError(f"{path}: is broken UTF-16 text. Save it as UTF-8.") from None
    if data.isascii():
        return "utf-8", data
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), 1 << 20):
            decoder.decode(data[start : start + (1 << 20)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        repairs.append(f"{path}: is not UTF-8, read as latin-1 (Western European).")
        return "latin-1", data.decode("latin-1").encode()
    return "utf-8", data


def _header(path: Path, data: bytes, separator: str | None, most_columns: int | None) -> tuple[list[str], str]:
    """The names in row 1 and what separates them."""
    end = data.find(b"\n")
    line = data[: end if end >= 0 else len(data)].decode().rstrip("\r")
    separator = separator or max(SEPARATORS, key=line.count)
    _check_width(path, line.count(separator) + 1, most_columns)
    try:
        header = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
    except csv.Error as error:
        raise SourceError(f"{path}: row 1 cannot be read ({error}). Write one row per line.") from None
    if any(_DATE_LIKE.match(cell) for cell in header) or all(_is_number(cell) for cell in header):
        raise SourceError(f"{path}: row 1 holds values ('{line[:40]}'), not the names of columns. Add a header row.")
    return header, separator


def _csv(path: Path, data: bytes, header: list[str], separator: str, encoding: str, repairs: list[str]) -> Table:
    try:
        frame = pl.read_csv(data, separator=separator, infer_schema=False, truncate_ragged_lines=False)
    except pl.exceptions.PolarsError as error:
        _check_ragged(path, data, separator, len(header))
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}: cannot be read as CSV ({reason}). Look for an unclosed quote.") from None
    if frame.is_empty():
        raise SourceError(f"{path}: has a header but no rows. Write the export again.")
    # counting separators is a hundred times faster than counting fields, and settles nearly every file
    start = data.find(b"\n") + 1
    if data.find(b'"', start) >= 0 or numeric.separators(data, start, separator) != (len(header) - 1) * frame.height:
        _check_ragged(path, data, separator, len(header))
    frame = frame.rename({name: name.strip() for name in frame.columns if name.strip() not in frame.columns})
    rows = pl.Series("row", np.arange(2, frame.height + 2, dtype=np.int64))
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if blank.any():
        count, first = int(blank.sum()), rows.filter(blank)[0]
        repairs.append(f"{path}: {counted(count, 'blank row')} left out (first row {first}).")
        frame, rows = frame.filter(~blank), rows.filter(~blank)
        if frame.is_empty():
            raise SourceError(f"{path}: has a header and {counted(count, 'blank row')}. Write the export again.")
    return Table(path, frame, rows, separator, encoding)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ".") or 0)
    except ValueError:
        return False
    return True


def _check_ragged(path: Path, data: bytes, separator: str, width: int) -> None:
    """Raises SourceError for the first row that has fewer or more fields than the header. Blank rows are
    none.
    """
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), delimiter=separator)
    try:
        for fields in lines:
            if fields and len(fields) != width:
                raise SourceError(
                    f"{path}: row {lines.line_num} has {counted(len(fields), 'field')}, the header has "
                    f"{width}. Complete or drop the row; if numbers have decimal commas, "
                    "the separator must be another character."
                )
    except csv.Error as error:
        raise SourceError(f"{path}: row {lines.line_num} cannot be read ({error}). Correct it.") from None
