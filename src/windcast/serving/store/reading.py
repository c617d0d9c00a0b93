"""Reading back: every version in a range, the newest of each time, and pages of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, Table, select, tuple_

from windcast.data.farm import Times
from windcast.serving.store.engine import Database
from windcast.serving.store.farms import _find
from windcast.serving.store.records import Page, maybe_moment, micros, moment
from windcast.serving.store.schema import power, weather

STAMP = pl.Datetime("us", "UTC")
GAP = 86_400_000_000  # times further apart than a day are read by two statements
BLOCK = 500


class Reading(Database):
    def power(self, farm: str, start: datetime, end: datetime, *, revision: int | None = None) -> pl.DataFrame:
        """Every version of the power at start < time ≤ end: time, available_at, power_mw, in that order of rows.

        revision: only what was stored by then; such a reading never changes.
        """
        with self._reading() as connection:
            rows = _versions(connection, power, _find(connection, farm).id, start, end, revision)
        return _power_frame(rows)

    def weather(self, farm: str, start: datetime, end: datetime, *, revision: int | None = None) -> pl.DataFrame:
        """Every version of the weather at start < valid_time ≤ end: valid_time, available_at, then the variables."""
        with self._reading() as connection:
            row = _find(connection, farm)
            rows = _versions(connection, weather, row.id, start, end, revision)
        return _weather_frame(rows, orjson.loads(row.variables))

    def power_page(
        self,
        farm: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        cursor: datetime | None = None,
        limit: int = 50,
    ) -> Page:
        """The newest version of each time that was known at `known_at`: columns as `power`, one row a time.

        cursor: `next` of the page before.
        """
        with self._reading() as connection:
            found = _find(connection, farm)
            after = max(micros(start), micros(cursor or start))
            rows, more = _page(connection, power, found.id, known_at, after, micros(end), limit)
        return Page(rows=_power_frame(rows), next=more)

    def weather_page(
        self,
        farm: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        cursor: datetime | None = None,
        limit: int = 50,
    ) -> Page:
        """As `power_page`, columns as `weather`."""
        with self._reading() as connection:
            found = _find(connection, farm)
            after = max(micros(start), micros(cursor or start))
            rows, more = _page(connection, weather, found.id, known_at, after, micros(end), limit)
        return Page(rows=_weather_frame(rows, orjson.loads(found.variables)), next=more)

    def newest(self, farm: str) -> tuple[datetime | None, datetime | None]:
        """The newest time whose power is known, and the newest available_at of the weather; None where there is none.

        Read from the farm's row: the number of values does not matter.
        """
        with self._reading() as connection:
            row = _find(connection, farm)
        return maybe_moment(row.newest_power), maybe_moment(row.newest_weather)

    def truth(self, farm: str, times: Times) -> NDArray[np.float32]:
        """The newest version of the power at each time, in the shape of `times`; NaN where none is known."""
        wanted, places = np.unique(times.astype("datetime64[us]").astype(np.int64), return_inverse=True)
        values = np.full(len(wanted), np.nan, np.float32)
        with self._reading() as connection:
            rows = list(around(connection, power, _find(connection, farm).id, wanted.tolist()))
        newest = {time: value for time, _, value in rows}  # the last of equal times stays
        for place, time in enumerate(wanted.tolist()):
            value = newest.get(time)
            values[place] = np.nan if value is None else value
        return values[places].reshape(times.shape)


def around(connection: Connection, table: Table, farm_id: int, times: Sequence[int]) -> Iterator[Any]:
    """(time, available_at, value) of every version of the ascending `times`, and of some times between them.

    Read by ranges: for a list of times PostgreSQL may read the whole farm where it has no statistics yet.
    """
    query = _columns(table, farm_id)
    first = 0
    for place in range(1, len(times) + 1):
        if place == len(times) or times[place] - times[place - 1] > GAP:
            yield from connection.execute(query.where(table.c.time.between(times[first], times[place - 1])))
            first = place


def newest_known(connection: Connection, farm_id: int) -> int | None:
    """The newest time whose newest version has a value, found from the end of the index backwards."""
    query = (
        select(power.c.time, power.c.value)
        .where(power.c.farm_id == farm_id)
        .order_by(power.c.time.desc(), power.c.available_at.desc())
        .limit(BLOCK)
    )
    rows = connection.execute(query).all()
    while rows:
        for before, row in pairwise([(None, None), *rows]):
            if row[0] != before[0] and row[1] is not None:
                return int(row[0])
        rows = connection.execute(query.where(power.c.time < rows[-1][0])).all()
    return None


def _columns(table: Table, farm_id: int) -> Select[Any]:
    """Versions of a farm's values by time and available_at."""
    columns = select(table.c.time, table.c.available_at, table.c.value)
    return columns.where(table.c.farm_id == farm_id).order_by(table.c.time, table.c.available_at)


def _versions(
    connection: Connection, table: Table, farm_id: int, start: datetime, end: datetime, revision: int | None
) -> Sequence[Any]:
    query = _columns(table, farm_id).where(table.c.time > micros(start), table.c.time <= micros(end))
    if revision is not None:
        query = query.where(table.c.revision <= revision)
    return connection.execute(query).all()


def _page(
    connection: Connection, table: Table, farm_id: int, known_at: datetime | None, after: int, end: int, limit: int
) -> tuple[Sequence[Any], datetime | None]:
    """The newest version of each time, and where the next page begins.

    Read in blocks along the index, for a GROUP BY may read the whole farm; ends when one time more than the page
    shows that another follows.
    """
    block = limit + BLOCK
    query = _columns(table, farm_id).where(table.c.time <= end).limit(block)
    if known_at is not None:
        query = query.where(table.c.available_at <= micros(known_at))
    newest: dict[int, Any] = {}
    rows = connection.execute(query.where(table.c.time > after)).all()
    while rows:
        newest.update((row[0], row) for row in rows)
        if len(newest) > limit or len(rows) < block:
            break
        place = tuple_(table.c.time, table.c.available_at)
        rows = connection.execute(query.where(place > tuple_(*rows[-1][:2]))).all()
    page = list(newest.values())[:limit]
    return page, moment(page[-1][0]) if len(newest) > limit else None


def _power_frame(rows: Sequence[Any]) -> pl.DataFrame:
    times, available_at, values = _transposed(rows)
    series = [_stamps("time", times), _stamps("available_at", available_at)]
    return pl.DataFrame([*series, pl.Series("power_mw", values, pl.Float64)])


def _weather_frame(rows: Sequence[Any], variables: Sequence[str]) -> pl.DataFrame:
    valid_times, available_at, texts = _transposed(rows)
    table = _floats(orjson.loads("[" + ",".join(texts) + "]")).reshape(len(texts), len(variables))
    series = [_stamps("valid_time", valid_times), _stamps("available_at", available_at)]
    values = [pl.Series(name, table[:, column], nan_to_null=True) for column, name in enumerate(variables)]
    return pl.DataFrame([*series, *values])


def _transposed(rows: Sequence[Any]) -> tuple[Sequence[int], Sequence[int], Sequence[Any]]:
    times, available_at, values = zip(*rows, strict=True) if rows else ((), (), ())
    return times, available_at, values


def _stamps(name: str, micros: Sequence[int]) -> pl.Series:
    return pl.Series(name, np.array(micros, np.int64)).cast(STAMP)


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    """Numbers, with NaN for None."""
    return np.array(values, np.float64)
