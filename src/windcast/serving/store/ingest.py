"""Taking in batches: one transaction each, all of it or nothing, in an order that all readers agree on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import ARRAY, Connection, Insert, Table, func, insert, literal, select
from sqlalchemy import Row as TableRow

from windcast.data.farm import Times
from windcast.errors import DataContractError
from windcast.serving.store.farms import Farms, _find
from windcast.serving.store.reading import around, newest_known
from windcast.serving.store.records import Receipt, micros
from windcast.serving.store.schema import farms, power, weather
from windcast.serving.store.versions import Known, Row, newest, settle

VERSION = ("time", "available_at", "value")
NOT_A_TIME = np.iinfo(np.int64).min


class Ingest(Farms):
    def append_power(
        self,
        farm: str,
        times: Times,
        power_mw: NDArray[np.floating],
        *,
        available_at: Times | datetime | None = None,
        received_at: datetime,
    ) -> Receipt:
        """Keep N values of a farm's power: times [N] (ends of intervals), power_mw [N] (NaN: missing, or taken back).

        available_at: when each became known to its owner, [N] or one for all; None or NaT where that was not said:
        it counts as known from received_at then, and a value equal to the newest version is a repetition.
        Durable when this returns. Raises VersionConflict, UnknownFarm, StoreUnavailable, and DataContractError where
        lengths differ or a value is infinite; then nothing of the batch is stored.
        """
        values = np.asarray(power_mw, np.float64) + 0.0  # SQLite knows no −0.0
        _check(f"power of {farm}", times, values, width=None)
        rows = _rows(times, _plain(values), available_at, received_at)
        with self._writing() as connection:
            row = _find(connection, farm, lock=True)
            known: Known[float | None] = _known(connection, power, row.id, [r.time for r in rows])
            settled = settle(rows, known, what=f"power of {farm}")
            if settled.added:
                _insert(connection, power, row, received_at, [(r.time, r.available_at, r.value) for r in settled.added])
                _newest_power(connection, row, known)
            return _receipt(row, len(settled.added), settled.corrected, settled.repeated)

    def append_weather(
        self,
        farm: str,
        valid_times: Times,
        values: NDArray[np.floating],
        *,
        available_at: Times | datetime | None = None,
        received_at: datetime,
    ) -> Receipt:
        """Keep N rows of a farm's weather: valid_times [N], values [N, V] in the order of its variables, NaN: missing.

        A row is one version of all its variables. Otherwise as `append_power`.
        """
        table = np.asarray(values, np.float64)
        with self._writing() as connection:
            row = _find(connection, farm, lock=True)
            _check(f"weather of {farm}", valid_times, table, width=len(orjson.loads(row.variables)))
            rows = _rows(valid_times, _plain(table), available_at, received_at)
            known: Known[list[float | None]] = _known(connection, weather, row.id, [r.time for r in rows])
            settled = settle(rows, known, what=f"weather of {farm}")
            if settled.added:
                texts = [(r.time, r.available_at, orjson.dumps(r.value).decode()) for r in settled.added]
                _insert(connection, weather, row, received_at, texts)
                latest = max(r.available_at for r in settled.added)
                if row.newest_weather is None or latest > row.newest_weather:
                    connection.execute(farms.update().where(farms.c.id == row.id).values(newest_weather=latest))
            return _receipt(row, len(settled.added), settled.corrected, settled.repeated)


def _check(what: str, times: Times, values: NDArray[np.float64], *, width: int | None) -> None:
    shape = (len(times),) if width is None else (len(times), width)
    if values.shape != shape:
        raise DataContractError(f"{what}: {values.shape} values for {shape}. Give one row a time, in the farm's order.")
    if np.isnat(times).any():
        raise DataContractError(f"{what}: {int(np.isnat(times).sum())} times are missing. Give every value its time.")
    infinite = np.isinf(np.atleast_2d(values.T)).any(axis=0)
    if infinite.any():
        first = times[infinite][0]
        raise DataContractError(f"{what}: {int(infinite.sum())} rows are infinite, the first at {first}. Send null.")


def _plain(values: NDArray[np.float64]) -> list[Any]:
    """As Python numbers, None for NaN."""
    plain = values.astype(object)
    plain[np.isnan(values)] = None
    return list(plain.tolist())


def _rows(
    times: Times, values: list[Any], available_at: Times | datetime | None, received_at: datetime
) -> list[Row[Any]]:
    received = micros(received_at)
    stamps = times.astype("datetime64[us]").astype(np.int64).tolist()
    if isinstance(available_at, np.ndarray):
        known = available_at.astype("datetime64[us]").astype(np.int64).tolist()
    else:
        known = [NOT_A_TIME if available_at is None else micros(available_at)] * len(stamps)
    return [
        Row(time, received if at == NOT_A_TIME else at, at != NOT_A_TIME, value)
        for time, at, value in zip(stamps, known, values, strict=True)
    ]


def _known(connection: Connection, table: Table, farm_id: int, times: Sequence[int]) -> Known[Any]:
    """Every stored version of these times."""
    known: Known[Any] = {time: {} for time in times}
    for time, available_at, value in around(connection, table, farm_id, sorted(known)):
        if time in known:
            known[time][available_at] = orjson.loads(value) if table is weather else value
    return known


def _insert(
    connection: Connection, table: Table, farm: TableRow[Any], received_at: datetime, rows: list[tuple[int, int, Any]]
) -> None:
    """Store versions under the farm's next revision, and make that its revision."""
    revision = farm.revision + 1
    common = {"farm_id": farm.id, "received_at": micros(received_at), "revision": revision}
    if connection.dialect.name == "postgresql":
        connection.execute(_from_arrays(table, common, dict(zip(VERSION, zip(*rows, strict=True), strict=True))))
    else:
        connection.execute(insert(table), [common | dict(zip(VERSION, row, strict=True)) for row in rows])
    connection.execute(farms.update().where(farms.c.id == farm.id).values(revision=revision))


def _from_arrays(table: Table, common: dict[str, int], columns: dict[str, Any]) -> Insert:
    """An insert that takes each column as one array: on PostgreSQL several times as fast as row by row."""
    fixed = [literal(value, table.c[name].type) for name, value in common.items()]
    arrays = [func.unnest(literal(list(column), ARRAY(table.c[name].type))) for name, column in columns.items()]
    return insert(table).from_select([*common, *columns], select(*fixed, *arrays))


def _newest_power(connection: Connection, farm: TableRow[Any], touched: Known[float | None]) -> None:
    """Keep the farm's newest time with a known value; looked up only where a batch took back the newest one."""
    latest = max((time for time, versions in touched.items() if newest(versions) is not None), default=None)
    stored: int | None = farm.newest_power
    if stored is not None and stored in touched and newest(touched[stored]) is None and (latest or stored) <= stored:
        latest = newest_known(connection, farm.id)
    elif stored is not None and (latest is None or latest < stored):
        return
    if latest != stored:
        connection.execute(farms.update().where(farms.c.id == farm.id).values(newest_power=latest))


def _receipt(farm: TableRow[Any], added: int, corrected: int, repeated: int) -> Receipt:
    revision = farm.revision + bool(added)
    return Receipt(revision=revision, added=added, corrected=corrected, repeated=repeated)
