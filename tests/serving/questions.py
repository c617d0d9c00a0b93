"""What a client sends: a farm's last days as JSON, as CSV and as Parquet."""

import io
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from conftest import FARM, hours, iso
from windcast.data.farm import FarmData

LOOK_BACK = timedelta(hours=30)
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"


def power_rows(farm: FarmData, issue: datetime) -> pl.DataFrame:
    return farm.power.filter(pl.col("time") > issue - LOOK_BACK, pl.col("time") <= issue)


def weather_rows(farm: FarmData, issue: datetime) -> pl.DataFrame:
    near = (pl.col("valid_time") > issue - LOOK_BACK) & (pl.col("valid_time") <= issue + hours(12))
    return farm.weather.filter(near, pl.col("available_at") <= issue)


def seen(farm: FarmData, issue: datetime) -> FarmData:
    """The farm as a client who sends these rows knows it."""
    return FarmData(
        name=FARM,
        capacity_mw=farm.capacity_mw,
        resolution=farm.resolution,
        power=power_rows(farm, issue),
        weather=weather_rows(farm, issue),
        weather_kind=farm.weather_kind,
        weather_resolution=farm.weather_resolution,
    )


def question(farm: FarmData, issue: datetime, /, **more: Any) -> dict[str, Any]:
    """One of the "forecasts" of a JSON body."""
    power, weather = power_rows(farm, issue), weather_rows(farm, issue)
    return {
        "power": {"time": [iso(t) for t in power["time"]], "power_mw": power["power_mw"].to_list()},
        "weather": {
            "valid_time": [iso(t) for t in weather["valid_time"]],
            "available_at": [iso(t) for t in weather["available_at"]],
            **{name: weather[name].to_list() for name in farm.variables},
        },
        **more,
    }


def table(farm: FarmData, issues: dict[str, datetime]) -> pl.DataFrame:
    """One table of several farms: rows of power, and rows of weather. issues: by the name of the farm."""
    parts = []
    for name, issue in issues.items():
        weather = weather_rows(farm, issue).rename({"valid_time": "time"})
        both = pl.concat([power_rows(farm, issue).select("time", "power_mw"), weather], how="diagonal")
        parts.append(both.select(pl.lit(name).alias("farm"), pl.all()))
    return pl.concat(parts)


def as_csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()


def as_parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()
