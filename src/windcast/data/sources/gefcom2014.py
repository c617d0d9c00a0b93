"""GEFCom2014, wind track: ten Australian farms, hourly 2012 and 2013, with ECMWF wind forecasts issued daily at 00 UTC.

Competition protocol: task k is the k-th month from October 2012. Its weather was given out whole when it opened, and
its power only when it closed. So within a task month every weather row is available at the month's first midnight and
every power row at the next one's; before October 2012 both came out together, at the opening of task 1.
Source: Hong et al. 2016, Int. J. Forecasting 32(3), doi:10.1016/j.ijforecast.2016.02.001.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from windcast.data.farm import FarmData
from windcast.data.sources import published
from windcast.errors import ConfigError, SourceError

FILE = "gefcom2014/wind_tasks_1_to_12.parquet"
ZONES = range(1, 11)
WINNER_MEAN_4_TO_12 = 0.03656  # kPower, from the published leaderboard


def load(*, zone: int = 1, path: str | Path | None = None, other_zones: bool = True) -> FarmData:
    """One zone, capacity 1 (power is normalised by the publisher), its own wind and, on request, the others' speeds.

    Raises SourceError if the file is not there: the competition's data may not be passed on.
    """
    if zone not in ZONES:
        raise ConfigError(f"data.zone is {zone}; GEFCom2014 has zones 1 to 10.")
    file = published.find(FILE, path)
    if file is None:
        raise SourceError(
            f"{FILE} was not found below WINDCAST_DATA. Get it from the supplementary data of Hong et al. 2016."
        )
    table = pl.read_parquet(file)
    time = pl.col("time").cast(pl.Datetime("us", "UTC"))
    table = table.with_columns(time)
    own = table.filter(pl.col("zone") == zone).sort("time")
    weather = own.select(
        pl.col("time").alias("valid_time"),
        _opening(pl.col("time")).alias("available_at"),
        *(
            pl.col(f"{part}{height}").cast(pl.Float64).alias(f"wind_{part}_{height}m")
            for height in (10, 100)
            for part in "uv"
        ),
    )
    if other_zones:
        for other in ZONES:
            if other != zone:
                weather = weather.join(_speed(table, other), left_on="valid_time", right_on="time", how="left")
    return FarmData(
        name=f"gefcom2014-{zone}",
        capacity_mw=1.0,
        resolution=timedelta(hours=1),
        power=own.select(
            "time",
            _closing(pl.col("time")).alias("available_at"),
            pl.col("power").cast(pl.Float64).alias("power_mw"),
        ),
        weather=weather,
        attribution="GEFCom2014 wind track, Hong et al. 2016; weather forecasts: ECMWF.",
    )


def task_span(task: int) -> tuple[datetime, datetime]:
    """Opening and closing midnight (UTC) of a task: hours (opening, closing] are to be forecast."""
    if not 1 <= task <= 12:
        raise ConfigError(f"GEFCom2014 task {task} does not exist; tasks are 1 to 12.")
    year, month = divmod(2012 * 12 + 9 + task - 1, 12)
    following = divmod(2012 * 12 + 9 + task, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC), datetime(following[0], following[1] + 1, 1, tzinfo=UTC)


def _opening(time: pl.Expr) -> pl.Expr:
    """First midnight of the month an hour-ending stamp lies in."""
    opening = (time - timedelta(microseconds=1)).dt.truncate("1mo")
    return pl.when(opening < task_span(1)[0]).then(pl.lit(datetime(2012, 1, 1, tzinfo=UTC))).otherwise(opening)


def _closing(time: pl.Expr) -> pl.Expr:
    closing = (time - timedelta(microseconds=1)).dt.truncate("1mo").dt.offset_by("1mo")
    return pl.when(closing < task_span(1)[0]).then(pl.lit(task_span(1)[0])).otherwise(closing)


def _speed(table: pl.DataFrame, zone: int) -> pl.DataFrame:
    speed = (pl.col("u100") ** 2 + pl.col("v100") ** 2).sqrt().cast(pl.Float64)
    return table.filter(pl.col("zone") == zone).select("time", speed.alias(f"wind_speed_100m_neighbour{zone}"))
