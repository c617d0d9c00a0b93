"""Local time betrays itself twice a year: which time zone's missing and repeated hours do stamps show?"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

Micros = NDArray[np.int64]
DAY = 86_400_000_000  # microseconds

# zones that differ in when their clocks change; others on the same rhythm leave the same traces
CANDIDATES = {
    "Europe/Copenhagen": "Central European time (Berlin, Paris, Madrid leave the same traces)",
    "Europe/London": "British time (Dublin and Lisbon leave the same traces)",
    "Europe/Helsinki": "Eastern European time (Athens, Bucharest and Kyiv leave the same traces)",
    "America/New_York": "North American time (Chicago, Denver and others leave the same traces)",
    "Australia/Sydney": "South-east Australian time (Melbourne and Adelaide leave the same traces)",
    "Pacific/Auckland": "New Zealand time",
}


@dataclass(frozen=True)
class Traces:
    """How often the stamps skip (spring) and repeat (autumn) the hour that a zone skips and repeats."""

    zone: str
    springs: int
    autumns: int


def local_zone(wall: pl.Series, step: timedelta) -> Traces | None:
    """The zone whose clock changes the stamps follow everywhere; None where no candidate does."""
    stamps = np.sort(wall.dt.cast_time_unit("us").to_physical().to_numpy())
    first, last = int(stamps[0]), int(stamps[-1])
    years = range(max(_year(first), 1950), min(_year(last), 2100) + 1)
    every = step // timedelta(microseconds=1)
    found = []
    for zone in CANDIDATES:
        changes = [_changes(zone, year, every, first % every) for year in years]
        skipped, repeated = (np.concatenate([np.empty(0, np.int64), *(c[kind] for c in changes)]) for kind in (0, 1))
        skipped, repeated = (t[(t >= first) & (t <= last)] for t in (skipped, repeated))
        twice = _count(stamps, repeated)
        # a stamp that the zone does not have, or has once of two, contradicts it; one that is missing does not
        if _count(stamps, skipped).any() or (twice == 1).any():
            continue
        springs = sum(_any_between(stamps, int(day), first, every) for day in np.unique(skipped // DAY * DAY))
        autumns = len(np.unique(repeated[twice == 2] // DAY))
        if springs + autumns:
            found.append(Traces(zone, springs, autumns))
    return max(found, key=lambda t: t.springs + t.autumns, default=None)


def _any_between(stamps: Micros, day: int, first: int, every: int) -> bool:
    """Whether a day has any stamp of the grid: one without is a gap in the data, not a spring."""
    there = stamps[np.searchsorted(stamps, day) : np.searchsorted(stamps, day + DAY)]
    return bool(((there - first) % every == 0).any())


def _count(stamps: Micros, times: Micros) -> Micros:
    """How often each of the times is among the sorted stamps."""
    return np.searchsorted(stamps, times, "right") - np.searchsorted(stamps, times, "left")


def _year(micros: int) -> int:
    return int(np.datetime64(micros, "us").astype("datetime64[Y]").astype(int)) + 1970


@lru_cache(maxsize=4096)
def _changes(zone: str, year: int, every: int, phase: int) -> tuple[Micros, Micros]:
    """The times of a year's grid that the clocks of a zone skip, and those that they show twice."""
    midnights = [datetime(year, 1, 1) + timedelta(days=k) for k in range(367)]
    offsets = [midnight.replace(tzinfo=ZoneInfo(zone)).utcoffset() for midnight in midnights]
    days = [_micros(midnights[k]) for k in range(366) if offsets[k] != offsets[k + 1]]
    grid = np.concatenate(
        [np.arange(day + (phase - day) % every, day + DAY, every) for day in days] or [np.empty(0, np.int64)]
    )
    time = pl.Series(grid.astype("datetime64[us]"))
    early = time.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    late = time.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    skipped, repeated = early.is_null().to_numpy(), (early != late).fill_null(False).to_numpy()
    return grid[skipped], grid[repeated]


def _micros(time: datetime) -> int:
    return int(np.datetime64(time, "us").astype(np.int64))
