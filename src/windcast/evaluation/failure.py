"""Where a model fails: its CRPS by month and hour of day, and by forecast wind speed."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from windcast.data.windows import Windows
from windcast.evaluation.scores import crps
from windcast.models import wind
from windcast.models.forecast import Forecast

Floats = NDArray[np.floating]

BIN_MS = 1.0
# A bin says something of the model, and not of a few hours, with this share of the pairs and at least so many.
LEAST_SHARE = 0.01
LEAST_PAIRS = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Failures:
    """Mean CRPS in % of capacity.

    overall: of all pairs.
    by_time: month (1 … 12), hour (0 … 23) in which the interval begins, UTC; n, crps. Ascending; no empty row.
    by_wind: speed_from, speed_to in m/s, n, crps, enough (pairs to be judged). Ascending; no row without wind.
    """

    overall: float
    by_time: pl.DataFrame
    by_wind: pl.DataFrame

    def worst_first(self, column: str) -> pl.DataFrame:
        """Mean CRPS by month or by hour, all pairs weighing the same: the column, crps."""
        mean = (pl.col("crps") * pl.col("n")).sum() / pl.col("n").sum()
        return self.by_time.group_by(column).agg(mean.alias("crps")).sort("crps", column, descending=[True, False])


def forecast_speed(windows: Windows) -> Floats:
    """[B, H] m/s as known at issue time, mean over the farm's own wind speeds; NaN where there is none."""
    return wind.mean_known(wind.speeds(windows.weather[:, windows.future], windows.variables))


def failures(forecast: Forecast, observed: Floats, speed_ms: Floats) -> Failures:
    """From observed [B, H] MW and speed_ms [B, H]; what is NaN is left out."""
    begins = forecast.valid_times - np.timedelta64(forecast.task.resolution, "us")
    pairs = pl.DataFrame(
        {
            "begins": begins.ravel(),
            "speed_from": np.floor(speed_ms.ravel() / BIN_MS) * BIN_MS,
            "crps": 100 * crps(forecast, observed).ravel(),
        }
    ).fill_nan(None)
    pairs = pairs.drop_nulls("crps").with_columns(
        month=pl.col("begins").dt.month().cast(pl.Int64), hour=pl.col("begins").dt.hour().cast(pl.Int64)
    )
    means = (pl.len().alias("n"), pl.col("crps").mean())
    least = max(LEAST_PAIRS, LEAST_SHARE * pairs.height)
    overall = pairs["crps"].to_numpy()
    return Failures(
        overall=float(overall.mean()) if len(overall) else np.nan,
        by_time=pairs.group_by("month", "hour").agg(*means).sort("month", "hour"),
        by_wind=pairs.drop_nulls("speed_from")
        .group_by(pl.col("speed_from").cast(pl.Float64))
        .agg(*means)
        .sort("speed_from")
        .select(
            "speed_from", (pl.col("speed_from") + BIN_MS).alias("speed_to"), "n", "crps", enough=pl.col("n") >= least
        ),
    )
