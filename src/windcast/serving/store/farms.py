"""Farms: put, read, listed by name."""

import json
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Row, select

from windcast.errors import unknown_name
from windcast.serving.store.engine import Database
from windcast.serving.store.errors import UnknownFarm, VersionConflict
from windcast.serving.store.records import MICROSECOND, FarmRecord, micros, moment
from windcast.serving.store.schema import farms

FIXED = ("capacity_mw", "resolution", "variables", "weather_kind")
LISTED = 20  # farms that an error names at most


class Farms(Database):
    def put_farm(self, record: FarmRecord) -> FarmRecord:
        """Keep a farm, or change the settings of one; returns it as stored. Its revision and creation time stay.

        Raises VersionConflict where values are stored already and the capacity, resolution, variables or kind of
        weather that they were stored under would change.
        """
        settings = _settings(record)
        created = micros(record.created or datetime.now(UTC))
        with self._writing() as connection:
            # each dialect has its own, and PostgreSQL's is slow to import
            dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
            insert = dialect.insert(farms).values(**settings, created=created, revision=0)
            connection.execute(insert.on_conflict_do_nothing(index_elements=["name"]))
            row = _find(connection, record.name, lock=True)
            stored = _record(row)
            for name in FIXED:
                before, after = getattr(stored, name), getattr(record, name)
                if stored.revision and before != after:
                    raise VersionConflict(
                        f"{record.name}: {name} is {before} and cannot become {after}, for values are stored "
                        "under it. Put a farm of another name."
                    )
            connection.execute(farms.update().where(farms.c.id == row.id).values(**settings))
            return _record(_find(connection, record.name))

    def farm(self, name: str) -> FarmRecord:
        """Raises UnknownFarm, naming the nearest that is known."""
        with self._reading() as connection:
            return _record(_find(connection, name))

    def farms(self, *, after: str | None = None, limit: int = 50) -> list[FarmRecord]:
        """Farms in the order of their names, from the one after `after`."""
        query = select(farms).order_by(farms.c.name).limit(limit)
        if after is not None:
            query = query.where(farms.c.name > after)
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query)]


def _find(connection: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    """The farm's row; locked, no other transaction writes to this farm until ours ends."""
    query = select(farms).where(farms.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise UnknownFarm(_unknown(name, list(connection.scalars(select(farms.c.name)))))
    return row


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return f"unknown farm '{name}': the store has none. Put it first."
    if len(known) <= LISTED:
        return unknown_name("farm", name, known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown farm '{name}'." + (f" Did you mean '{near[0]}'?" if near else "")


def _settings(record: FarmRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "title": record.title,
        "bundle": record.bundle,
        "capacity_mw": record.capacity_mw,
        "resolution": record.resolution // MICROSECOND,
        "variables": json.dumps(record.variables),
        "weather_kind": record.weather_kind,
        "interval": record.interval,
        "attribution": record.attribution,
        "grace": record.grace // MICROSECOND,
        "issue_on_arrival": record.issue_on_arrival,
        "issue_every": None if record.issue_every is None else record.issue_every // MICROSECOND,
    }


def _record(row: Row[Any]) -> FarmRecord:
    return FarmRecord(
        name=row.name,
        title=row.title,
        bundle=row.bundle,
        capacity_mw=row.capacity_mw,
        resolution=timedelta(microseconds=row.resolution),
        variables=tuple(json.loads(row.variables)),
        weather_kind=row.weather_kind,
        interval=row.interval,
        attribution=row.attribution,
        grace=timedelta(microseconds=row.grace),
        issue_on_arrival=row.issue_on_arrival,
        issue_every=None if row.issue_every is None else timedelta(microseconds=row.issue_every),
        revision=row.revision,
        created=moment(row.created),
    )
