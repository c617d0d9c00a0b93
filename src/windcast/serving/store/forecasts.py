"""Forecasts issued: kept with the exact bits, found by id, by issue time, newest first."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Column, Row, Select, func, insert, select, tuple_

from windcast.serving.store.engine import Database
from windcast.serving.store.farms import _find
from windcast.serving.store.records import ForecastEntry, StoredForecast, micros, moment
from windcast.serving.store.schema import farms, forecasts

BLOBS = ("quantiles", "rung", "state")
ENTRY: list[Column[Any]] = [column for column in forecasts.c if column.name not in BLOBS]
LAST = (forecasts.c.issue_time.desc(), forecasts.c.id.desc())


class Forecasts(Database):
    def add_forecast(
        self,
        farm: str,
        *,
        issue_time: datetime,
        made_at: datetime,
        revision: int,
        bundle: str,
        bundle_checksum: str,
        after: int | None,
        values: NDArray[np.float32],
        rung: NDArray[np.int8],
        state: bytes | None,
        document: dict[str, Any],
    ) -> StoredForecast:
        """Keep a forecast: values [H, Q] MW, rung [H]. Durable when this returns.

        Where one of the same farm, issue time, revision and bundle_checksum is kept already, that one is returned
        and this one dropped: of two workers that issue at once, both answer with the first.
        """
        row = {
            "issue_time": micros(issue_time),
            "made_at": micros(made_at),
            "revision": revision,
            "bundle": bundle,
            "bundle_checksum": bundle_checksum,
            "after": after,
            "quantiles": np.ascontiguousarray(values, "<f4").tobytes(),
            "rung": np.ascontiguousarray(rung, np.int8).tobytes(),
            "state": state,
            "document": orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        }
        with self._writing() as connection:
            mine = forecasts.c.farm_id == (farm_id := _find(connection, farm, lock=True).id)
            same = [forecasts.c[name] == row[name] for name in ("issue_time", "revision", "bundle_checksum")]
            first = connection.execute(select(forecasts).where(mine, *same)).one_or_none()
            if first is None:
                query = insert(forecasts).values(farm_id=farm_id, **row).returning(forecasts)
                first = connection.execute(query).one()
        return _stored(first, farm)

    def forecast(self, farm: str, id: int) -> StoredForecast | None:
        """The farm's forecast of this id; None where it has none."""
        return self._one(farm, select(forecasts).where(forecasts.c.id == id))

    def latest_forecast(self, farm: str) -> StoredForecast | None:
        """The last made of the newest issue time; None before the first."""
        return self._one(farm, select(forecasts).order_by(*LAST).limit(1))

    def forecast_at(self, farm: str, issue_time: datetime) -> StoredForecast | None:
        """The last made of an issue time; None where none was issued."""
        at = forecasts.c.issue_time == micros(issue_time)
        return self._one(farm, select(forecasts).where(at).order_by(*LAST).limit(1))

    def forecast_before(self, farm: str, issue_time: datetime, *, bundle_checksum: str) -> StoredForecast | None:
        """The last made of the newest issue time before this one, by that bundle: whose calibration goes on."""
        earlier = (forecasts.c.issue_time < micros(issue_time), forecasts.c.bundle_checksum == bundle_checksum)
        return self._one(farm, select(forecasts).where(*earlier).order_by(*LAST).limit(1))

    def forecasts(self, farm: str, *, before: int | None = None, limit: int = 50) -> list[ForecastEntry]:
        """Newest issue time first, and of one issue time the last made first; from the one that follows id `before`."""
        query = select(*ENTRY).order_by(*LAST).limit(limit)
        if before is not None:
            key = tuple_(forecasts.c.issue_time, forecasts.c.id)
            since = select(forecasts.c.issue_time, forecasts.c.id).where(forecasts.c.id == before).scalar_subquery()
            query = query.where(key < since)
        return [ForecastEntry(**_entry(row, farm)) for row in self._all(farm, query)]

    def forecasts_between(self, farm: str, start: datetime, end: datetime) -> list[StoredForecast]:
        """The forecasts of every issue time with start < issue_time ≤ end, in the order in which they were made.

        Without those that were made again within the farm's first step: no lead of theirs counts.
        """
        inside = (forecasts.c.issue_time > micros(start), forecasts.c.issue_time <= micros(end))
        later = forecasts.alias()
        same = (later.c.farm_id == forecasts.c.farm_id, later.c.issue_time == forecasts.c.issue_time)
        in_time = (farms.c.id == later.c.farm_id, later.c.made_at < later.c.issue_time + farms.c.resolution)
        replaced = select(1).where(*same, later.c.id > forecasts.c.id, *in_time).exists()
        query = select(forecasts).where(*inside, ~replaced).order_by(forecasts.c.issue_time, forecasts.c.id)
        return [_stored(row, farm) for row in self._all(farm, query)]

    def pending(self) -> list[str]:
        """Names of the farms that took in values after what their latest forecast saw, or that have none yet."""
        seen = (
            select(forecasts.c.revision)
            .where(forecasts.c.farm_id == farms.c.id)
            .order_by(*LAST)
            .limit(1)
            .correlate(farms)
            .scalar_subquery()
        )
        query = select(farms.c.name).where(farms.c.revision > func.coalesce(seen, 0)).order_by(farms.c.name)
        with self._reading() as connection:
            return list(connection.scalars(query))

    def _one(self, farm: str, query: Select[Any]) -> StoredForecast | None:
        rows = self._all(farm, query)
        return _stored(rows[0], farm) if rows else None

    def _all(self, farm: str, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._reading() as connection:
            return connection.execute(query.where(forecasts.c.farm_id == _find(connection, farm).id)).all()


def _entry(row: Row[Any], farm: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "farm": farm,
        "issue_time": moment(row.issue_time),
        "made_at": moment(row.made_at),
        "revision": row.revision,
        "bundle": row.bundle,
        "bundle_checksum": row.bundle_checksum,
        "after": row.after,
        "document": orjson.loads(row.document),
    }


def _stored(row: Row[Any], farm: str) -> StoredForecast:
    rung = np.frombuffer(row.rung, np.int8)
    values = np.frombuffer(row.quantiles, "<f4").astype(np.float32, copy=False).reshape(len(rung), -1)
    return StoredForecast(**_entry(row, farm), values=values, rung=rung, state=row.state)
