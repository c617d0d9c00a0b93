"""Local time betrays itself twice a year: which time zone's missing and repeated hours do stamps show?"""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

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
    counts = wall.value_counts(name="count")
    counts = counts.rename({counts.columns[0]: "time"})
    whole = pl.DataFrame({"time": pl.datetime_range(wall.min(), wall.max(), step, eager=True)})  # type: ignore[arg-type]
    seen = whole.join(counts, on="time", how="left").with_columns(pl.col("count").fill_null(0)).sort("time")
    found = [traces for zone in CANDIDATES if (traces := _traces(seen, zone))]
    return max(found, key=lambda t: t.springs + t.autumns, default=None)


def _traces(seen: pl.DataFrame, zone: str) -> Traces | None:
    """Traces where no stamp contradicts the zone; an hour that is merely missing speaks neither way."""
    time = seen["time"]
    early = time.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    late = time.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    skipped, repeated = early.is_null(), (early != late).fill_null(False)
    count = seen["count"]
    if (count.filter(skipped) > 0).any() or (count.filter(repeated) == 1).any():
        return None
    days = seen.with_columns(day=pl.col("time").dt.date(), skipped=skipped, repeated=repeated)
    # a day without any stamp is a gap in the data, not a spring
    there = pl.col("count") > 0
    spring = days.filter(pl.col("skipped").any().over("day")).group_by("day").agg(there.any())
    autumn = days.filter(pl.col("repeated") & (pl.col("count") == 2))["day"].n_unique()
    springs = int(spring["count"].sum())
    return Traces(zone, springs, autumn) if springs + autumn else None
