"""What goes into the store and comes out of it. Times are timezone-aware datetimes in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.farm import Interval, WeatherKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class FarmRecord:
    """A farm as the service knows it.

    bundle: name of the bundle that forecasts it.  variables: weather columns, in the order in which they are stored.
    grace: how late a value may come and still count for the issue time before it.
    issue_every: issue by the clock, besides or instead of issuing when values arrive.
    revision: number of batches accepted; created: when it was first put. Both are the store's, not the caller's.
    """

    name: str
    title: str
    bundle: str
    capacity_mw: float
    resolution: timedelta
    variables: tuple[str, ...]
    weather_kind: WeatherKind
    interval: Interval = "end"
    attribution: str = ""
    grace: timedelta = timedelta(0)
    issue_on_arrival: bool = True
    issue_every: timedelta | None = None
    revision: int = 0
    created: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a batch.

    revision: the farm's, after the batch.  added: versions stored.  corrected: those of them that replaced another
    value.  repeated: rows that said nothing that was not stored already.
    """

    revision: int
    added: int
    corrected: int
    repeated: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """Rows of a page, and the cursor of the one that follows; None at the end."""

    rows: pl.DataFrame
    next: datetime | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastEntry:
    """A forecast in a list: what it is, without its numbers.

    after: id of the forecast whose calibration it continued.  document: whatever the service said about its inputs.
    """

    id: int
    farm: str
    issue_time: datetime
    made_at: datetime
    revision: int
    bundle: str
    bundle_checksum: str
    after: int | None
    document: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredForecast(ForecastEntry):
    """A forecast with the bits that were issued.  values [H, Q] float32, rung [H] int8, state: calibration after it."""

    values: NDArray[np.float32]
    rung: NDArray[np.int8]
    state: bytes | None


def micros(time: datetime) -> int:
    """Microseconds since 1970 in UTC; a time without a zone is read as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def moment(time: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + timedelta(microseconds=time)


def maybe_moment(time: int | None) -> datetime | None:
    return None if time is None else moment(time)
