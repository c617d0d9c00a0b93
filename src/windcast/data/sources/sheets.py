"""A file that nobody has described, sorted into columns of times and columns of numbers."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from windcast.data.sources import names, numeric, reading, stamps, values
from windcast.data.sources.mapping import Decimal
from windcast.data.sources.reading import Table
from windcast.errors import DataContractError, SourceError


@dataclass(frozen=True)
class Sheet:
    """A table sorted into columns of times and columns of numbers; refused: why a column is neither."""

    table: Table
    file: str
    times: dict[str, tuple[stamps.Writing, ...]]
    numbers: dict[str, pl.Series]
    decimal: Decimal | None
    refused: dict[str, DataContractError]

    @classmethod
    def read(cls, path: Path, folder: Path, max_mb: float, said: list[str]) -> "Sheet":
        table = reading.read(path, max_mb=max_mb, repairs=said, texts=())
        return cls.of(table, os.path.relpath(path, folder), said)

    @classmethod
    def of(cls, table: Table, file: str, said: list[str]) -> "Sheet":
        """The table sorted; `file` is how sentences and mappings call it. Raises SourceError if none is a time."""
        decimal = _decimal(table, said)
        if table.separator is not None:
            said.append(f"{table.path.name}: columns are separated by {table.separator!r}, as row 1 shows.")
        times = {c: ways for c in table.frame.columns if (ways := _writing(table, c)) is not None}
        if not times:
            raise SourceError(
                f"{table.path}: no column reads as time. The columns are {', '.join(table.frame.columns)}. Write "
                "times like "
                "2020-01-31 13:00."
            )
        found, refused = {}, {}
        for column in table.frame.columns:
            if column not in times:
                try:
                    series = values.numbers(table, column, decimal=decimal or ".")
                except DataContractError as error:
                    refused[column] = error
                    continue
                if series.null_count() < len(series):
                    found[column] = values.without_sentinels(table, column, series, [])
        return cls(table, file, times, found, decimal, refused)

    def measured_time(self) -> str:
        return max(self.times, key=lambda c: ("utc" in c.lower(), not names.is_issue_time(c)))

    def layout(self, time: str, said: list[str]) -> dict[str, Any]:
        """How the file is written, in the words of a mapping section."""
        ways = self.times[time]
        known: dict[str, Any] = {"decimal": self.decimal}
        if self.table.separator not in (None, ","):
            known["separator"] = self.table.separator
        if ways and not ways[0].format.startswith(("%Y-", "unix")):
            known["format"] = ways[0].format
        if ways:
            doubt = f"; it could also be {ways[1].format}: confirm" if len(ways) > 1 else ""
            first = self.table.frame[time][0]
            said.append(f"{self.file}: times stand in column '{time}', written {ways[0].format} ('{first}'){doubt}.")
        return known


def _writing(table: Table, column: str) -> tuple[stamps.Writing, ...] | None:
    """The ways to read a column as time, none needed for a stored type; None if it is no time."""
    raw = table.frame[column]
    if raw.dtype in (pl.Datetime, pl.Date):
        return ()
    if raw.dtype != pl.String or raw.null_count():
        return None
    digits_only = bool(raw.head(100).str.contains(r"^\d+$").all())
    if digits_only and not any(word in column.lower() for word in numeric.TIME_WORDS):
        return None
    return stamps.ways_of(table, column) or None


def _decimal(table: Table, said: list[str]) -> Decimal | None:
    if table.separator in (None, ","):
        return None
    for column in table.frame.columns:
        if table.frame[column].dtype != pl.String:
            continue
        hit = table.frame[column].str.contains(r"^\s*[+-]?\d+,\d+\s*$").fill_null(False)
        if hit.any():
            text = table.frame[column].filter(hit)[0].strip()
            said.append(f"{table.path.name}: numbers have a decimal comma, such as '{text}' in column '{column}'.")
            return ","
    return None
